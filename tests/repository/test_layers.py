"""Imports go one way between folders, and nowhere in a circle: read from the source of each module."""

from __future__ import annotations

import ast
import functools
import graphlib
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "syncws"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# What the modules of a folder may import besides each other. "words" are the modules that every layer may
# use, "apis" the other modules of `syncws` itself: both APIs, and what a program meets in its tracebacks.
WORDS = {
    "_exceptions",
    "_freed_memory",
    "_handler_errors",
    "_headers",
    "_later",
    "_log",
    "_quoting",
    "_version",
}
ALLOWED = {
    "words": {"words"},
    "_protocol": {"words"},
    "_transport": {"words", "_protocol"},
    "_engine": {"words", "_protocol", "_transport"},
    "apis": {"words", "_protocol", "_engine"},
    "__init__": {"words", "_protocol", "_engine", "apis"},
    "testing": {"words", "_protocol"},
    "_cli": {"words", "_protocol", "_engine", "apis", "__init__", "testing"},
    "__main__": {"_cli"},
}

# The test server shares only the layout of frames and the mapping of headers with the client, so that a fault
# there cannot hide behind the same fault here.
TESTING_USES = {"_headers", "_protocol.frames"}

# The folders of the engine, and which of them each may import. The modules beside them are either for all of
# them, such as `primitives`, or wire them together, such as `engine`.
ENGINE = {
    "options": set[str](),
    "opening": {"options"},
    "reading": {"options", "opening"},
    "consumer": {"options", "opening", "reading"},
    "writing": {"options"},
}

# Siblings: each of these groups runs without the other two, and the engine wires them together.
_READING = {"_engine.reading.reader", "_engine.reading.open_link", "_engine.reading.input_state"}
_WRITING = {"_engine.writing.writer", "_engine.writing.writer_pool", "_engine.writing.outbox"}
_CONSUMERS = {"_engine.consumer.dispatcher", "_engine.consumer.event_queue", "_engine.consumer.inbox"}
STRANGERS = {
    **dict.fromkeys(_READING, _WRITING | _CONSUMERS),
    **dict.fromkeys(_WRITING, _READING | _CONSUMERS),
    **dict.fromkeys(_CONSUMERS, _READING | _WRITING),
}

# The pure core never imports these: they do I/O, wait, tell the time or start threads.
IMPURE = {"asyncio", "multiprocessing", "queue", "select", "selectors", "socket", "ssl", "subprocess"}
IMPURE |= {"threading", "_thread", "time"}

# A program that gevent has patched just works when these are looked up as attributes at call time.
LOOKED_UP_LATE = {"queue", "select", "selectors", "socket", "ssl", "threading", "time"}

# Packages for an optional part: imported where that part is used, and only if they are installed.
OPTIONAL = {("testing.certificates", "trustme"), ("_transport.socks", "socksio")}

# Modules that no module of the package imports, but a program that is there whenever they are wanted.
LOADED_BY = {"testing.pytest_plugin": "pytest"}

# Modules that stand for an optional part as a whole: each is itself imported only where that part is used.
OPTIONAL_MODULES = {"_transport.socks"}


def folder_of(module: str) -> str:
    """The folder of a module, or the group of those that stand in `syncws` itself."""
    first, _, rest = module.partition(".")
    if rest or first in ALLOWED:
        return first
    if not first:
        return "__init__"
    return "words" if first in WORDS else "apis"


@dataclass(frozen=True)
class Import:
    """One imported module: its name (`_protocol.url`, `socket`), whose it is, and when the import runs."""

    name: str
    ours: bool
    when: str  # "at import", "in a function" or "never", which is under TYPE_CHECKING
    names: bool = False  # `from module import names`


def imports(source: str, module: str) -> list[Import]:
    """Every import of a module's source, wherever it stands."""
    found: list[Import] = []
    package = [] if module in ("", "__main__") else module.split(".")[:-1]
    if module in MODULES and MODULES[module].name == "__init__.py":
        package = module.split(".") if module else []

    def see_names(node: ast.ImportFrom, when: str) -> None:
        if node.level:
            parts = package[: len(package) - node.level + 1] + (node.module or "").split(".")
        elif (node.module or "").partition(".")[0] == "syncws":
            parts = (node.module or "").split(".")[1:]
        else:
            found.append(Import((node.module or "").partition(".")[0], False, when, names=True))
            return
        base = ".".join(part for part in parts if part)
        for alias in node.names:
            inner = f"{base}.{alias.name}".lstrip(".")
            found.append(Import(inner if inner in MODULES else base, True, when, names=True))

    def visit(node: ast.AST, when: str) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                root, _, rest = alias.name.partition(".")
                ours = root == "syncws"
                found.append(Import(rest if ours else root, ours, when))
        elif isinstance(node, ast.ImportFrom):
            see_names(node, when)
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


