"""`_engine.reading.open_link`: reading, pauses, and the keepalive, by a clock that goes by a script."""

from __future__ import annotations

import itertools
import random
import time
from functools import partial

import pytest

from syncws._engine.consumer.inbox import LARGEST_UNASKED
from syncws._engine.reading.input_state import (
    FIRST_PAUSE,
    LAST_LOOK_SECONDS,
    LONGEST_PAUSE,
)
from syncws._engine.reading.open_link import LONGEST_SAMPLE, SHORTEST_SAMPLE, OpenLink
from syncws._engine.reading.read_size import LARGEST_READ, SMALLEST_READ
from syncws._engine.writing.pending_pings import PendingPing
from syncws._exceptions import WebSocketError
from syncws._protocol.frames import Opcode
from syncws.testing.wire import frame_bytes
from tests.support.scripted_link import ScriptedLink
from tests.support.threads import Task
from tests.support.waiting import SECONDS, wait_until

PING_TIMEOUT = (1006, "", False, "TimeoutError")


def end_soon(link: ScriptedLink) -> None:
    """Let the run end, without a trace in what a test looks at."""
    link.leave(abort_error=WebSocketError("the test is over"))


# What consumers have read.


def lending(link: ScriptedLink) -> ScriptedLink:
    """Consumers may read by lease, over the script's stream too."""
    link.link._lends = True
    return link


def read_and_be_cut_off(link: ScriptedLink, *chunks: bytes) -> None:
    """What a consumer leaves that a signal handler meets right behind its read."""
    assert link.lease._reader_has is False
    link.lease.input.needs_reader = True
    link.lease.input.chunks += chunks
    link.notes.wake()


def test_what_a_consumer_has_read_and_left_is_decoded_at_once() -> None:
    with ScriptedLink() as link:
        lending(link).at(1, link.serve_text, "first")
        link.at(2, read_and_be_cut_off, link, frame_bytes(Opcode.PING, b"?") + frame_bytes(Opcode.TEXT, b"x"))
        link.run_until(3)
        assert link.told("pong") == [(2, "pong", b"?")]
        assert [link.take(), link.take()] == ["first", "x"]


def test_an_error_that_a_consumer_has_met_is_told_as_the_loss() -> None:
    def meet() -> None:
        link.lease.input.error = ConnectionResetError("met by a consumer")
        read_and_be_cut_off(link)

    with ScriptedLink() as link:
        lending(link).at(1, link.serve_text, "first")
        link.at(2, meet)
        assert link.run() == 2
        assert link.ended == (1006, "", False, "ConnectionLost")
        assert "met by a consumer" in str(link.closing.outcome)


def test_the_socket_is_freed_only_when_no_consumer_is_in_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, False, True]
    seen: list[bool] = []

    def take() -> bool:
        seen.append(link.stream.was_closed)
        return answers.pop(0)

    with ScriptedLink() as link:
        monkeypatch.setattr(link.lease, "take", take)
        link.link.close()
        assert seen == [False] * 3
        assert link.stream.was_closed


# Reading.


def test_what_came_behind_the_answer_to_the_opening_handshake_is_received() -> None:
    with ScriptedLink(rest=frame_bytes(Opcode.TEXT, b"first") + frame_bytes(Opcode.PING, b"?")) as link:
        link.at(1, link.serve_text, "second")
        link.run_until(2)
        assert [link.take(), link.take()] == ["first", "second"]
        assert link.told("pong") == [(0, "pong", b"?")]


def test_a_close_behind_the_answer_to_the_opening_handshake_is_met() -> None:
    with ScriptedLink(rest=frame_bytes(Opcode.CLOSE, (4001).to_bytes(2, "big"))) as link:
        link.come_back()
        assert link.run() == 1
        assert link.ended == (4001, "", True, "")


def test_an_idle_link_waits_for_good_and_nothing_wakes_it() -> None:
    with ScriptedLink() as link:
        link.run_until(3600)
        assert [timeout for _, _, timeout in link.poller.waits] == [None]


