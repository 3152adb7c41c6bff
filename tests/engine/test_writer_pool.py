"""The connections share their writer threads: none waits for another's network, and none is forgotten."""

from __future__ import annotations

import collections
import contextlib
import queue
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest

import syncws
from syncws import Connection
from syncws._engine import writer_pool
from syncws._engine.writer_pool import Member, Pool
from syncws.testing import LoopbackServer, Peer
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS, wait_until

T = TypeVar("T")

# More than the kernel's buffers of one connection hold.
MUCH = bytes(2**24)


def writer_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.endswith("-writer")]


class Servers(contextlib.ExitStack):
    """A server that echoes, and one that does not read until it is told to.

    Attributes:
        read: set to have it read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read = threading.Event()
        self._echoing = self.enter_context(LoopbackServer())
        self._stalling = self.enter_context(LoopbackServer(self._stall))
        self._discarding = self.enter_context(LoopbackServer(self._discard))

    def _stall(self, peer: Peer) -> None:
        peer.accept()
        assert self.read.wait(SECONDS)
        peer.echo()

    def _discard(self, peer: Peer) -> None:
        peer.accept()
        peer.wait_eof(SECONDS)

    def connect(self) -> Connection:
        return self.enter_context(syncws.connect(self._echoing.url))

    def connect_discarding(self) -> Connection:
        """A connection whose server reads, and never answers."""
        return self.enter_context(syncws.connect(self._discarding.url, close_timeout=1))

    def connect_stalling(self) -> Connection:
        """A connection whose server does not read."""
        return self.enter_context(syncws.connect(self._stalling.url, max_size=None))


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    monkeypatch.setattr(
        writer_pool, "KEPT", 2
    )  # some versions of CPython have a reason of their own to keep all
    with Servers() as servers:
        yield servers
    assert not writer_threads()


def send_until_stalled(connection: Connection) -> None:
    connection.send(MUCH)
    wait_until(lambda: connection._writer._waiting == 0 and connection.bufferedAmount > 0)


def assert_answers(connection: Connection) -> None:
    connection.send("hello")
    assert connection.recv(SECONDS) == "hello"


def test_idle_connections_need_two_writer_threads_together(servers: Servers) -> None:
    assert not writer_threads()
    connections = [servers.connect()]
    assert writer_threads() == [connections[0]._engine.name + "-writer"]
    connections += [servers.connect() for _ in range(20)]
    for connection in connections:
        assert_answers(connection)
    wait_until(lambda: len(writer_threads()) == 2)
    for connection in connections[:-1]:
        connection.close()
    assert len(writer_threads()) == 1
    assert_answers(connections[-1])


def test_servers_that_do_not_read_hold_up_their_own_connections_only(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_pool, "IDLE_SECONDS", 0.001)
    reading: list[Connection] = []
    stalled = []
    for count in range(1, 9):
        stalled += [servers.connect_stalling()]
        send_until_stalled(stalled[-1])
        if count > 1:  # the first comes when all threads that are there are held up
            reading = [*reading[-3:], servers.connect()]
        for connection in reading:
            assert_answers(connection)
        expected = count + 1 if reading else count
        wait_until(lambda expected=expected: len(writer_threads()) == expected)  # type: ignore[misc]
    assert {f"{connection._engine.name}-writer" for connection in stalled} < set(writer_threads())
    servers.read.set()
    for connection in stalled:
        assert connection.recv(SECONDS) == MUCH
    wait_until(lambda: len(writer_threads()) == 2, "those that have nothing to do end")
    for connection in [*stalled, *reading]:
        assert_answers(connection)


@contextlib.contextmanager
def no_more_threads() -> Iterator[None]:
    """Let the system refuse to start a thread: no address space holds a stack so large."""
    before = threading.stack_size(2**60)
    try:
        with pytest.raises(RuntimeError, match="start new thread"):
            threading.Thread(target=print).start()
        yield
    finally:
        threading.stack_size(before)


def test_without_more_threads_those_that_are_there_serve_all(servers: Servers) -> None:
    stalling = [servers.connect_stalling() for _ in range(2)]
    reading = [servers.connect() for _ in range(5)]
    wait_until(lambda: len(writer_threads()) == 2)
    with no_more_threads():
        send_until_stalled(stalling[0])
        for connection in reading:
            for _ in range(1000):
                connection.send("hello")
        for connection in reading:
            for _ in range(1000):
                assert connection.recv(SECONDS) == "hello"
        send_until_stalled(stalling[1])  # now both are held up
        for connection in reading:
            connection.send("later")
        servers.read.set()
        for connection in reading:
            assert connection.recv(SECONDS) == "later"
        for connection in stalling:
            assert connection.recv(SECONDS) == MUCH


def test_close_on_a_writer_thread_as_a_finalizer_calls_it_does_not_wait_for_itself(servers: Servers) -> None:
    connection = servers.connect()
    closed = threading.Event()

    class Finalizer:
        thread_name = "syncws-0-writer"

        def serve(self) -> None:
            connection.close()
            closed.set()

    connection._writer.pool.submit(Finalizer())
    assert closed.wait(SECONDS)
    with pytest.raises(syncws.ConnectionClosed, match="1000"):
        connection.recv(SECONDS)


def test_without_more_threads_a_connection_that_never_stops_sending_takes_turns_with_others(
    servers: Servers,
) -> None:
    stalling, hot, other = servers.connect_stalling(), servers.connect_discarding(), servers.connect()
    wait_until(lambda: len(writer_threads()) == 2)
    answered = threading.Event()

    def keep_sending() -> None:
        while not answered.is_set():
            hot.send(bytes(1000))
            while hot.bufferedAmount > 2**20:  # but never down to nothing
                threading.Event().wait(0.0001)

    task = Task(keep_sending)
    with no_more_threads():
        send_until_stalled(stalling)
        wait_until(lambda: hot._writer.sent > 2**22)
        for _ in range(20):
            assert_answers(other)
        answered.set()
        task.result()
    servers.read.set()
    assert stalling.recv(SECONDS) == MUCH


class Account:
    """A member of a pool that counts what it was given to do, and tells when all of it is done."""

    thread_name = "syncws-0-writer"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._submitted = False
        self._given = 0
        self.done: queue.SimpleQueue[int] = queue.SimpleQueue()

    def give(self) -> None:
        with self._lock:
            self._given += 1
            submit, self._submitted = not self._submitted, True
        if submit:
            self._pool.submit(self)

    def serve(self) -> None:
        with self._lock:
            self._submitted = False
            done, self._given = self._given, 0
        self.done.put(done)

    def wait_done(self, count: int) -> None:
        while count > 0:
            count -= self.done.get(timeout=SECONDS)


class Hesitation:
    """Makes threads stop for a moment before and after what they do to the pool, where races would be."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def __enter__(self) -> None:
        if self._chance.random() < 0.5:
            threading.Event().wait(self._chance.random() * 0.0003)

    def __exit__(self, *_: object) -> None:
        self.__enter__()

    def into(self, pool: Pool) -> None:
        """Have those who use `pool` hesitate."""
        hesitation = self

        class Jobs(collections.deque[Member]):
            def append(self, member: Member) -> None:
                with hesitation:
                    super().append(member)

            def popleft(self) -> Member:
                with hesitation:
                    return super().popleft()

        class Free(list[threading.Lock]):
            def append(self, waiting: threading.Lock) -> None:
                with hesitation:
                    super().append(waiting)

            def copy(self) -> list[threading.Lock]:
                with hesitation:
                    return super().copy()

        class Counted(set[Any]):
            def __len__(self) -> int:
                with hesitation:
                    return super().__len__()

        pool._jobs, pool._free = Jobs(), Free()
        pool._threads, pool._members = Counted(), Counted()


