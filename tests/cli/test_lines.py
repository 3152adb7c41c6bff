"""Lines of stdin become messages, messages go to stdout, in pipes."""

from __future__ import annotations

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import syncws
from tests.cli.scripts import Recorder, answer, read_to_the_close, say


def test_each_line_is_a_message_and_each_message_a_line() -> None:
    with LoopbackServer() as server:
        done = syncws(server.url, given="Grüße\nzwei\n".encode())
    assert (done.status, done.out.decode(), done.err) == (0, "Grüße\nzwei\n", "")


def test_a_line_ends_with_lf_or_cr_lf_alone() -> None:
    script = Recorder(echo=True)
    given = "\ufeffbom\na\r\nb\r\n\n\nx\na\rb\na\u2028b\x0bc\nno end"
    with LoopbackServer(script) as server:
        assert syncws(server.url, given=given.encode()).status == 0
    assert script.messages == ["\ufeffbom", "a", "b", "", "", "x", "a\rb", "a\u2028b\x0bc", "no end"]


def test_many_lines_come_back_in_order() -> None:
    given = "".join(f"line {number}\n" for number in range(20_000)).encode()
    with LoopbackServer() as server:
        done = syncws(server.url, given=given)
    assert (done.status, done.out == given, done.err) == (0, True, "")


def test_a_line_of_megabytes_is_one_message() -> None:
    given = b"x" * 5_000_000 + b"\n"
    with LoopbackServer() as server:
        done = syncws(server.url, given=given)
    assert (done.status, done.out == given) == (0, True)


def test_binary_messages_are_printed_as_they_are_in_a_pipe() -> None:
    with LoopbackServer(say(b"\x1b[2J\x00\xff", code=1000, reason="that is all")) as server:
        done = syncws(server.url, "--listen")
    assert (done.status, done.out) == (0, b"\x1b[2J\x00\xff\n")
    assert done.err == "syncws: the server closed: 1000 that is all\n"


def test_text_is_printed_as_it_is_in_a_pipe() -> None:
    with LoopbackServer(say("a\x1b[31mb\nc\r\td", code=1000)) as server:
        assert syncws(server.url, "--listen").out == b"a\x1b[31mb\nc\r\td\n"


def test_what_the_server_says_first_is_printed_though_stdin_is_empty() -> None:
    with LoopbackServer(say("welcome")) as server:
        done = syncws(server.url)
    assert (done.status, done.out, done.err) == (0, b"welcome\n", "")


def test_a_greeting_does_not_take_the_place_of_an_answer() -> None:
    def greet(peer: Peer) -> None:
        peer.accept()
        peer.send("welcome")
        peer.send(f"echo {peer.recv()!s}")
        read_to_the_close(peer)

    with LoopbackServer(greet) as server:
        done = syncws(server.url, given=b"hello\n")
    assert (done.status, done.lines) == (0, ["welcome", "echo hello"])


def test_a_message_with_line_ends_counts_once() -> None:
    with LoopbackServer(answer("one\ntwo\nthree", None)) as server:
        done = syncws(server.url, "--wait", "0.2", given=b"a\nb\n")
    assert (done.status, done.out) == (6, b"one\ntwo\nthree\n")


def test_the_connection_is_closed_with_1000() -> None:
    script = Recorder()
    with LoopbackServer(script) as server:
        assert syncws(server.url).status == 0
    assert script.close_codes == [1000]
