"""The fixtures, in runs of pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.certificates import needs_certificate

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "syncws.testing.pytest_plugin"


def run_pytest(folder: Path, test: str, *options: str) -> tuple[int, str]:
    """Status and output of pytest over one file."""
    (folder / "test_it.py").write_text("import syncws\n\n\n" + textwrap.dedent(test), "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", "-rA", *options, "."]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "PYTEST_ADDOPTS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # plugins of others take longer than these tests
            "COLUMNS": "120",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@needs_certificate
def test_the_fixtures_serve_an_echo_over_ws_and_wss(tmp_path: Path) -> None:
    status, out = run_pytest(
        tmp_path,
        """
        def test_both(ws_server, wss_server):
            for server in (ws_server, wss_server):
                with syncws.connect(server.url, ssl_context=server.ssl_context) as connection:
                    connection.send(server.url)
                    assert connection.recv(60) == server.url
                server.connections[0].assert_received(server.url)
        """,
    )
    assert status == 0, out


def test_each_test_has_a_server_of_its_own_and_nothing_is_left(tmp_path: Path) -> None:
    status, out = run_pytest(
        tmp_path,
        """
        import threading

        def test_first(ws_server):
            syncws.connect(ws_server.url).close()

        def test_second(ws_server):
            assert ws_server.connections == []

        def test_third():
            assert not [t for t in threading.enumerate() if t.name.startswith("syncws-loopback")]
        """,
    )
    assert status == 0, out


def test_the_error_of_a_script_fails_the_test_that_passed(tmp_path: Path) -> None:
    status, out = run_pytest(
        tmp_path,
        """
        def test_it(ws_server):
            def script(peer):
                peer.accept()
                assert peer.recv() == "expected"

            ws_server.script = script
            with syncws.connect(ws_server.url) as connection:
                connection.send("sent")

        def test_the_next_one_is_not_concerned(ws_server):
            pass
        """,
    )
    assert status == 1, out
    assert "FAILED test_it.py::test_it - AssertionError" in out
    assert "1 failed, 1 passed" in out
    assert 'assert peer.recv() == "expected"' in out  # the line of the script that failed


def test_the_error_of_a_script_is_shown_beside_that_of_a_test_that_failed(tmp_path: Path) -> None:
    status, out = run_pytest(
        tmp_path,
        """
        def test_it(ws_server):
            def script(peer):
                peer.accept()
                raise LookupError("the cause")

            ws_server.script = script
            with syncws.connect(ws_server.url) as connection:
                connection.recv(60)
        """,
    )
    assert status == 1, out
    assert "1 failed in" in out
    assert "ConnectionClosed" in out
    assert "error of the server's script" in out
    assert "LookupError: the cause" in out


def test_an_error_after_the_test_fails_it_too(tmp_path: Path) -> None:
    status, out = run_pytest(
        tmp_path,
        """
        def test_it(ws_server):
            def script(peer):
                peer.accept()
                peer.stall()  # until the server stops
                raise LookupError("late")

            ws_server.script = script
            test_it.connection = syncws.connect(ws_server.url)
        """,
        "-W",
        "ignore",
    )
    assert status == 1, out
    assert "ERROR test_it.py::test_it - LookupError: late" in out


def test_a_departure_from_a_recording_fails_the_test_with_the_difference(tmp_path: Path) -> None:
    recorded = '{"type": "send", "time": 1, "opcode": 1, "data": "recorded"}'
    (tmp_path / "session.har").write_text(
        f'{{"log": {{"entries": [{{"_webSocketMessages": [{recorded}], "request": {{"url": "ws://h/"}}}}]}}}}'
    )
    status, out = run_pytest(
        tmp_path,
        """
        def test_it(ws_server):
            ws_server.replay("session.har")
            with syncws.connect(ws_server.url) as connection:
                connection.send("sent")
        """,
    )
    assert status == 1, out
    assert "recorded: 'recorded'" in out
    assert "received: 'sent'" in out


def test_a_server_in_an_autouse_fixture_and_in_a_unittest_works_as_well(tmp_path: Path) -> None:
    status, out = run_pytest(
        tmp_path,
        """
        import unittest
        import pytest
        from syncws.testing import LoopbackServer

        class TestFixture(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _server(self, ws_server):
                self.server = ws_server

            def test_it(self):
                syncws.connect(self.server.url).close()

        class TestPlain(unittest.TestCase):
            def setUp(self):
                self.server = LoopbackServer()
                self.addCleanup(self.server.stop)

            def test_it(self):
                syncws.connect(self.server.url).close()
        """,
    )
    assert status == 0, out
    assert "2 passed" in out


@pytest.mark.parametrize("option", ["--fixtures", "--help"])
def test_pytest_lists_the_fixtures_and_starts_with_the_plugin(option: str, tmp_path: Path) -> None:
    status, out = run_pytest(tmp_path, "def test_it(): pass", option)
    assert status == 0, out
    assert option == "--help" or ("ws_server" in out and "wss_server" in out)
