"""Imports go one way: what each module of the package may import, read from its source."""

from __future__ import annotations

import ast
import graphlib
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "syncws"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))

# Layer by layer, and in each from the first line to the last: a module may import those named beside it,
# all of which stand above it. `__init__` is what `from . import name` reads when the name is no module's.
ALLOWED: dict[str, str] = {
    # 0: words
    "_version": "",
    "_errors": "",
    "_log": "",
    "_ready_state": "",
    "_events": "_errors _log",
    # 1: protocol, pure
    "_host": "",
    "_url": "_errors _host",
    "_http": "_errors",
    "_frames": "",
    "_deflate": "_errors _frames",
    "_handshake": "_version _errors _url _http _deflate",
    "_messages": "_errors _frames",
    "_decoder": "_errors _frames _deflate _messages",
    "_encoder": "_frames _deflate",
    "_keepalive": "",
    "_options": "_url _http _handshake",
    "_retry": "_errors _http",
    # 2: socket
    "_waiter": "",
    "_dial": "_errors _waiter",
    "_stream": "_errors _frames",
    "_tls": "_errors _frames _stream",
    "_opening": "_errors _url _http _handshake _options _waiter _dial _stream _tls",
    # 3: threads
    "_condition": "",
    "_queue": "_http _messages _condition",
    "_pongs": "_condition",
    "_pool": "_condition _log",
    "_writer": "_condition _errors _frames _encoder _stream _pool",
    "_reader": (
        "_errors _url _frames _deflate _handshake _decoder _encoder _keepalive _options _waiter _stream "
        "_opening _queue _pongs _writer _log"
    ),
    "_worker": "_condition _log _messages _queue",
    "_inbox": "_messages _queue",
    "_uwsgi": "",
    "_engine": (
        "_condition _uwsgi _errors _url _frames _handshake _options _tls _queue _pongs _pool _writer _reader"
    ),
    # 4: faces
    "_websocket": (
        "_ready_state _log _errors _events _url _frames _handshake _options _messages _queue _worker _engine"
    ),
    "_connection": (
        "_ready_state _errors _url _http _frames _handshake _options _messages _queue _inbox _engine"
    ),
    "_reconnect": "_condition _log _errors _options _retry _engine _connection",
    "_reconnecting": (
        "_condition _ready_state _log _errors _events _frames _messages _options _retry _worker _engine "
        "_websocket"
    ),
    "__init__": (
        "_version _errors _events _http _options _retry _websocket _connection _reconnect _reconnecting"
    ),
    # beside: the server, which shares only the frames' layout with the client, and the command line
    "_loopback": "_frames",
    "_demo": "_ready_state _errors _events _websocket _connection _loopback",
    "__main__": "_version _errors _events _options _websocket _connection _loopback _demo __init__",
}

PURE = ["_host", "_url", "_http", "_frames", "_deflate", "_handshake", "_decoder", "_encoder"]
PURE += ["_keepalive", "_options", "_messages", "_retry"]

# Never in the pure core: what does I/O, waits, tells the time or starts threads.
IMPURE = {"asyncio", "multiprocessing", "queue", "select", "selectors", "socket", "ssl", "subprocess"}
IMPURE |= {"threading", "_thread", "time"}
# Read by type checkers only.
TYPING_ONLY = {("_options", "ssl")}

# A program that gevent has patched just works when these are looked up as attributes at call time.
LOOKED_UP_LATE = {"queue", "select", "selectors", "socket", "ssl", "threading", "time"}

# For an optional part, imported where that part is used and only when it is there.
OPTIONAL = {("_demo", "trustme")}


@dataclass(frozen=True)
class Import:
    """One imported module: its name (`_url`, `socket`), whose it is, and when the import runs."""

    name: str
    ours: bool
    when: str  # "at import", "in a function" or "never", which is under TYPE_CHECKING
    names: bool = False  # `from module import names`