def hesitating_pool(seed: int, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A pool whose threads end soon, and hesitate as all who use it."""
    monkeypatch.setattr(writer_pool, "KEPT", 2)
    monkeypatch.setattr(writer_pool, "IDLE_SECONDS", 0.0005)
    pool = Pool()
    Hesitation(seed).into(pool)
    return pool


def run_all(call: Callable[[T], object], arguments: Iterable[T]) -> None:
    """Call it with each of these, all at once."""
    for task in [Task(partial(call, argument)) for argument in arguments]:
        task.result()


@pytest.mark.parametrize("members", range(1, 6))
def test_no_job_is_forgotten_while_threads_come_and_go(members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = hesitating_pool(members, monkeypatch)
    all_quiet = threading.Barrier(members)

    def work(number: int) -> None:
        chance = random.Random(number)
        account = Account(pool)
        pool.enlist(account)
        for _ in range(100):
            for _ in range(chance.randrange(4)):
                account.give()
                account.wait_done(1)
            all_quiet.wait(SECONDS)  # what is forgotten now nobody's next job brings to light
            if number > 0:
                pool.leave(account)
            else:
                account.give()  # while threads end
                account.wait_done(1)
            all_quiet.wait(SECONDS)
            pool.enlist(account)
        pool.leave(account)

    run_all(work, range(members))
    assert pool.wait_left(SECONDS)
    assert not pool._threads and not pool._busy and not pool._free


@pytest.mark.parametrize("others", range(4))
def test_members_come_while_others_leave(others: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = hesitating_pool(others, monkeypatch)
    standing = [Account(pool) for _ in range(others)]
    leaving = Account(pool)
    for account in [*standing, leaving]:
        pool.enlist(account)

    def leave(account: Account) -> None:
        pool.leave(account)
        assert pool.wait_left(SECONDS)

    for _ in range(150):
        task = Task(partial(leave, leaving))
        leaving = Account(pool)
        pool.enlist(leaving)
        leaving.give()
        leaving.wait_done(1)
        task.result()
    for account in [*standing, leaving]:
        leave(account)
    assert not pool._threads and not pool._busy and not pool._free


@pytest.mark.parametrize("members", range(1, 6))
def test_no_job_waits_for_the_end_of_another(members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = hesitating_pool(members, monkeypatch)
    at_once = threading.Barrier(members)

    class Together(Account):
        def serve(self) -> None:
            at_once.wait(SECONDS)
            super().serve()

    accounts = [Together(pool) for _ in range(members)]
    for account in accounts:
        pool.enlist(account)

    def work(account: Together) -> None:
        for _ in range(60):
            account.give()
            account.wait_done(1)

    run_all(work, accounts)
    for account in accounts:
        pool.leave(account)
    assert pool.wait_left(SECONDS)


def test_messages_of_many_connections_all_arrive_while_writer_threads_come_and_go(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_pool, "IDLE_SECONDS", 0.0002)
    connections = [servers.connect() for _ in range(24)]
    count = 40

    def send(number: int) -> None:
        chance = random.Random(number)
        for _ in range(count):
            for connection in chance.sample(connections, len(connections)):
                connection.send(f"from {number}")

    with switching_all_the_time():
        run_all(send, range(3))
    for connection in connections:
        received = [connection.recv(SECONDS) for _ in range(3 * count)]
        assert sorted(received) == sorted(count * [f"from {number}" for number in range(3)])