def test_messages_are_received_as_they_come() -> None:
    with ScriptedLink() as link:
        for second in (1, 2, 3):
            link.at(second, link.serve_text, str(second))
            link.at(second + 0.5, lambda: received.append((link.seconds, link.take())))
        received: list[tuple[float, str | bytes]] = []
        link.run_until(4)
        assert received == [(1.5, "1"), (2.5, "2"), (3.5, "3")]


def test_reads_grow_while_the_network_fills_them_and_shrink_again() -> None:
    with ScriptedLink(max_queue=None, max_size=None) as link:
        frame = frame_bytes(Opcode.BINARY, bytes(2**16))
        sent = bytearray(frame * 64)
        link.at(1, link.pour, sent)
        link.run_until(10)
        assert not sent
        assert link.stream.reads[0] == SMALLEST_READ
        largest = max(link.stream.reads)
        assert 2 * SMALLEST_READ <= largest <= LARGEST_READ
        grown = link.stream.reads[: link.stream.reads.index(largest) + 1]
        assert grown == sorted(grown)
        assert all(later <= 2 * earlier for earlier, later in itertools.pairwise(grown))
        for number in range(10):
            link.at(link.seconds + 1 + number, link.serve_text, "small")
        link.run_until(link.seconds + 20)
        assert link.stream.reads[-1] == SMALLEST_READ


def test_a_large_message_is_read_into_its_place_while_nobody_streams() -> None:
    with ScriptedLink(max_queue=None, max_size=None) as link:
        payload = random.Random(1).randbytes(5 * 2**20)
        sent = bytearray(frame_bytes(Opcode.BINARY, payload) + frame_bytes(Opcode.TEXT, b"behind it"))
        link.at(1, link.pour, sent)
        link.run_until(10)
        assert link.take() == payload
        assert link.take() == "behind it"
        assert sum(link.stream.rooms) > len(payload) * 0.8


def test_an_error_while_a_large_message_is_read_into_its_place_is_the_loss() -> None:
    with ScriptedLink(max_queue=None, max_size=None) as link:
        link.at(1, link.server.sendall, frame_bytes(Opcode.BINARY, bytes(2**20))[:1000])
        link.at(2, setattr, link.stream, "error", ConnectionResetError("reset by the test"))
        link.at(2, link.server.sendall, b"more")
        link.run()
        assert link.ended == (1006, "", False, "ConnectionLost")
        assert link.stream.rooms


def test_several_reads_without_a_wait_take_what_one_does_not_hold() -> None:
    with ScriptedLink() as link:
        link.serve_text("x" * (3 * SMALLEST_READ))
        link.run_until(1)
        assert len(link.take()) == 3 * SMALLEST_READ
        assert len(link.stream.reads) > 1
        assert len(link.poller.waits) == 2, "for the first byte, and when all was read"


def test_pings_are_answered_in_order() -> None:
    with ScriptedLink() as link:
        for number in range(3):
            link.at(1, link.serve, Opcode.PING, b"%d" % number)
        link.run_until(2)
        assert link.told("pong") == [(1, "pong", b"0"), (1, "pong", b"1"), (1, "pong", b"2")]


def test_a_pong_answers_the_ping_of_the_application() -> None:
    with ScriptedLink() as link:
        ping = PendingPing()
        link.pings.sent(ping)
        link.at(1, link.serve, Opcode.PONG, b"another")
        link.at(2, link.serve, Opcode.PONG, ping.payload)
        link.run_until(1.5)
        assert ping.pong_at is None
        link.run_until(3)
        assert ping.pong_at is not None


def test_what_tls_itself_has_to_send_is_left_to_the_writer() -> None:
    with ScriptedLink() as link:
        link.stream.output_pending = True
        link.at(1, link.serve_text, "x")
        link.run_until(2)
        assert ("flush", None) in [told[1:] for told in link.output.told]