def imports(source: str) -> list[Import]:
    """Every import of a module's source, wherever it stands."""
    found: list[Import] = []

    def visit(node: ast.AST, when: str) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                root, _, rest = alias.name.partition(".")
                ours = root == "syncws"
                found.append(Import(rest or "__init__" if ours else root, ours, when))
        elif isinstance(node, ast.ImportFrom):
            root, _, rest = (node.module or "").partition(".")
            if not node.level and root != "syncws":
                found.append(Import(root, False, when, names=True))
            elif module := rest if not node.level else root:
                found.append(Import(module, True, when, names=True))
            else:
                for alias in node.names:
                    is_module = (PACKAGE / f"{alias.name}.py").exists()
                    found.append(Import(alias.name if is_module else "__init__", True, when))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            when = "in a function" if when == "at import" else when
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.body:
                visit(statement, "never")
            for statement in node.orelse:
                visit(statement, when)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, when)

    visit(ast.parse(source), "at import")
    return found


def imports_of(module: str) -> list[Import]:
    return imports((PACKAGE / f"{module}.py").read_text("utf-8"))


def allowed(module: str) -> set[str]:
    return set(ALLOWED[module].split())


def test_every_import_is_seen_wherever_it_stands() -> None:
    source = """
import os.path, socket
import syncws._url
from . import _frames, WebSocket
from ._http import get_all
from syncws._deflate import agree
from syncws import _errors
if TYPE_CHECKING:
    from ._tls import TLSStream
else:
    import select
class Some:
    import queue
    def method(self):
        try:
            import ssl
        finally:
            from . import _stream
"""
    seen = {(found.name, found.ours, found.when) for found in imports(source)}
    assert seen == {
        ("os", False, "at import"),
        ("socket", False, "at import"),
        ("_url", True, "at import"),
        ("_frames", True, "at import"),
        ("__init__", True, "at import"),
        ("_http", True, "at import"),
        ("_deflate", True, "at import"),
        ("_errors", True, "at import"),
        ("_tls", True, "never"),
        ("select", False, "at import"),
        ("queue", False, "at import"),
        ("ssl", False, "in a function"),
        ("_stream", True, "in a function"),
    }


def test_table_names_every_module_and_only_earlier_ones_beside_it() -> None:
    assert set(MODULES) <= set(ALLOWED)
    earlier: set[str] = set()
    for module in ALLOWED:
        assert allowed(module) <= earlier, module
        earlier.add(module)


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_what_the_table_allows(module: str) -> None:
    ours = {found.name for found in imports_of(module) if found.ours}
    assert ours <= allowed(module)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {
        module: {found.name for found in imports_of(module) if found.ours and found.when != "never"}
        for module in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("module", PURE)
def test_pure_core_imports_no_sockets_threads_or_clocks(module: str) -> None:
    for found in imports_of(module):
        if not found.ours and (found.when != "never" or (module, found.name) not in TYPING_ONLY):
            assert found.name not in IMPURE


def test_queue_knows_no_frames_and_worker_knows_no_sockets() -> None:
    queue = {found.name for found in imports_of("_queue")}
    assert not queue & {"socket", "ssl", "selectors", "_stream", "_frames", "_decoder", "_encoder"}
    worker = {found.name for found in imports_of("_worker")}
    assert not worker & {"socket", "ssl", "selectors", "_stream", "_tls", "_reader", "_writer", "_frames"}


def test_writer_does_not_know_the_reader() -> None:
    writer = {found.name for found in imports_of("_writer")}
    assert not writer & {"_reader", "_decoder", "_queue", "_waiter"}
    for module in ("_reader", "_writer", "_engine"):
        names = {found.name for found in imports_of(module)}
        assert not names & {"_websocket", "_connection", "_worker", "_inbox", "_events"}, module


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_of_the_standard_library_and_the_package_alone(module: str) -> None:
    for found in imports_of(module):
        known = found.ours or found.name in sys.stdlib_module_names
        assert known or ((module, found.name) in OPTIONAL and found.when == "in a function"), found


@pytest.mark.parametrize("module", MODULES)
def test_sockets_threads_and_clocks_are_looked_up_at_call_time(module: str) -> None:
    for found in imports_of(module):
        assert not (found.names and not found.ours and found.name in LOOKED_UP_LATE), found
