"""Other forms of what goes in and out: JSON Lines, files, given messages."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from syncws._cli.console import Console
from syncws._cli.outputs import Printer
from syncws.testing import LoopbackServer
from tests.cli.command import syncws
from tests.cli.scripts import Recorder, answer, say
from tests.support.servers import refusing
from tests.support.waiting import SECONDS


def test_jsonl_has_one_object_for_each_event() -> None:
    began = time.time()
    with LoopbackServer(answer("Grüße\n", b"\x00\xff", code=4001, reason="that is all")) as server:
        done = syncws(server.url, "--jsonl", given=b"one\ntwo\n")
        url = server.url
    events = [json.loads(line) for line in done.lines]
    assert done.status == 1
    assert all(began - 1 < event.pop("time") < time.time() + 1 for event in events)
    sent = [event for event in events if event["kind"] == "sent"]
    others = [event for event in events if event["kind"] != "sent"]
    assert sent == [
        {"kind": "sent", "type": "text", "size": 3, "data": "one"},
        {"kind": "sent", "type": "text", "size": 3, "data": "two"},
    ]
    assert others == [
        {"kind": "open", "url": url, "status": 101, "protocol": ""},
        {"kind": "message", "type": "text", "size": 8, "data": "Grüße\n"},
        {"kind": "message", "type": "binary", "size": 2, "encoding": "base64", "data": "AP8="},
        {"kind": "close", "code": 4001, "reason": "that is all", "clean": True},
    ]


def test_jsonl_tells_what_was_sent_before_what_answers_it(capfd: pytest.CaptureFixture[str]) -> None:
    printer = Printer(Console(), jsonl=True)
    with printer.sending("question"):
        answering = threading.Thread(target=printer.received, args=("answer",))
        answering.start()
        answering.join(0.1)  # The answer would be printed by now.
    answering.join(SECONDS)
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(event["kind"], event["data"]) for event in events] == [
        ("sent", "question"),
        ("message", "answer"),
    ]


def test_jsonl_tells_of_no_message_that_was_not_sent(capfd: pytest.CaptureFixture[str]) -> None:
    printer = Printer(Console(), jsonl=True)
    with pytest.raises(RuntimeError, match="over"), printer.sending("question"):
        raise RuntimeError("the connection is over")
    assert capfd.readouterr().out == ""


def test_jsonl_tells_a_failure_too() -> None:
    with refusing() as url:
        done = syncws(url, "--jsonl")
    (event,) = map(json.loads, done.lines)
    assert (done.status, event["kind"]) == (3, "error")
    assert "Connection refused" in event["message"]


def test_jsonl_is_one_line_whatever_the_server_says() -> None:
    with LoopbackServer(say("\n\r\x85\u2028\x1b\0", code=1000, reason="\n\x9b")) as server:
        done = syncws(server.url, "--jsonl", "--listen")
    lines = done.out.decode().split("\n")
    assert len(lines) == 4 and lines[-1] == ""
    assert json.loads(lines[1])["data"] == "\n\r\x85\u2028\x1b\0"
    assert json.loads(lines[2])["reason"] == "\n\x9b"


def test_pretty_json_over_several_lines_and_other_text_as_it_is() -> None:
    with LoopbackServer(say('{"a":[1,"ü"]}', "no {json}", "17", code=1000)) as server:
        done = syncws(server.url, "--pretty", "--listen")
    assert done.out.decode() == '{\n  "a": [\n    1,\n    "ü"\n  ]\n}\nno {json}\n17\n'


def test_messages_of_the_command_line_are_sent_and_stdin_is_left_alone() -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server:
        done = syncws(server.url, "-m", "one", "-m", "two\nlines", given=b"not this\n")
    assert (done.status, done.out) == (0, b"one\ntwo\nlines\n")
    assert script.messages == ["one", "two\nlines"]


def test_messages_of_the_command_line_can_be_binary() -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server:
        done = syncws(server.url, "--hex", "-m", "00 ff", "-m", "")
        assert (done.status, done.out) == (0, b"00ff\n\n")
        wrong = syncws(server.url, "--hex", "-m", "0g")
    assert script.messages == [b"\x00\xff", b""]
    assert wrong.status == 2
    assert "--message: it is not hexadecimal" in wrong.err


def test_a_file_is_one_binary_message(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    file, empty = tmp_path / "file", tmp_path / "empty"
    file.write_bytes(content)
    empty.write_bytes(b"")
    script = Recorder()
    with LoopbackServer(script) as server:
        done = syncws(server.url, "--file", str(file), "--file", str(empty), "-n", "0")
    assert (done.status, done.err) == (0, "")
    assert script.messages == [content, b""]


def test_a_file_may_be_text_and_may_be_stdin() -> None:
    script = Recorder()
    text = "zwei\nZeilen: äöü" * 20_000
    with LoopbackServer(script) as server:
        done = syncws(server.url, "--file", "-", "--text", "-n", "0", given=text.encode())
    assert done.status == 0
    assert script.messages == [text]


def test_a_file_that_is_no_text_is_told() -> None:
    with LoopbackServer() as server:
        done = syncws(server.url, "--file", "-", "--text", given=b"x" * 100_000 + b"\xff")
    assert done.status == 2
    assert "stdin is not UTF-8" in done.err


def test_messages_are_saved_as_files_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "00001.txt").write_text("from an earlier run")
    with LoopbackServer(say("text", b"\x00\x01", code=1000)) as server:
        done = syncws(server.url, "--save", str(tmp_path), "--listen")
    names = ["00002.txt", "00003.bin"]
    assert (done.status, done.lines) == (0, [str(tmp_path / name) for name in names])
    assert [(tmp_path / name).read_bytes() for name in names] == [b"text", b"\x00\x01"]
    assert (tmp_path / "00001.txt").read_text() == "from an earlier run"


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    with LoopbackServer(say("text", code=1000)) as server:
        done = syncws(server.url, "--save", str(tmp_path / "new" / "folder"), "--listen")
    assert (done.status, done.lines) == (0, [str(tmp_path / "new" / "folder" / "00001.txt")])


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with LoopbackServer() as server:
        done = syncws(server.url, "--save", str(tmp_path / "file"), "-m", "hello")
    assert (done.status, done.out) == (2, b"")
    assert f"--save: {tmp_path / 'file'} cannot be made: File exists" in done.err
    assert server.connections == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_message_that_cannot_be_saved_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with LoopbackServer(say("text", code=1000)) as server:
        done = syncws(server.url, "--save", str(tmp_path), "--listen")
    assert (done.status, done.out) == (2, b"")
    assert "cannot be saved" in done.err


def test_quiet_says_nothing_and_the_status_stays() -> None:
    with LoopbackServer(say("hello", code=4001)) as server:
        done = syncws(server.url, "--quiet", "--listen")
    assert (done.status, done.out, done.err) == (1, b"hello\n", "")


def test_large_messages_pass_both_ways() -> None:
    content = b"x" * 12_000_000
    with LoopbackServer() as server:
        done = syncws(server.url, "--file", "-", given=content)
    assert done.status == 0
    assert hashlib.sha256(done.out).digest() == hashlib.sha256(content + b"\n").digest()


def test_binary_standard_output_is_left_as_it_is_on_every_system() -> None:
    with LoopbackServer(say(b"\n\r\n", code=1000)) as server:
        assert syncws(server.url, "--listen").out == b"\n\r\n\n"
    assert sys.version_info >= (3, 10)
