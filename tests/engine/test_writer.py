"""`syncws._engine.writing.writer`: what it hands to the network, in how many calls, and how it ends."""

from __future__ import annotations

import errno
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from syncws._engine.writing.pending_pings import PendingPing
from syncws._engine.writing.writer import MAX_PONGS
from syncws._engine.writing.writer_pool import WriterPool
from syncws._engine.writing.writer_turn import FINISHED, IDLE, REFUSING, SCHEDULED, STOPPING, WRITING
from syncws._protocol.encoder import MAX_WRITE, Encoder
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._protocol.permessage_deflate import DeflateParameters, Deflater
from syncws._transport.poller import ForkedError
from tests.support.links import MUCH, Frame, Link
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, wait_until

TEXT, BINARY = Opcode.TEXT, Opcode.BINARY


def run(link: Link) -> None:
    """Write in the test's own thread until nothing is left, as the threads of a pool do."""
    while link.queue.turn == SCHEDULED:
        while link.pool.has_waiting:
            link.pool._jobs.get()
        link.writer.run()


# What goes out.


def test_all_that_waits_goes_out_in_one_call() -> None:
    with Link() as link:
        for number in range(50):
            link.queue.send(TEXT, b"%d" % number)
        run(link)
        assert link.socket.sends == 1
        assert link.read_all() == [Frame(TEXT, True, b"%d" % number) for number in range(50)]
        assert link.queue.buffered == 0
        assert link.queue.turn == IDLE


def test_control_frames_go_ahead_of_data() -> None:
    with Link() as link:
        link.queue.send(TEXT, b"data")
        link.writer.send_ping(b"ping")
        link.writer.send_pong(b"pong")
        link.queue.leave_note(ping := PendingPing())
        run(link)
        assert link.read_all() == [
            Frame(Opcode.PING, True, b"ping"),
            Frame(Opcode.PING, True, ping.payload),
            Frame(Opcode.PONG, True, b"pong"),
            Frame(TEXT, True, b"data"),
        ]


def test_the_time_of_a_ping_is_that_of_its_leaving_and_is_told() -> None:
    with Link() as link:
        assert link.writer.ping_sent_at == 0
        link.writer.send_pong(b"pong")
        run(link)
        assert (link.writer.ping_sent_at, link.changes) == (0, 0)
        before = time.monotonic()
        link.writer.send_ping(b"ping")
        run(link)
        assert before <= link.writer.ping_sent_at <= time.monotonic()
        assert link.writer.ping_position == link.stream.handed > 0
        assert link.changes == 1


def test_a_ping_of_the_application_awaits_its_pong_before_it_leaves() -> None:
    ping = PendingPing()
    seen: list[float | None] = []

    def arrive() -> None:
        link.pings.pong_received(ping.payload)  # the reader can be that quick
        seen.append(ping.pong_at)

    link: Link = Link(None, arrive)
    with link:
        link.queue.leave_note(ping)
        run(link)
        assert seen[0] is not None


