"""`syncws._engine.inline_send`: a sender writes its message itself, once, and leaves the rest to others."""

from __future__ import annotations

import errno
import threading
from functools import partial

import pytest

from syncws import connect
from syncws._engine import inline_send, send_queue
from syncws._engine.inline_send import APART_SECONDS, LARGEST
from syncws._engine.primitives import tokens
from syncws._engine.send_queue import TAKEN
from syncws._engine.writer_pool import WriterPool
from syncws._engine.writer_turn import FINISHED, IDLE, SCHEDULED
from syncws._protocol.encoder import Encoder
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._protocol.permessage_deflate import DeflateParameters, Deflater
from syncws.testing import LoopbackServer, Peer
from tests.support.interleaving import needs_points, steps
from tests.support.links import Link
from tests.support.waiting import SECONDS, wait_until

TEXT = Opcode.TEXT

pytestmark = pytest.mark.skipif(not inline_send.ALLOWED, reason="SYNCWS_INLINE=0, or PyPy")


def opened(*script: int | BaseException, inline: bool = True, encoder: Encoder | None = None) -> Link:
    """A link whose writer rests, and has rested for long enough."""
    link = Link(None, *script, inline=inline, encoder=encoder)
    run(link)
    assert link.queue.turn == IDLE
    link.queue.inline.sent_at = 0.0
    return link


def run(link: Link) -> None:
    """Let the writer send until nothing is left."""
    link.writer.run()
    while link.queue.turn == SCHEDULED:
        link.writer.run()


def payloads(link: Link) -> list[bytes]:
    return [frame.payload for frame in link.read_all()]


def test_a_message_that_stands_apart_is_written_by_its_sender() -> None:
    with opened() as link:
        assert link.queue.send(TEXT, b"alone") == TAKEN
        assert payloads(link) == [b"alone"]
        assert (link.queue.sent, link.queue.buffered, link.queue.inline.sent) == (5, 0, 1)
        assert link.queue.turn == IDLE
        assert link.pool._jobs.qsize() == 1  # that of `open`: no writer was called
        assert not tokens


def test_a_burst_is_the_writers_until_something_was_received() -> None:
    with opened() as link:
        link.queue.send(TEXT, b"first")
        link.queue.inline.sent_at += SECONDS  # as right after it
        link.queue.send(TEXT, b"second")
        assert payloads(link) == [b"first"]
        assert link.queue.turn == SCHEDULED
        run(link)
        assert payloads(link) == [b"second"]
        link.queue.inline.sent_at += SECONDS
        link.queue.inline.has_received = True
        link.queue.send(TEXT, b"third")
        assert payloads(link) == [b"third"]
        assert link.queue.inline.sent == 2
    assert 0 < APART_SECONDS < 0.001


@pytest.mark.parametrize("why", ["large", "writing", "fragments", "compressed", "closing"])
def test_what_is_not_for_its_sender_waits_for_the_writer(why: str) -> None:
    deflate = DeflateParameters() if why == "compressed" else None
    with opened(encoder=Encoder(Deflater(deflate)) if deflate else None) as link:
        payload = bytes(LARGEST + 1) if why == "large" else b"later"
        if why == "writing":
            assert link.queue.take_turn()
        elif why == "fragments":
            begun = link.fragments()
            assert link.queue.begin_fragments(begun)
            assert link.queue.send_fragment(begun, TEXT, b"begun")
        elif why == "closing":
            link.queue.close(CloseFrame(1000))
        link.queue.send(TEXT, payload)
        assert link.queue.inline.sent == 0
        assert payloads(link) == []
        if why == "writing":
            link.queue.finish()


@pytest.mark.parametrize("taken", [1, 5, 10])
def test_what_the_kernel_does_not_take_the_writer_sends_before_all_else(taken: int) -> None:
    with opened(taken) as link:
        link.queue.send(TEXT, b"hello")
        assert link.queue.buffered == 5
        link.queue.send(TEXT, b"behind")
        run(link)
        assert payloads(link) == [b"hello", b"behind"]
        assert (link.queue.buffered, link.writer.messages_sent) == (0, 2)
        assert link.stream.handed == 5 + 6 + 6 + 6


@pytest.mark.parametrize("error", [BlockingIOError(), InterruptedError()])
def test_where_the_kernel_is_full_the_writer_sends_it(error: OSError) -> None:
    with opened(error) as link:
        link.queue.send(TEXT, b"hello")
        assert link.pool._jobs.qsize() == 2, "a writer is called"
        run(link)
        assert payloads(link) == [b"hello"]


def test_an_error_of_the_socket_is_told_by_the_writer() -> None:
    with opened(OSError(errno.EPIPE, "gone"), OSError(errno.EPIPE, "gone")) as link:
        assert link.queue.send(TEXT, b"hello") == TAKEN
        run(link)
        assert isinstance(link.writer.error, OSError)
        assert link.queue.unsent == 5


