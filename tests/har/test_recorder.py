"""`syncws.har`: what is recorded, how much of it, and the file that becomes of it."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

import syncws
from syncws import ReconnectingWebSocket, TraceRecord
from syncws.har import Recorder
from syncws.testing import LoopbackServer, Peer
from tests.support.programs import ROOT
from tests.support.servers import finish, refusing
from tests.support.waiting import SECONDS

CHROMIUM = json.loads(Path(__file__).with_name("chromium.json").read_text("utf-8"))


def conversation(peer: Peer) -> None:
    """The one of which Chromium wrote `chromium.json`."""
    peer.accept()
    peer.send("hello €")
    peer.recv()
    peer.recv()
    peer.send(b"\x00\x01\xff")
    peer.ping(b"p")
    peer.close(1000, "bye")


def converse(connection: syncws.Connection) -> None:
    connection.recv(SECONDS)
    connection.send("text")
    connection.send(b"\1\2\3")
    connection.recv(SECONDS)
    with pytest.raises(syncws.ConnectionClosed):
        connection.recv(SECONDS)


def read(path: Path) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(path.read_text("utf-8"))["log"]
    return log


def said(entry: dict[str, Any]) -> list[tuple[str, int, str | None]]:
    return [(one["type"], one["opcode"], one.get("data")) for one in entry["_webSocketMessages"]]


def shape(value: object) -> object:
    """The names of all fields, and the kinds of their values: one kind for all numbers."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return float if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)


def frame(serial: int, step: str, payload: bytes, opcode: int = 1, *, final: bool = True) -> TraceRecord:
    return TraceRecord(serial, 1.5, 1, step, opcode=opcode, final=final, size=len(payload), payload=payload)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.har"


def test_its_fields_are_those_of_a_file_that_chromium_wrote(path: Path) -> None:
    with LoopbackServer(conversation) as server, Recorder(path) as recorder:
        with syncws.connect(server.url_for("/?token=x"), trace=recorder) as connection:
            converse(connection)
    ours, theirs = read(path), CHROMIUM["log"]
    (entry,), (their_entry,) = ours["entries"], theirs["entries"]
    assert said(entry) == said(their_entry)
    # Only a browser knows which script made the request. It has no number for a WebSocket's connection, but
    # for others, and counts the head of the answer as a compressed body.
    their_entry["_initiator"] = {"type": "other"}
    assert entry.pop("connection").isdecimal()
    assert shape(ours) == shape(theirs)
    for name in ("_resourceType", "_priority", "cache"):
        assert entry[name] == their_entry[name]
    for name in ("status", "statusText", "httpVersion", "cookies", "redirectURL", "_error"):
        assert entry["response"][name] == their_entry["response"][name]
    for name in ("method", "httpVersion", "cookies", "bodySize"):
        assert entry["request"][name] == their_entry["request"][name]


def test_times_and_the_way_are_those_of_the_connection(path: Path) -> None:
    records: list[TraceRecord] = []

    def trace(record: TraceRecord) -> None:
        records.append(record)
        recorder(record)

    with LoopbackServer(conversation) as server, Recorder(path) as recorder:
        with syncws.connect(server.url, trace=trace) as connection:
            converse(connection)
    (entry,) = read(path)["entries"]
    at = {record.step: record.time for record in reversed(records)}
    assert entry["serverIPAddress"] == "127.0.0.1"
    timings = entry["timings"]
    assert timings["dns"] == pytest.approx((at["resolved"] - at["resolve"]) * 1000)
    assert timings["connect"] == pytest.approx((at["connected"] - at["connect"]) * 1000)
    assert timings["wait"] == pytest.approx((at["response"] - at["request"]) * 1000)
    assert timings["receive"] == pytest.approx((at["closed"] - at["response"]) * 1000)
    assert entry["time"] == pytest.approx(sum(each for each in timings.values() if each > 0))
    told = [record.time for record in records if record.opcode in (1, 2)]
    assert [message["time"] for message in entry["_webSocketMessages"]] == told


def test_credentials_in_the_heads_are_masked(path: Path) -> None:
    with LoopbackServer() as server, Recorder(path) as recorder:
        url = server.url_for("/feed?token=s3cr3t-1").replace("//", "//user:s3cr3t-2@")
        headers = {"X-Api-Key": "s3cr3t-3", "Cookie": "id=s3cr3t-4"}
        with syncws.connect(url, headers=headers, trace=recorder):
            pass
    assert "s3cr3t" not in path.read_text("utf-8")
    request = read(path)["entries"][0]["request"]
    assert request["url"].endswith("/feed?...")
    assert {"name": "X-Api-Key", "value": "..."} in request["headers"]


