"""What the command line shows and records of a connection besides its messages: -v, --show-control, --har."""

from __future__ import annotations

import json
from pathlib import Path

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import syncws
from tests.cli.scripts import Recorder, read_to_the_close


def test_verbose_shows_steps_both_heads_and_twice_the_frames() -> None:
    with LoopbackServer() as server:
        once = syncws(server.url, "-v", given=b"hello\n").err
        twice = syncws(server.url, "-vv", given=b"hello\n").err
    for shown in ("> GET / HTTP/1.1\n", "< HTTP/1.1 101 Switching Protocols\n"):
        assert once.count(shown) == twice.count(shown) == 1
    assert "hello" not in once
    assert "> [text, 5 bytes] hello\n" in twice and "< [text, 5 bytes] hello\n" in twice


def test_pings_of_the_server_are_shown_when_asked_for() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.ping(b"are you there")
        read_to_the_close(peer)

    with LoopbackServer(script) as server:
        done = syncws(server.url, "--show-control")
    assert "< [ping, 13 bytes] " in done.err


def test_har_records_the_connection(tmp_path: Path) -> None:
    path = tmp_path / "session.har"
    with LoopbackServer() as server:
        done = syncws(server.url, "--har", str(path), given=b"hello\n")
    assert (done.status, done.out, done.err) == (0, b"hello\n", "")
    (entry,) = json.loads(path.read_text("utf-8"))["log"]["entries"]
    said = [(one["type"], one["data"]) for one in entry["_webSocketMessages"]]
    assert said == [("send", "hello"), ("receive", "hello")]


def test_a_har_that_cannot_be_written_at_the_end_is_a_local_file_that_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def script(peer: Peer) -> None:
        peer.accept()
        folder.rmdir()
        peer.echo()

    with LoopbackServer(script) as server:
        done = syncws(server.url, "--har", str(folder / "x.har"), given=b"hello\n")
    assert (done.status, done.out) == (2, b"hello\n")
    (line,) = done.err.splitlines()
    assert "--har: " in line and line.endswith("x.har cannot be written: No such file or directory")


def test_har_to_stdout_is_refused() -> None:
    with LoopbackServer() as server:
        done = syncws(server.url, "--har", "-", given=b"hello\n")
    assert (done.status, done.out) == (2, b"") and "stdout is for messages" in done.err
    assert not server.connections


def test_a_har_that_cannot_be_written_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server:
        done = syncws(server.url, "--har", str(tmp_path / "none" / "x.har"), given=b"hello\n")
    assert (done.status, done.out) == (2, b"")
    assert "--har: " in done.err and "x.har cannot be written: No such file or directory" in done.err
    assert not server.connections