def test_max_buffered_counts_only_what_waits() -> None:
    with opened() as link:
        link.queue._max_buffered = 5
        for _ in range(3):
            link.queue.inline.sent_at = 0.0
            link.queue.send(TEXT, b"hello")
        assert payloads(link) == [b"hello"] * 3


def test_after_the_end_nobody_sends_inline() -> None:
    with opened() as link:
        link.pool._registered = 1
        link.writer.stop()
        assert link.queue.turn == FINISHED
        link.queue.send(TEXT, b"late")
        assert payloads(link) == []


# Handlers, and other threads, at any step.


@needs_points
def test_a_message_whose_sender_is_interrupted_at_any_step_goes_out_once() -> None:
    for step in steps(5):
        with opened() as link:
            with step.interrupted(inline_send, send_queue):
                link.queue.send(TEXT, b"hello")
            taken = link.queue.taken
            jobs = link.pool._jobs.qsize()
            if link.queue.buffered:
                assert jobs > 1, "no writer is called for it"
            run(link)
            assert payloads(link) == [b"hello"] * (taken == 5)
            assert link.queue.buffered == 0
            assert (link.queue.inline.sent + link.writer.messages_sent) == (taken == 5)
            tokens.clear()


@needs_points
def test_a_handler_that_waits_at_any_step_finds_the_message_sent() -> None:
    def wait(link: Link) -> None:
        link.queue.waiters.wait_until(lambda: False, 0.001)
        run(link)
        seen.append(link.queue.buffered)

    for step in steps(5):
        seen: list[int] = []
        with opened() as link:
            with step.interrupted(inline_send, send_queue, by=partial(wait, link)):
                assert link.queue.send(TEXT, b"hello") == TAKEN
            assert seen == [0] * step.met
            run(link)
            assert payloads(link) == [b"hello"]
            assert (link.queue.sent, link.stream.handed) == (5, 11)


@needs_points
def test_a_handler_that_sends_at_any_step_keeps_both_messages_whole() -> None:
    for step in steps(5):
        with opened() as link:
            by = partial(link.queue.send, TEXT, b"handler")
            with step.interrupted(inline_send, send_queue, by=by):
                link.queue.send(TEXT, b"hello")
            run(link)
            assert sorted(payloads(link)) == [b"handler"] * step.met + [b"hello"]
            assert link.queue.buffered == 0


@pytest.mark.parametrize("what", ["stop", "run"])
def test_the_writer_at_any_step_counts_the_message_once(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # With the interpreter's lock no thread changes between the look at the token and the note of the call.
    monkeypatch.setattr(inline_send, "LOOKS_IN_ORDER", False)
    for step in steps(5):
        with opened() as link:
            with step.meanwhile(getattr(link.writer, what), inline_send, send_queue):
                link.queue.send(TEXT, b"hello")
            run(link)
            sent = payloads(link)
            assert sent in ([b"hello"], [] if what == "stop" else [b"hello"])
            assert link.queue.buffered == 5 * (link.queue.taken == 5 and not sent)


def test_a_child_after_a_fork_sends_nothing_of_it() -> None:
    with opened() as link:
        link.queue.inline.last.held = True
        link.queue.after_fork(bool)
        assert not link.queue.inline.last.held
        assert link.queue.inline.stream is None


def test_several_senders_keep_their_own_order() -> None:
    many = 3
    pool = WriterPool()
    with Link(pool, inline=True) as link:
        wait_until(lambda: link.queue.turn == IDLE)

        def send(name: int) -> None:
            for number in range(300):
                link.queue.send(TEXT, b"%d %d" % (name, number))

        threads = [threading.Thread(target=send, args=(name,)) for name in range(many)]
        for thread in threads:
            thread.start()
        got = [link.read().payload.split() for _ in range(300 * many)]
        for thread in threads:
            thread.join(SECONDS)
        for name in range(many):
            assert [int(number) for who, number in got if int(who) == name] == list(range(300))


@pytest.mark.parametrize("option", ["tls", "trace", "compression", "none"])
def test_only_a_plain_connection_has_it(option: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for message in peer:
            peer.send(message)

    options: dict[str, object] = {"compression": None}
    if option == "trace":
        options["trace"] = lambda record: None
    elif option == "tls":
        pytest.importorskip("trustme")
    elif option == "compression":
        options = {}
    with LoopbackServer(script, tls=option == "tls", compression=option == "compression") as server:
        if option == "tls":
            options["ssl_context"] = server.ssl_context
        with connect(server.url, **options) as connection:  # type: ignore[arg-type]
            for number in range(20):
                connection.send(str(number))
                assert connection.recv(SECONDS) == str(number)
            assert (connection._engine.queue.inline.sent > 0) == (option == "none")
            assert connection._engine.queue.inline.sent == 0 or connection.stats.messages_sent == 20