def test_pongs_and_pings_go_between_the_pieces_of_large_data() -> None:
    def arrive() -> None:
        link.writer.send_pong(b"pong")
        link.writer.send_ping(b"ping")

    link = Link(None, arrive)
    messages = [bytes([number]) * (MAX_WRITE // 2) for number in range(6)]
    with link:
        for message in messages:
            link.queue.send(BINARY, message)
        writing = Task(lambda: run(link))
        frames = [link.read() for _ in range(8)]
        writing.result()
        kinds = [frame.opcode for frame in frames]
        assert sorted(kinds[:4]) == sorted([BINARY, BINARY, Opcode.PING, Opcode.PONG]), (
            "right behind what was sent"
        )
        assert [frame.payload for frame in frames if frame.opcode == BINARY] == messages


def test_where_thousands_of_pongs_wait_the_newest_go_out() -> None:
    with Link() as link:
        for number in range(MAX_PONGS + 10):
            link.writer.send_pong(b"%d" % number)
        assert link.pool._jobs.qsize() <= 2, "a flood of pings leaves no flood of jobs"
        writing = Task(lambda: run(link))
        payloads = [link.read().payload for _ in range(MAX_PONGS)]
        writing.result()
        assert payloads == [b"%d" % number for number in range(10, MAX_PONGS + 10)]
        assert link.read_all() == []


def test_what_was_handed_over_is_counted_piece_by_piece() -> None:
    def look() -> None:
        counts.add(link.queue.buffered)

    counts: set[int] = set()
    link = Link(None, *[look] * 100)
    with link:
        link.queue.send(BINARY, bytes(4 * MAX_WRITE))
        writing = Task(lambda: run(link))
        assert link.read().payload == bytes(4 * MAX_WRITE)
        writing.result()
        assert counts == {count * MAX_WRITE for count in (4, 3, 2, 1)}
        assert link.queue.buffered == 0


def test_a_thread_that_waits_for_room_is_woken_after_each_piece() -> None:
    with Link() as link:
        link.queue.send(BINARY, bytes(MUCH))
        waiting = Task(lambda: link.queue.waiters.wait_until(lambda: link.queue.buffered < MUCH))
        waiting.wait_blocked()
        writing = Task(lambda: run(link))
        for _ in range(2 * MAX_WRITE // 1024):
            link.peer.recv(1024)
        assert waiting.result()
        assert writing.running
        link.writer.stop()
        writing.result()


def test_compressed_messages_are_counted_as_they_were_given() -> None:
    encoder = Encoder(Deflater(DeflateParameters()))
    with Link(encoder=encoder) as link:
        link.queue.send(TEXT, b"again " * 1000)
        link.queue.send(TEXT, b"short")
        run(link)
        first, second = link.read_all()
        assert first.compressed and len(first.payload) < 100
        assert (second.compressed, second.payload) == (False, b"short")
        assert link.queue.buffered == 0


def test_nothing_is_sent_twice_where_the_network_takes_a_part_of_it() -> None:
    script: list[int | BaseException | Callable[[], None]] = [
        1,
        BlockingIOError(),
        3,
        0,
        2,
    ]
    with Link(None, *script) as link:
        link.queue.send(TEXT, b"message")
        run(link)
        assert link.read_all() == [Frame(TEXT, True, b"message")]


def test_a_writer_prepares_while_it_works_and_does_not_wait_for_the_network() -> None:
    seen: list[bool] = []

    class Watched(Encoder):
        def encode(self, *arguments: Any) -> Any:
            for step in super().encode(*arguments):
                seen.append(link.writer.is_preparing)
                yield step

    with Link(encoder=Watched()) as link:
        link.queue.send(BINARY, bytes(MUCH))
        assert not link.writer.is_preparing
        writing = Task(lambda: run(link))
        writing.wait_blocked()
        assert not link.writer.is_preparing
        assert len(link.read().payload) == MUCH
        writing.result()
        assert not link.writer.is_preparing
    assert set(seen) == {True}


# Turns.


def test_only_one_thread_writes_and_what_comes_meanwhile_is_sent_by_that_one() -> None:
    def arrive() -> None:
        link.queue.send(TEXT, b"second")
        link.writer.run()  # as another thread would
        assert link.queue.turn == WRITING

    link = Link(None, arrive)
    with link:
        link.queue.send(TEXT, b"first")
        run(link)
        assert [frame.payload for frame in link.read_all()] == [b"first", b"second"]
        assert link.queue.turn == IDLE


def test_a_writer_that_never_runs_out_of_work_takes_turns_with_others() -> None:
    with Link() as link:
        run(link)
        link.queue.send(TEXT, b"first")
        link.pool.schedule(None)  # another's job, for which this pool has no idle thread
        link.writer.run()
        assert link.queue.turn == SCHEDULED
        jobs = [link.pool._jobs.get(timeout=0) for _ in range(link.pool._jobs.qsize())]
        ours = weakref.ref(link.writer)
        assert jobs == [ours, None, ours], "behind the others"
        assert [frame.payload for frame in link.read_all()] == [b"first"]


# Closing.


def test_the_close_ends_the_writer_once_it_has_left() -> None:
    with Link() as link:
        before = time.monotonic()
        link.queue.send(TEXT, b"data")
        link.queue.close(CloseFrame(1000, "bye"))
        run(link)
        data, close = link.read_all()
        assert (data.payload, close.opcode, close.payload) == (b"data", Opcode.CLOSE, b"\x03\xe8bye")
        assert link.writer.close_sent_at is not None
        assert before <= link.writer.close_sent_at <= time.monotonic()
        assert (link.writer.is_finished, link.writer.error, link.changes) == (True, None, 1)
        link.writer.send_pong(b"late")
        link.writer.send_ping(b"late")
        link.writer.flush_pending()
        link.writer.close(CloseFrame(1011), last=True)
        link.writer.run()
        assert link.read_all() == []
        link.peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            link.peer.recv(1)  # the other side may still send: TCP has not ended


def test_a_fault_s_close_ends_the_output() -> None:
    with Link() as link:
        link.writer.close(CloseFrame(1002), last=True)
        run(link)
        assert link.read().opcode == Opcode.CLOSE
        with pytest.raises(EOFError):
            link.read()
        link.peer.send(b"still heard")
        assert link.stream.recv(100) == b"still heard"


def test_the_server_s_close_lets_whole_messages_through_and_cuts_one_in_fragments() -> None:
    with Link() as link:
        link.writer.server_closed()
        link.queue.send(TEXT, b"answer")
        fragments = link.fragments()
        assert link.queue.begin_fragments(fragments)
        assert link.queue.send_fragment(fragments, TEXT, b"begun")
        link.queue.send(TEXT, b"behind")
        link.writer.server_closed()
        assert not link.queue.send_fragment(fragments, Opcode.CONTINUATION, b"more")
        link.writer.close(CloseFrame(1000))
        run(link)
        assert [frame.payload for frame in link.read_all()] == [b"answer", b"begun", b"\x03\xe8"]
        assert link.writer.unsent == len(b"behind")


# The end before its time.


@pytest.mark.parametrize("turn", [IDLE, SCHEDULED])
def test_stop_ends_a_writer_that_does_not_write(turn: int) -> None:
    with Link() as link:
        run(link)
        assert link.queue.turn == IDLE
        if turn == SCHEDULED:
            link.queue.send(TEXT, b"never sent")
        link.pool._registered = 1
        link.writer.stop()
        assert link.writer.is_finished
        assert link.pool._registered == 0
        assert link.changes == 1
        link.writer.run()
        assert link.read_all() == []
        link.writer.stop()
        assert (link.pool._registered, link.changes) == (0, 1), "told once"


def test_stop_frees_a_writer_that_waits_for_the_network_at_once() -> None:
    with Link() as link:
        link.queue.send(BINARY, bytes(MUCH))
        writing = Task(lambda: run(link))
        writing.wait_blocked()
        began = time.monotonic()
        link.writer.stop()
        assert time.monotonic() - began < AT_ONCE
        writing.result()
        assert link.writer.is_finished
        assert link.writer.error is None, "it was not lost"
        assert 0 < link.writer.unsent <= MUCH


def test_stop_returns_when_no_thread_is_in_the_stream_and_not_before() -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        leave.wait()

    with Link(None, hold) as link:
        link.queue.send(TEXT, b"data")
        writing = Task(lambda: run(link))
        inside.wait()
        stopping = Task(link.writer.stop)
        wait_until(lambda: link.queue.turn == STOPPING)
        stopping.wait_blocked()
        assert not link.writer.is_finished
        leave.set()
        stopping.result()
        assert link.writer.is_finished
        writing.result()


@pytest.mark.parametrize("moment", ["before it rests", "before it yields", "before it sends"])
def test_stop_at_any_moment_of_a_turn_ends_the_writer(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Link() as link:
        if moment == "before it yields":
            link.pool.schedule(None)  # others wait
        call = {"before it rests": "rest", "before it yields": "yield_turn", "before it sends": "take_notes"}[
            moment
        ]
        original: Callable[[], object] = getattr(link.queue, call)
        stopping: list[Task[None]] = []

        def stop_first() -> object:
            if not stopping:
                stopping.append(Task(link.writer.stop))
                wait_until(lambda: link.queue.turn == STOPPING)
            return original()

        monkeypatch.setattr(link.queue, call, stop_first)
        link.queue.send(TEXT, b"data")
        if moment == "before it rests":
            link.pool._jobs.get()  # nobody waits
        link.writer.run()
        stopping[0].result()
        assert link.queue.turn == FINISHED
        assert link.queue.phase == REFUSING


def test_a_stopped_writer_sends_no_further_piece_though_the_network_would_take_it() -> None:
    stopping: list[Task[None]] = []

    def stop() -> None:
        stopping.append(Task(link.writer.stop))
        wait_until(lambda: link.queue.turn == STOPPING)

    link = Link(None, stop)
    with link:
        # This is as after a reset, which leaves the socket as it is: nothing there ends the sending.
        link.stream.shutdown = lambda: None  # type: ignore[method-assign]
        link.queue.send(BINARY, bytes(2 * MAX_WRITE))
        link.queue.close(CloseFrame(1000))
        writing = Task(lambda: run(link))
        drained = Task(lambda: [link.peer.recv(2**20) for _ in range(3)])
        writing.result()
        stopping[0].result()
        assert link.stream.handed < MAX_WRITE + 100
        link.stream.close()
        drained.wait()
        assert link.writer.close_sent_at is None


def test_a_lost_connection_is_told_with_its_error_and_what_was_not_sent() -> None:
    lost = ConnectionResetError(errno.ECONNRESET, "reset")
    with Link(None, 10, lost) as link:
        link.queue.send(TEXT, b"never whole")
        link.queue.close(CloseFrame(1000))
        run(link)
        assert link.writer.error is lost
        assert link.writer.is_finished
        assert link.changes == 1
        assert link.writer.close_sent_at is None
        assert link.writer.unsent == len(b"never whole")


@pytest.mark.parametrize("error", [MemoryError(), ValueError("a fault"), SystemExit()], ids=repr)
def test_a_fault_is_told_then_logged_with_its_traceback(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[bool] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(link.writer.is_finished and link.changes == 1 and link.writer.error is error)

    handler = Handler()
    logging.getLogger("syncws").addHandler(handler)
    try:
        with Link(None, error) as link:
            link.queue.send(TEXT, b"data")
            run(link)
    finally:
        logging.getLogger("syncws").removeHandler(handler)
    assert told == [True], "others may wait for the outcome in a frame that holds the lock of logging"
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[1] is error
    assert "a fault of syncws itself" in record.getMessage()


def test_a_fault_of_the_compressor_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    class Exhausted(Deflater):
        def compress(self, payload: Any, final: bool = True) -> bytes:
            raise MemoryError

    with Link(encoder=Encoder(Exhausted(DeflateParameters()))) as link:
        link.queue.send(TEXT, b"text " * 1000)
        run(link)
        assert isinstance(link.writer.error, MemoryError)
        assert link.writer.is_finished
        assert link.changes == 1


@pytest.mark.parametrize("error", [OSError("lost"), MemoryError()], ids=repr)
@pytest.mark.filterwarnings("ignore")
def test_the_end_lets_go_of_what_could_not_be_sent(error: BaseException) -> None:
    class Data(bytes):
        """Bytes that the garbage collector can find."""

    def fail() -> None:
        link.queue.send(TEXT, Data(b"meanwhile"))
        raise error

    with Link(None, fail) as link:
        link.queue.send(TEXT, Data(b"data"))
        link.queue.send(TEXT, Data(b"more"))
        run(link)
        assert link.writer.error is error
        gc.collect()
        assert not [found for found in gc.get_objects() if isinstance(found, Data)]
        assert link.queue.take_notes() == ([], False)


def test_a_fork_ends_the_writing_without_a_word() -> None:
    with Link(None, ForkedError()) as link:
        link.queue.send(TEXT, b"data")
        with pytest.raises(ForkedError):
            link.writer.run()
        assert link.writer.error is None
        assert link.changes == 0
        link.queue.after_fork(bool)
        assert link.writer.is_finished


def test_a_reader_that_cannot_be_told_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    with Link() as link:

        def fail() -> None:
            link.writer._on_change = nothing
            raise MemoryError

        def nothing() -> None:
            pass

        link.writer._on_change = fail
        link.pool._registered = 1
        link.queue.close(CloseFrame(1000))
        with pytest.raises(MemoryError):
            link.writer.run()
        assert link.writer.is_finished
        assert link.pool._registered == 0


def test_what_the_layer_below_has_pending_is_flushed_without_any_frame() -> None:
    with Link() as link:
        flushed: list[int] = []
        link.stream.flush = lambda: flushed.append(1)  # type: ignore[method-assign]
        run(link)
        flushed.clear()
        link.writer.flush_pending()
        assert link.queue.turn == SCHEDULED
        run(link)
        assert flushed
        assert link.queue.turn == IDLE


def test_a_thread_is_named_after_the_connection_that_it_writes_for() -> None:
    pool = WriterPool()
    names: list[str] = []
    with Link(pool, lambda: names.append(threading.current_thread().name), number=7) as link:
        link.queue.send(TEXT, b"data")
        assert link.read().payload == b"data"
    assert names == ["syncws-7-writer"]
    assert pool.wait_surplus_exited(20)