def test_a_message_that_somebody_begins_to_stream_is_given_as_far_as_it_is_here() -> None:
    streams: list[Task[str | bytes]] = []

    def begin() -> None:
        streaming = link.inbox.stream(SECONDS)
        streams.append(Task(partial(next, streaming)))
        wait_until(lambda: bool(link.inbox.waiters) and link.poller.woken)

    with ScriptedLink() as link:
        link.at(1, link.serve, Opcode.TEXT, b"first", False)
        link.at(3, begin)
        link.run_until(4)
        assert streams[0].result() == "first"


# Pauses.


def read_since(link: ScriptedLink, reads: int) -> bool:
    return len(link.stream.reads) > reads


@pytest.mark.parametrize(
    ("max_queue", "size", "count"), [((2**20, 1), 1, 1), ((2**20, 4), 1, 4), ((1000, None), 600, 2)]
)
def test_a_full_inbox_pauses_reading_until_the_last_message_is_taken_at_the_latest(
    max_queue: tuple[int, int | None], size: int, count: int
) -> None:
    with ScriptedLink(max_queue=max_queue) as link:
        for _ in range(count):
            link.serve_text("x" * size)
        link.at(1, link.serve, Opcode.PING)
        link.at(2, link.serve_close)
        link.run_until(10)
        assert link.told("pong", "server closed") == [], "it does not read"
        for number in range(count):
            link.at(link.seconds + 1 + number, link.take)
        last_at = link.seconds + count
        link.run()
        told = link.told("pong", "server closed")
        assert [what for _, what, _ in told] == ["pong", "server closed"]
        assert told[0][0] <= last_at


def test_a_paused_reader_looks_by_itself_at_growing_intervals() -> None:
    with ScriptedLink(max_queue=(None, 1)) as link:
        link.serve_text("x")
        link.run_until(20)
        waits = [timeout or 0 for at, _, timeout in link.poller.waits if at > 0][:-1]
        assert waits[0] == 2 * FIRST_PAUSE
        assert waits == sorted(waits)
        assert waits[-1] == LONGEST_PAUSE
        assert len(waits) < 40


def test_a_message_that_was_taken_without_a_word_is_noticed_within_a_second() -> None:
    with ScriptedLink(max_queue=(None, 1)) as link:
        link.serve_text("x")
        link.at(10, link.serve, Opcode.PING)
        link.at(20.1, link.inbox.messages.clear)  # by a consumer that looked before the pause
        link.run_until(30)
        ((at, _, _),) = link.told("pong")
        assert 20.1 <= at <= 20.1 + LONGEST_PAUSE


def test_a_reader_that_is_woken_just_before_the_message_is_taken_looks_again_soon() -> None:
    with ScriptedLink(max_queue=(None, 1)) as link:
        link.serve_text("x")
        link.at(10, link.serve, Opcode.PING)
        link.at(20.1, link.notes.wake)  # as `recv` does first
        link.at(20.1005, link.inbox.messages.clear)
        link.run_until(30)
        ((at, _, _),) = link.told("pong")
        assert 20.1 <= at < 20.11


def test_after_a_pause_the_next_one_begins_short_again() -> None:
    with ScriptedLink(max_queue=(None, 1)) as link:
        link.serve_text("x")
        link.at(10, link.take)
        link.at(11, link.serve_text, "y")
        link.run_until(12)
        first = next(
            timeout for at, is_for_socket, timeout in link.poller.waits if at == 11 and not is_for_socket
        )
        assert first == FIRST_PAUSE


def test_notes_are_followed_in_a_pause() -> None:
    with ScriptedLink(max_queue=(None, 1)) as link:
        link.serve_text("x")
        link.at(10.3, end_soon, link)
        assert link.run() == 10.3


def test_close_ends_a_pause() -> None:
    with ScriptedLink(max_queue=(None, 1)) as link:
        link.serve_text("x")
        link.at(1, link.serve_text, "y")
        link.at(1, link.serve_close, 4001)
        link.at(10.3, link.output.call_close)
        assert link.run() == pytest.approx(11.3)
        assert link.ended == (4001, "", True, "")
        assert link.take() == "x"