def test_fragments_are_one_message(path: Path) -> None:
    with LoopbackServer() as server, Recorder(path) as recorder:
        with syncws.connect(server.url, trace=recorder) as connection:
            connection.send(["é", "a", "b"])
            connection.recv(SECONDS)
    (entry,) = read(path)["entries"]
    assert said(entry) == [("send", 1, "éab"), ("receive", 1, "éab")]


def test_several_connections_at_once_and_those_that_come_back_are_an_entry_each(path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(peer.request.target)
        peer.send_close(1012, "restart")
        finish(peer)

    def policy(loss: syncws.Loss) -> float | None:
        return 0.001 if loss.failures < 3 else None

    with LoopbackServer(script) as server, Recorder(path) as recorder:
        made = [
            ReconnectingWebSocket(server.url_for(target), policy=policy, trace=recorder)
            for target in ("/a", "/b")
        ]
        for ws in made:
            ws.onclose = lambda event: None
            ws.join(SECONDS)
    entries = read(path)["entries"]
    assert len(entries) == 6
    for entry in entries:
        target = entry["request"]["url"][-2:]
        close = base64.b64encode((1012).to_bytes(2, "big") + b"restart").decode()
        assert said(entry) == [("receive", 1, target), ("receive", 8, close)]
        assert entry["comment"] == "closed with 1012 restart"
    assert len({entry["connection"] for entry in entries}) == 6


def test_attempts_that_failed_are_in_it_with_their_errors(path: Path) -> None:
    def refuse(peer: Peer) -> None:
        peer.refuse(403, {"Content-Type": "text/plain"}, "expired")

    with Recorder(path) as recorder:
        with refusing() as url, pytest.raises(ConnectionRefusedError):
            syncws.connect(url, trace=recorder)
        with LoopbackServer(refuse) as server, pytest.raises(syncws.HandshakeError):
            syncws.connect(server.url, trace=recorder)
    failed, refused = read(path)["entries"]
    assert failed["response"]["status"] == 0
    assert failed["response"]["_error"].startswith("ConnectionRefusedError: ")
    assert refused["response"]["status"] == 403
    assert refused["response"]["content"]["text"] == "expired"
    assert [one["type"] for one in refused["_webSocketMessages"]] == ["error"]


def test_a_redirect_is_an_entry_of_its_own(path: Path) -> None:
    with LoopbackServer() as there:

        def redirect(peer: Peer) -> None:
            peer.refuse(302, [("Location", there.url)])

        with LoopbackServer(redirect) as here, Recorder(path) as recorder:
            with syncws.connect(here.url, max_redirects=1, trace=recorder) as connection:
                connection.send("x")
                connection.recv(SECONDS)
    first, second = read(path)["entries"]
    assert first["response"]["status"] == 302 and "_webSocketMessages" not in first
    assert said(second) == [("send", 1, "x"), ("receive", 1, "x")]


class TestBound:
    def test_past_max_bytes_payloads_are_left_out_and_the_log_says_so(self, path: Path) -> None:
        with Recorder(path, max_bytes=5000) as recorder:
            for serial in range(6):
                recorder(frame(serial, "sent", b"x" * 1998))
            recorder(frame(7, "received", b"y"))
        log = read(path)
        (entry,) = log["entries"]
        assert [len(data or "") for _, _, data in said(entry)] == [1998, 1998, 0, 0, 0, 0, 0]
        text = "the payloads of 5 messages (7993 bytes) are left out (max_bytes=5000)"
        assert log["comment"] == text

    def test_what_counts_is_the_payload_as_json_writes_it(self, path: Path) -> None:
        with Recorder(path, max_bytes=5000) as recorder:
            recorder(frame(1, "sent", b"\x01" * 1000))  # six characters each
            recorder(frame(2, "sent", b"\x01" * 500, 2))
        (entry,) = read(path)["entries"]
        assert said(entry) == [("send", 1, None), ("send", 2, None)]

    def test_a_message_in_fragments_is_not_kept_beyond_it(self, path: Path) -> None:
        with Recorder(path, max_bytes=5000) as recorder:
            for serial in range(100):
                recorder(frame(serial, "received", b"x" * 1000, 0 if serial else 2, final=serial == 99))
        (entry,) = read(path)["entries"]
        assert said(entry) == [("receive", 2, None)]

    def test_when_the_list_itself_has_reached_it_messages_are_counted(self, path: Path) -> None:
        with Recorder(path, max_bytes=5000) as recorder:
            for serial in range(10_000):
                recorder(frame(serial, "sent", b""))
        log = read(path)
        assert path.stat().st_size < 15_000
        listed = len(log["entries"][0]["_webSocketMessages"])
        assert log["comment"].endswith(f"{10_000 - listed} messages and requests are not listed at all")

    def test_payloads_can_be_left_out_altogether(self, path: Path) -> None:
        with Recorder(path, payloads=False) as recorder:
            recorder(frame(1, "sent", b"secret"))
        log = read(path)
        assert said(log["entries"][0]) == [("send", 1, None)]
        assert log["comment"] == "payloads are left out (payloads=False)"

    def test_a_bound_of_another_kind_is_refused(self, path: Path) -> None:
        with pytest.raises(TypeError, match="max_bytes must be an int"):
            Recorder(path, max_bytes="1M")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="must not be negative"):
            Recorder(path, max_bytes=-1)


