"""What `import syncws` imports, and what comes with the first connection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import syncws
from syncws._later import Later

# Half of them are what `typing`, `enum` and `threading` consist of.
MOST_MODULES = 80


def run(code: str) -> list[str]:
    """The lines that a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_import_brings_few_modules_and_none_of_the_engine() -> None:
    lines = run(
        "import sys\n"
        "before = set(sys.modules)\n"
        "import syncws; syncws.WebSocket; syncws.connect\n"
        "print(*set(sys.modules) - before, sep='\\n')"
    )
    assert len(lines) <= MOST_MODULES
    slow = {"dataclasses", "hashlib", "inspect", "logging", "selectors", "socket", "ssl", "zlib"}
    assert slow.isdisjoint(lines)
    assert {"syncws._engine.engine", "syncws._connection", "syncws._callback_link"}.isdisjoint(lines)
    named_in_signatures = {
        "syncws._engine.opening.open_stream",
        "syncws._engine.stats",
        "syncws._engine.trace_record",
    }
    assert named_in_signatures.isdisjoint(lines)


LATE = """
import sys, threading
import syncws
from syncws.testing import LoopbackServer
late = set()
class Finder:
    def find_spec(self, name, path=None, target=None):
        thread = threading.current_thread().name
        if thread.startswith("syncws-"):
            late.add((thread, name))
with LoopbackServer() as server:
    sys.meta_path.insert(0, Finder())
    {use}
print(late)
"""
USES = {
    "connect": "with syncws.connect(server.url) as link: link.send('hi'); link.recv(10); link.ping(10)",
    "trace": (
        "with syncws.connect(server.url, trace=lambda record: None) as link:\n"
        "        link.send('hi'); link.recv(10); link.ping(10); link.stats"
    ),
    "fileno": (
        "import select\n"
        "    with syncws.connect(server.url) as link:\n"
        "        link.send('hi'); assert select.select([link], [], [], 10)[0]; link.recv(10)"
    ),
    "WebSocket": (
        "heard = threading.Event()\n"
        "    ws = syncws.WebSocket(server.url, onmessage=lambda event: heard.set())\n"
        "    ws.wait_open(10); ws.send('hi'); assert heard.wait(10); ws.close(); ws.join(10)"
    ),
    "listeners of pongs": (
        "heard = threading.Event()\n"
        "    ws = syncws.WebSocket(server.url)\n"
        "    ws.addEventListener('pong', lambda event: heard.set())\n"
        "    ws.wait_open(10); ws.ping(b'hi'); assert heard.wait(10); ws.close(); ws.join(10)"
    ),
}


@pytest.mark.parametrize("use", USES)
def test_threads_of_the_first_connection_import_nothing(use: str) -> None:
    # A fork meanwhile would leave the child with half a module.
    (late,) = run(LATE.format(use=USES[use]))
    assert late == "set()"


def test_every_public_name_is_there_and_shows_where_it_comes_from() -> None:
    lines = run(
        "import syncws\n"
        "print(*sorted(set(syncws.__all__) - set(dir(syncws))))\n"
        "print(syncws.Connection, syncws.Loss, syncws.LossEvent, syncws.Response, syncws.Timings)\n"
        "print(syncws.Stats, syncws.TraceRecord)\n"
        "from syncws import *\n"
        "print(Reconnector.__module__, reconnect.__name__)"
    )
    assert lines[0] == ""
    assert "._" not in lines[1] + lines[2]
    assert lines[3] == "syncws reconnect"
    with pytest.raises(AttributeError, match="module 'syncws' has no attribute 'Conection'"):
        _ = syncws.Conection  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_module_is_imported_when_it_is_first_used(folder: Path) -> None:
    (folder / "late_one.py").write_text("value = 5\n")
    late = Later("late_one")
    assert "late_one" not in sys.modules
    assert late.value == 5
    with pytest.raises(AttributeError, match="late_one"):
        _ = late.other


def test_use_in_the_middle_of_an_import_on_the_same_thread_says_so(folder: Path) -> None:
    # A signal handler that comes in the middle does the same.
    (folder / "late_inner.py").write_text("value = 5\n")
    (folder / "late_outer.py").write_text(
        "from syncws._later import Later\n"
        "try:\n    Later('late_inner').value\n"
        "except RuntimeError as error:\n    told = str(error)\n"
    )
    assert "a signal handler or a finalizer used syncws" in Later("late_outer").told
    assert Later("late_inner").value == 5


def test_import_that_an_exception_cuts_off_is_made_anew(folder: Path) -> None:
    (folder / "late_cut.py").write_text(
        "import os\nif 'CUT' in os.environ:\n    raise KeyboardInterrupt\nvalue = 5\n"
    )
    late = Later("late_cut")
    os.environ["CUT"] = "1"
    try:
        with pytest.raises(KeyboardInterrupt):
            _ = late.value
    finally:
        del os.environ["CUT"]
    assert late.value == 5