def test_a_large_message_that_nobody_asks_for_pauses_reading_until_somebody_does() -> None:
    size = LARGEST_UNASKED + 2**21
    header = bytes((0x82, 127)) + size.to_bytes(8, "big")
    left = [header, *[bytes(2**16)] * (size // 2**16)]

    def pour() -> None:
        link.server.setblocking(False)
        try:
            while left:
                left[0] = left[0][link.server.send(left[0]) :]
                left[:1] = left[:1] if left[0] else []
        except BlockingIOError:
            link.at(link.seconds + 0.01, pour)

    with ScriptedLink(max_size=None, max_queue=1000) as link:
        link.at(1, pour)
        link.run_until(20)
        assert LARGEST_UNASKED <= link.decoder.collected < size
        link.at(21, link.come_back)
        link.run_until(30)
        assert len(link.take()) == size


# Keepalive.


def test_a_ping_goes_out_at_each_interval() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=None) as link:
        link.run_until(101)
        assert [at for at, _, _ in link.told("ping")] == [20, 40, 60, 80, 100]


def test_a_pong_in_time_is_life() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:
        for ping in range(20, 201, 20):
            link.at(ping + 4.9, link.serve, Opcode.PONG)
        link.run_until(210)


def test_a_ping_that_nothing_answers_is_the_end_after_ping_timeout() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:
        link.come_back()
        link.at(25.25, link.end)
        assert link.run() == 25.25
        assert link.told("last close") == [(25, "last close", 1011)]
        assert link.ended == PING_TIMEOUT
        assert "ping_timeout=5 s" in str(link.closing.outcome and link.closing.outcome.error)


def test_any_byte_is_life() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:
        wire = frame_bytes(Opcode.BINARY, bytes(100))
        for number in range(100):
            link.at(20.1 + number, link.server.sendall, wire[number : number + 1])
        link.run_until(120)


def test_bytes_of_a_record_that_is_not_whole_are_life() -> None:
    """TLS gives nothing before a record is whole: then `recv` takes bytes and gives none."""
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:

        def drip() -> None:
            link.stream.raw.append(100)
            link.notes.wake()

        link.every(1, 100, drip)
        link.run_until(100)


def test_what_the_network_takes_of_what_was_sent_before_the_ping_is_life() -> None:
    """The server reads steadily, and answers each ping as it comes to it: megabytes are ahead of that."""
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:
        link.stream.handed, link.stream.held = 10**7, 6 * 10**6

        def read() -> None:
            link.stream.held = max(0, (link.stream.held or 0) - 10**5)

        link.every(1, 200, read)
        link.at(62, link.serve, Opcode.PONG)
        link.run_until(64)


def test_what_the_network_takes_of_what_was_sent_after_the_ping_is_none() -> None:
    """A server that stopped reading: our own kernel goes on taking, the network took the ping last."""
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:
        link.come_back()

        def send() -> None:
            link.stream.handed += 1000

        link.every(0.5, 100, send)
        assert 25 <= link.run() < 26.6
        assert link.ended == PING_TIMEOUT


def test_a_ping_that_is_stuck_lives_by_what_the_kernel_takes_before_it() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:
        link.come_back()
        link.output.stands = True
        link.output.unsent = 10**6

        def send() -> None:
            link.stream.handed += 1000
            link.stream.held = link.stream.handed

        link.every(1, 60, send)
        assert 65 <= link.run() <= 66.3, "it stands still from 60 on"
        assert link.ended == PING_TIMEOUT


def test_a_ping_that_waits_for_a_busy_writer_shows_no_dead_link() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:
        link.come_back()
        link.output.stands = True
        link.output.unsent = 10**6
        link.at(19, setattr, link.output, "is_preparing", True)
        link.at(60, setattr, link.output, "is_preparing", False)
        assert 64 <= link.run() <= 66.3, "the network stands still from 60 on"
        assert link.ended == PING_TIMEOUT


def test_a_pause_of_our_own_does_not_count_against_the_pong() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5, max_queue=(None, 1)) as link:
        link.serve_text("x")
        link.run_until(300)
        link.at(301, link.take)
        link.run_until(310)