@functools.cache
def imports_of(module: str) -> list[Import]:
    return imports(MODULES[module].read_text("utf-8"), module)


def test_every_import_is_seen_wherever_it_stands() -> None:
    source = """
import os.path, socket
import syncws._protocol.url
from . import frames
from .http11 import get_all
from .. import WebSocket
from syncws import _exceptions
if TYPE_CHECKING:
    from .._transport.tls import TLSStream
else:
    import select
class Some:
    import queue
    def method(self):
        try:
            import ssl
        finally:
            from .._transport import stream
"""
    seen = {(found.name, found.ours, found.when) for found in imports(source, "_protocol.url")}
    assert seen == {
        ("os", False, "at import"),
        ("socket", False, "at import"),
        ("_protocol.url", True, "at import"),
        ("_protocol.frames", True, "at import"),
        ("", True, "at import"),
        ("_protocol.http11", True, "at import"),
        ("_exceptions", True, "at import"),
        ("_transport.tls", True, "never"),
        ("select", False, "at import"),
        ("queue", False, "at import"),
        ("ssl", False, "in a function"),
        ("_transport.stream", True, "in a function"),
    }


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_what_its_folder_may(module: str) -> None:
    folder = folder_of(module)
    allowed = ALLOWED[folder] | {folder}
    for found in imports_of(module):
        if found.ours:
            assert folder_of(found.name) in allowed, found
            if folder == "testing" and folder_of(found.name) != "testing":
                assert found.name in TESTING_USES, found


@pytest.mark.parametrize("module", [name for name in MODULES if name.count(".") == 2])
def test_imports_go_one_way_between_the_folders_of_the_engine(module: str) -> None:
    folder = module.split(".")[1]
    for found in imports_of(module):
        if found.ours and found.name.count(".") == 2 and found.when != "never":
            assert found.name.split(".")[1] in ENGINE[folder] | {folder}, found


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {
        module: {found.name for found in imports_of(module) if found.ours and found.when != "never"}
        for module in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("module", [module for module in MODULES if folder_of(module) == "_protocol"])
def test_protocol_imports_no_sockets_threads_or_clocks(module: str) -> None:
    for found in imports_of(module):
        assert found.ours or found.name not in IMPURE


@pytest.mark.parametrize("module", sorted(STRANGERS))
def test_reading_writing_and_consumers_do_not_know_each_other(module: str) -> None:
    assert not {found.name for found in imports_of(module)} & STRANGERS[module]


@pytest.mark.parametrize("module", [module for module in MODULES if folder_of(module) == "apis"])
def test_what_programs_call_does_not_reach_down_to_the_layout_of_frames(module: str) -> None:
    names = {
        alias.name
        for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("frames")
        for alias in node.names
    }
    assert names <= {"Buffer", "CloseCode", "CloseFrame", "Opcode"}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_has_the_name_of_one_of_the_standard_library(module: str) -> None:
    last = module.rpartition(".")[2]
    assert last not in sys.stdlib_module_names or last == "__main__"


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_of_the_standard_library_and_the_package_alone(module: str) -> None:
    for found in imports_of(module):
        known = found.ours or found.name in sys.stdlib_module_names or found.when == "never"
        known = known or LOADED_BY.get(module) == found.name
        late = found.when == "in a function" or module in OPTIONAL_MODULES
        assert known or ((module, found.name) in OPTIONAL and late), found
        assert found.name not in OPTIONAL_MODULES or found.when == "in a function", found


def test_no_module_imports_what_another_program_loads() -> None:
    for module in MODULES:
        assert not {found.name for found in imports_of(module)} & set(LOADED_BY)


@pytest.mark.parametrize("module", MODULES)
def test_sockets_threads_and_clocks_are_looked_up_at_call_time(module: str) -> None:
    for found in imports_of(module):
        assert not (found.names and not found.ours and found.name in LOOKED_UP_LATE), found