class TestFile:
    def test_it_is_put_in_its_place_as_a_whole_at_the_end(self, path: Path) -> None:
        path.write_text("old")
        with Recorder(path) as recorder:
            recorder(frame(1, "sent", b"x"))
            assert path.read_text() == "old"
        assert len(read(path)["entries"]) == 1
        assert list(path.parent.iterdir()) == [path]
        if os.name == "posix":
            assert path.stat().st_mode & 0o077 == 0

    @pytest.mark.skipif(os.name != "posix", reason="links and named pipes of POSIX")
    def test_a_link_stays_and_what_it_leads_to_is_written(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        target = tmp_path / "elsewhere" / "target.har"
        for there in (False, True):
            if not there:
                path.symlink_to(target)
            Recorder(path).close()
            assert path.is_symlink()
            assert read(target)["entries"] == []

    @pytest.mark.skipif(os.name != "posix", reason="links and named pipes of POSIX")
    def test_a_pipe_is_written_into_and_not_replaced(self, path: Path) -> None:
        """A device like /dev/stdout neither: a program of root's would take it from every other."""
        os.mkfifo(path)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            Recorder(path).close()
            assert path.is_fifo()
            assert json.loads(os.read(reading, 1 << 16))["log"]["entries"] == []
        finally:
            os.close(reading)

    @pytest.mark.skipif(os.name != "posix", reason="/dev/fd is of POSIX")
    def test_stdout_gets_it_behind_what_was_printed(self, tmp_path: Path) -> None:
        program = (
            "from syncws.har import Recorder\nprint('before', flush=True)\nRecorder('/dev/fd/1').close()\n"
        )
        with open(tmp_path / "out", "wb") as out:
            subprocess.run([sys.executable, "-c", program], stdout=out, check=True, cwd=ROOT)
        first, rest = (tmp_path / "out").read_text().split("\n", 1)
        assert first == "before"
        assert json.loads(rest)["log"]["entries"] == []

    def test_a_second_close_and_later_steps_do_nothing(self, path: Path) -> None:
        recorder = Recorder(path)
        recorder.close()
        path.unlink()
        recorder(frame(1, "sent", b"x"))
        recorder.close()
        assert not path.exists()

    def test_a_connection_that_is_still_open_is_written_as_far_as_it_came(self, path: Path) -> None:
        with LoopbackServer() as server:
            with Recorder(path) as recorder:
                connection = syncws.connect(server.url, trace=recorder)
                connection.send("x")
                connection.recv(SECONDS)
            connection.send("y")
            assert connection.recv(SECONDS) == "y"
            connection.close()
        (entry,) = read(path)["entries"]
        assert said(entry) == [("send", 1, "x"), ("receive", 1, "x")]

    def test_what_would_fail_at_the_end_is_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            Recorder(tmp_path / "none" / "session.har")
        with pytest.raises(IsADirectoryError):
            Recorder(tmp_path)

    def test_where_it_cannot_be_written_the_old_one_stays_and_nothing_is_left(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(source: str, target: str) -> None:
            raise OSError("no space left")

        path.write_text("old")
        recorder = Recorder(path)
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", fail)
            with pytest.raises(OSError, match="no space"):
                recorder.close()
        assert (path.read_text(), list(path.parent.iterdir())) == ("old", [path])
        recorder.close()
        assert read(path)["entries"] == []

    @pytest.mark.skipif(os.name != "posix", reason="there is no fork, and no SIGINT to send")
    @pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGINT)", "sys.exit(3)", "1 / 0"])
    def test_whatever_ends_the_block_it_is_written(self, path: Path, end: str) -> None:
        program = f"""
            import os, signal, sys
            import syncws
            from syncws.har import Recorder
            from syncws.testing import LoopbackServer
            with LoopbackServer() as server, Recorder({str(path)!r}) as recorder:
                with syncws.connect(server.url, trace=recorder) as connection:
                    connection.send("x")
                    connection.recv()
                    {end}
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60, check=False
        )
        assert done.returncode != 0
        (entry,) = read(path)["entries"]
        assert said(entry) == [("send", 1, "x"), ("receive", 1, "x")]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    def test_a_forked_child_leaves_the_file_to_its_parent_and_says_so(self, path: Path) -> None:
        program = f"""
            import logging, os, sys
            import syncws
            from syncws.har import Recorder
            from syncws.testing import LoopbackServer
            logging.basicConfig(format="%(message)s")
            with LoopbackServer() as server, Recorder({str(path)!r}) as recorder:
                with syncws.connect(server.url, trace=recorder) as connection:
                    connection.send("parent")
                    connection.recv()
                    child = os.fork()
                    if child == 0:
                        with syncws.connect(server.url, trace=recorder) as mine:
                            mine.send("child")
                            mine.recv()
                        recorder.close()
                        os._exit(0)
                    os.waitpid(child, 0)
                    assert not os.path.exists({str(path)!r})
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("records nothing in the child") == 1
        (entry,) = read(path)["entries"]
        assert said(entry) == [("send", 1, "parent"), ("receive", 1, "parent")]


class TestThreads:
    def test_steps_of_many_threads_are_all_kept(self, path: Path) -> None:
        def work(number: int) -> None:
            for serial in range(500):
                step = "sent" if serial % 2 else "received"
                payload = str(serial).encode()
                record = frame(serial, step, payload)
                recorder(
                    TraceRecord(
                        serial, 1.5, number, step, opcode=1, final=True, size=record.size, payload=payload
                    )
                )

        with Recorder(path) as recorder:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(SECONDS)
        entries = read(path)["entries"]
        assert len(entries) == 8
        for entry in entries:
            assert [data for _, _, data in said(entry)] == [str(serial) for serial in range(500)]

    def test_a_step_and_the_end_on_top_of_another_step_wait_for_nothing(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a signal handler does it that interrupts the recorder on its own thread."""
        from syncws import _har_entry

        recorder = Recorder(path)
        add = _har_entry.Entry.add

        def interrupted(entry: _har_entry.Entry, record: TraceRecord) -> None:
            add(entry, record)
            if record.serial == 1:
                recorder(frame(2, "sent", b"within"))
            if record.serial == 3:
                recorder.close()

        monkeypatch.setattr(_har_entry.Entry, "add", interrupted)
        recorder(frame(1, "sent", b"first"))
        recorder(frame(3, "sent", b"last"))
        (entry,) = read(path)["entries"]
        assert [data for _, _, data in said(entry)] == ["first", "within", "last"]


class TestReplay:
    @pytest.fixture(autouse=True)
    def closing_on_return(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(LoopbackServer, "close_on_return", True)

    def test_what_was_recorded_is_played_and_what_that_gives_is_the_same(
        self, path: Path, tmp_path: Path
    ) -> None:
        again = tmp_path / "again.har"
        with LoopbackServer(conversation) as server, Recorder(path) as recorder:
            with syncws.connect(server.url, trace=recorder) as connection:
                converse(connection)
        with LoopbackServer() as server, Recorder(again) as recorder:
            server.replay(path)
            with syncws.connect(server.url, trace=recorder) as connection:
                converse(connection)
            assert server.take_errors() == []
        assert said(read(again)["entries"][0]) == said(read(path)["entries"][0])

    def test_the_close_of_the_server_is_played_too_and_an_attempt_without_an_answer_is_not(
        self, path: Path
    ) -> None:
        def script(peer: Peer) -> None:
            peer.accept()
            peer.send_close(4001, "expired")
            finish(peer)

        with Recorder(path) as recorder:
            with refusing() as url, pytest.raises(ConnectionRefusedError):
                syncws.connect(url, trace=recorder)
            with LoopbackServer(script) as server, syncws.connect(server.url, trace=recorder) as connection:
                with pytest.raises(syncws.ConnectionClosed):
                    connection.recv(SECONDS)
        with LoopbackServer() as server:
            assert len(server.replay(path).sessions) == 1
            with syncws.connect(server.url) as connection:
                with pytest.raises(syncws.ConnectionClosed) as closed:
                    connection.recv(SECONDS)
        assert (closed.value.code, closed.value.reason) == (4001, "expired")


def test_a_trace_in_a_child_is_warned_of_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(path)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    for serial in range(3):
        recorder(frame(serial, "sent", b"x"))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