def test_in_a_pause_a_standstill_of_what_is_sent_shows_a_dead_link() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5, max_queue=(None, 1)) as link:
        link.serve_text("x")
        link.output.stands = True
        link.output.unsent = 1000
        link.stream.handed = link.stream.held = 1000
        assert 25 <= link.run() < 26.3
        assert link.ended == PING_TIMEOUT


def test_in_a_pause_a_ping_that_the_network_does_not_take_shows_a_dead_link() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5, max_queue=(None, 1)) as link:
        link.serve_text("x")
        link.stream.handed = link.stream.held = 1000
        assert 25 <= link.run() < 26.3
        assert link.ended == PING_TIMEOUT


def test_a_process_that_stood_still_looks_into_the_socket_before_the_verdict() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:

        def stand_still() -> None:
            link.sleep(100)  # SIGSTOP, and the pong came meanwhile
            link.serve(Opcode.PONG)

        link.at(21, stand_still)
        link.at(124, link.serve, Opcode.PONG)
        link.run_until(125)


def test_a_process_that_stood_still_on_a_dead_link_gives_its_verdict_at_once() -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5) as link:
        link.come_back()
        link.at(21, link.sleep, 100)
        link.at(121.5, link.end)
        assert link.run() == 121.5
        assert link.told("last close") == [(121, "last close", 1011)]


@pytest.mark.parametrize("what", ["close", "ping"])
def test_a_last_look_takes_all_that_lies_in_the_socket(what: str) -> None:
    with ScriptedLink(ping_interval=20, ping_timeout=5, close_timeout=5, max_queue=None) as link:
        if what == "close":
            link.at(20, link.output.call_close)

        def stand_still() -> None:
            link.sleep(100)
            link.server.sendall(frame_bytes(Opcode.PING) + frame_bytes(Opcode.TEXT, b"x" * 60_000))
            link.serve_close(4001)

        link.at(21, stand_still)
        link.run()
        assert link.ended == (4001, "", True, "")


def test_a_last_look_has_an_end_where_bytes_never_stop() -> None:
    with ScriptedLink(close_timeout=5, max_queue=None) as link:
        link.output.call_close()
        frame = frame_bytes(Opcode.TEXT, b"x" * 60_000)

        def pour(size: int) -> bytes:
            link.sleep(0.01)  # each read takes its time, and there is always more
            assert link.seconds < 20, "it has no end"
            link.stream.drained = False
            return frame

        link.stream.recv = pour  # type: ignore[method-assign]
        link.at(1, link.serve_text, "the first of many")
        assert link.run() == pytest.approx(5 + LAST_LOOK_SECONDS, abs=0.03)
        assert link.ended == (1006, "", False, "TimeoutError")


@pytest.mark.parametrize("close_timeout", [0.04, 1, 10, 100])
def test_progress_is_looked_for_often_enough_and_not_too_often(close_timeout: float) -> None:
    with ScriptedLink(close_timeout=close_timeout) as link:
        link.output.stands = True
        link.output.unsent = 1000
        link.output.call_close()
        link.run()
        steps = [timeout for _, _, timeout in link.poller.waits if timeout]
        assert max(steps) <= LONGEST_SAMPLE + 1e-9
        assert len(steps) <= close_timeout / LONGEST_SAMPLE + 15
        assert min(steps[:-2], default=SHORTEST_SAMPLE) >= SHORTEST_SAMPLE - 1e-9


def test_where_nothing_is_sent_no_progress_is_looked_for() -> None:
    with ScriptedLink(close_timeout=100) as link:
        link.output.call_close()
        link.run()
        assert len(link.poller.waits) == 2, "it was woken once"


def test_by_itself_the_loop_goes_by_the_clock_of_the_system() -> None:
    with ScriptedLink() as scripted:
        link = OpenLink(
            scripted.closing,
            scripted.inbox,
            scripted.output,
            scripted.pings,
            scripted.notes,
            scripted.poller,
            scripted.stream,
            scripted.decoder,
            scripted.options,
            scripted.lease,
            time.monotonic,
        )
        assert abs(link.opened_at - time.monotonic()) < 10
