"""`_engine.writing.writer_pool`: no job is forgotten, none waits for another's network, and threads come and
go."""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import random
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest

from syncws._engine import primitives, spare_threads
from syncws._engine.primitives import Waiters, is_own_thread
from syncws._engine.spare_threads import shared_spares
from syncws._engine.writing import writer_pool
from syncws._engine.writing.writer_pool import PooledWriter, WriterPool, forget_shared_pool, shared_pool
from syncws._exceptions import ThreadStartError
from syncws._protocol.frames import Opcode
from syncws._transport.poller import ForkedError
from tests.support.interleaving import needs_points, steps
from tests.support.links import MUCH, Link
from tests.support.moments import Moments, interrupt, needs_moments
from tests.support.threads import Task, needs_spares, switching_all_the_time
from tests.support.waiting import AT_ONCE, SECONDS, wait_for, wait_until

T = TypeVar("T")


def writer_threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.endswith("-writer"))


@pytest.fixture(autouse=True)
def _few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # Some versions of CPython have a reason to keep all.
    monkeypatch.setattr(writer_pool, "MIN_THREADS", 2)
    monkeypatch.setattr(writer_pool, "KEPT_THREADS", 4)


@pytest.fixture
def pool() -> Iterator[WriterPool]:
    pool = WriterPool()
    yield pool
    assert pool.wait_surplus_exited(SECONDS)
    assert (pool._threads, pool._busy, pool._registered) == (0, 0, 0)


@contextlib.contextmanager
def links(pool: WriterPool, count: int) -> Iterator[list[Link]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Link(pool, number=number)) for number in range(1, count + 1)]


def schedule(pool: WriterPool, job: PooledWriter) -> None:
    """Have `job` run, which the mailbox holds."""
    pool.schedule(lambda: job)


class Job:
    """A job that waits until it may end."""

    def __init__(self, name: str = "syncws-0-writer") -> None:
        self.thread_name = name
        self.begun, self.leave = threading.Event(), threading.Event()
        self.threads: list[str] = []
        self.is_enlisted = False

    def run(self) -> None:
        self.threads.append(threading.current_thread().name)
        self.begun.set()
        wait_for(self.leave)


class Call:
    """A job that makes a call."""

    thread_name = "syncws-0-writer"

    def __init__(self, call: Callable[[], object]) -> None:
        self.run = call


def assert_answers(link: Link) -> None:
    link.queue.send(Opcode.TEXT, b"hello")
    assert link.read().payload == b"hello"


def stall(link: Link) -> None:
    """Have a thread wait for the network of this link."""
    link.queue.send(Opcode.BINARY, bytes(MUCH))
    wait_until(lambda: link.socket.times_full > 0)


def free(link: Link) -> None:
    """Read what a link that was stalled sends."""
    assert len(link.read().payload) == MUCH


# How many threads there are.


def test_idle_connections_need_few_threads_together(pool: WriterPool) -> None:
    with links(pool, 1):
        assert writer_threads() == ["syncws-1-writer"]
    assert pool.wait_surplus_exited(SECONDS)
    with links(pool, 20) as many:
        for link in many:
            assert_answers(link)
        wait_until(lambda: 1 <= len(writer_threads()) <= 4)
        for link in many[1:]:
            link.close()
        wait_until(lambda: len(writer_threads()) == 1)
        assert_answers(many[0])


@needs_spares
def test_the_next_connection_has_the_thread_of_the_last(
    pool: WriterPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare_threads, "STAY_SECONDS", SECONDS)
    spares = shared_spares()
    assert spares is not None
    idents = []
    for _ in range(3):
        pool.register("syncws-1-writer")
        job = Job()
        job.leave.set()
        schedule(pool, job)
        wait_for(job.begun)
        idents.append([thread.ident for thread in threading.enumerate() if thread.name.endswith("-writer")])
        pool.unregister()
        assert pool.wait_surplus_exited(AT_ONCE), "the end of the process does not wait for a spare thread"
        wait_until(lambda: len(spares._waiting) == 1)
    assert idents[0] == idents[1] == idents[2] and len(idents[0]) == 1
    monkeypatch.setattr(spare_threads, "STAY_SECONDS", 0.0)
    spares.give(("spare-last", bool))


@needs_points
def test_a_handler_that_raises_as_a_connection_goes_keeps_no_thread(pool: WriterPool) -> None:
    for step in steps(1):
        pool.register("syncws-1-writer")
        wait_until(lambda: pool._threads == 1)
        with step.interrupted(writer_pool):
            pool.unregister()
        if pool._registered:  # the handler came before anything was done
            pool.unregister()
        wait_until(lambda: not pool._threads)


def test_of_several_idle_threads_four_are_kept(pool: WriterPool) -> None:
    with links(pool, 7) as many:
        for link in many:
            stall(link)
        wait_until(lambda: pool._threads == 7)
        for link in many:
            free(link)
        wait_until(lambda: pool._threads == 4)
        for link in many:
            assert_answers(link)
        assert pool._threads == 4
        for link in many[1:]:
            link.close()
        wait_until(lambda: pool._threads == 1)
        assert_answers(many[0])
    wait_until(lambda: pool._threads == 0)


def test_what_is_to_run_after_the_last_thread_has_ended_is_not_kept(pool: WriterPool) -> None:
    job = Job()
    call, kept = pool.make_call(job), weakref.ref(job)
    call()
    call()
    del job
    gc.collect()
    assert kept() is None
    last = Job()
    last.leave.set()
    pool.register("syncws-1-writer")
    pool.make_call(last)()
    wait_for(last.begun)
    pool.unregister()


def test_a_connection_that_goes_where_no_thread_is_leaves_nothing_to_be_done(pool: WriterPool) -> None:
    pool.enlist(Job())
    pool.unregister()
    assert pool._jobs.qsize() == 0


def test_no_thread_is_started_for_a_connection_while_two_are_idle(
    pool: WriterPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    start = threading.Thread.start

    def count(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    with links(pool, 2):
        wait_until(lambda: pool._threads == 2)
        monkeypatch.setattr(threading.Thread, "start", count)
        for number in range(3, 6):
            pool.register(f"syncws-{number}-writer")
        for _ in range(3):
            pool.unregister()
        assert not started


def test_a_connection_that_waits_for_its_network_holds_up_no_other(pool: WriterPool) -> None:
    with links(pool, 6) as stalled, links(pool, 3) as others:
        for count, link in enumerate(stalled, 1):
            stall(link)
            for other in others:
                assert_answers(other)
            wait_until(lambda count=count: len(writer_threads()) > count)  # type: ignore[misc]
        for link in stalled:
            free(link)
        wait_until(lambda: len(writer_threads()) <= 4, "those that have nothing to do end")
        for link in [*stalled, *others]:
            assert_answers(link)


def test_all_are_kept_where_no_thread_can_be_started_at_the_end_of_the_process(
    pool: WriterPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_pool, "MIN_THREADS", 2**31)
    monkeypatch.setattr(writer_pool, "KEPT_THREADS", 2**31)
    with links(pool, 5) as many:
        wait_until(lambda: len(writer_threads()) == 5)
        many[0].close()
        wait_until(lambda: len(writer_threads()) == 4)


@contextlib.contextmanager
def no_more_threads() -> Iterator[None]:
    """Let the system refuse to start a thread: no address space holds a stack so large."""
    before = threading.stack_size(2**60)
    try:
        with pytest.raises(RuntimeError, match="start"):
            threading.Thread(target=print).start()
        yield
    finally:
        threading.stack_size(before)


def test_without_more_threads_those_that_are_there_serve_all(pool: WriterPool) -> None:
    with links(pool, 2) as stalled, links(pool, 5) as others:
        wait_until(lambda: len(writer_threads()) == 2)
        with no_more_threads():
            stall(stalled[0])
            for _ in range(100):
                for link in others:
                    assert_answers(link)
            stall(stalled[1])  # now both are held up
            for link in others:
                link.queue.send(Opcode.TEXT, b"later")
            assert pool.has_waiting
            for link in stalled:
                free(link)
            for link in others:
                assert link.read().payload == b"later"


def test_without_more_threads_a_connection_that_never_stops_sending_takes_turns(pool: WriterPool) -> None:
    with links(pool, 3) as (stalled, hot, other):
        wait_until(lambda: len(writer_threads()) == 2)
        answered = threading.Event()

        def keep_sending() -> None:
            hot.queue.send(Opcode.TEXT, b"never runs out: " + bytes(100))
            hot.socket.script.append(keep_sending if not answered.is_set() else 2**20)

        drained = Task(lambda: [hot.read() for _ in iter(answered.is_set, True)])
        with no_more_threads():
            stall(stalled)
            hot.socket.script.append(keep_sending)
            hot.queue.send(Opcode.TEXT, b"first")
            wait_until(lambda: hot.socket.sends > 100)
            for _ in range(20):
                assert_answers(other)
            answered.set()
        free(stalled)
        drained.result()


def test_a_connection_for_which_there_is_no_thread_is_told(pool: WriterPool) -> None:
    with no_more_threads(), pytest.raises(ThreadStartError, match="writer thread of syncws-9-writer"):
        pool.register("syncws-9-writer")
    assert pool._registered == 0


def test_a_registration_that_is_cut_off_is_none(pool: WriterPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(threading.Thread, "start", interrupted)
        pool.register("syncws-9-writer")
    assert pool._registered == 0


@needs_moments
def test_a_handler_that_raises_at_any_moment_of_a_registration_leaves_none_behind(pool: WriterPool) -> None:
    moments = Moments(interrupt, writer_pool, primitives)
    for delay in moments.each(20):
        with moments.within(delay):
            pool.register("syncws-9-writer")
            moments._inside = False
            pool.unregister()
        assert pool._registered == 0


# Jobs.


def test_a_job_that_is_scheduled_twice_is_done_by_one_thread_at_a_time_and_both_are_free_again(
    pool: WriterPool,
) -> None:
    with links(pool, 2) as (link, other):
        for _ in range(100):
            link.queue.wake()
            link.queue.wake()
        assert_answers(link)
        assert_answers(other)


def test_whether_a_connection_waits_for_a_thread_is_known(pool: WriterPool) -> None:
    pool.register("syncws-1-writer")
    first, second = Job(), Job()
    with no_more_threads():
        schedule(pool, first)
        wait_for(first.begun)
        assert not pool.has_waiting
        schedule(pool, second)
        assert pool.has_waiting
    first.leave.set()
    wait_for(second.begun)
    assert not pool.has_waiting
    second.leave.set()
    pool.unregister()


def test_a_job_that_an_idle_thread_is_about_to_take_waits_for_none(pool: WriterPool) -> None:
    pool._threads = 2
    schedule(pool, Job())
    assert not pool.has_waiting
    pool._busy = 2
    assert pool.has_waiting
    pool._threads = pool._busy = 0
    pool._jobs.get()


def test_the_last_idle_thread_starts_another_before_it_begins(pool: WriterPool) -> None:
    pool.register("syncws-1-writer")
    pool.register("syncws-2-writer")
    pool.register("syncws-3-writer")
    jobs = [Job(f"syncws-{number}-writer") for number in range(1, 4)]
    for job in jobs:
        schedule(pool, job)
        wait_for(job.begun)
    assert [job.threads for job in jobs] == [[job.thread_name] for job in jobs]
    assert len(writer_threads()) == 3, "never more than connections"
    for job in jobs:
        job.leave.set()
        pool.unregister()


@pytest.mark.parametrize("error", [ValueError("a fault"), SystemExit()], ids=repr)
def test_a_job_that_raises_is_logged_and_its_thread_goes_on(
    error: BaseException, pool: WriterPool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    pool.register("syncws-1-writer")
    job = Job()
    schedule(pool, Call(fail))
    schedule(pool, job)
    wait_for(job.begun)
    job.leave.set()
    pool.unregister()
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[1] is error


def test_a_job_runs_on_a_thread_that_must_not_wait_for_a_connection(pool: WriterPool) -> None:
    known: queue.SimpleQueue[bool] = queue.SimpleQueue()
    pool.register("syncws-1-writer")
    schedule(pool, Call(lambda: known.put(is_own_thread())))
    assert known.get(timeout=SECONDS)
    pool.unregister()


def test_a_wait_for_threads_that_are_too_many_ends_in_time(pool: WriterPool) -> None:
    pool.register("syncws-1-writer")
    job = Job()
    schedule(pool, job)
    wait_for(job.begun)
    pool.unregister()
    assert not pool.wait_surplus_exited(0.01)
    job.leave.set()
    assert pool.wait_surplus_exited(SECONDS)


# Many at once.


class Account:
    """A member of a pool that counts what it was given to do, and tells when all of it is done."""

    thread_name = "syncws-0-writer"

    def __init__(self, pool: WriterPool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._given = 0
        self.done: queue.SimpleQueue[int] = queue.SimpleQueue()

    def give(self) -> None:
        with self._lock:
            self._given += 1
            first = self._given == 1
        if first:
            schedule(self._pool, self)

    def run(self) -> None:
        with self._lock:
            done, self._given = self._given, 0
        self.done.put(done)

    def wait_done(self, count: int) -> None:
        while count > 0:
            count -= self.done.get(timeout=SECONDS)


class Hesitating(WriterPool):
    """A pool whose threads, and those who use it, stop for a moment where races would be."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        super().__init__()
        put, get = self._jobs.put, self._jobs.get
        hesitate = self._hesitate

        class Jobs:
            qsize = self._jobs.qsize

            @staticmethod
            def put(item: Any) -> None:
                hesitate()
                put(item)
                hesitate()

            @staticmethod
            def get(block: bool = True, timeout: float | None = None) -> Any:
                hesitate()
                return get(block, timeout)

        self._jobs = Jobs
        self.schedule = Jobs.put

    def _hesitate(self) -> None:
        if self._chance.random() < 0.5:
            threading.Event().wait(self._chance.random() * 0.0003)

    def _needed(self) -> int:
        self._hesitate()
        needed = super()._needed()
        self._hesitate()
        return needed


@pytest.fixture
def hesitating(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriterPool]:
    monkeypatch.setattr(writer_pool, "KEPT_THREADS", 1)  # so that threads end all the time
    pool = Hesitating(len(request.node.name))
    yield pool
    assert pool.wait_surplus_exited(SECONDS)
    wait_until(lambda: not pool._threads)
    assert not pool._busy and not pool._registered


def run_all(call: Callable[[T], object], arguments: Iterable[T]) -> None:
    """Call it with each of these, all at once."""
    for task in [Task(partial(call, argument)) for argument in arguments]:
        task.result()


@pytest.mark.parametrize("members", range(1, 6))
def test_no_job_is_forgotten_while_threads_come_and_go(members: int, hesitating: WriterPool) -> None:
    all_quiet = threading.Barrier(members)

    def work(number: int) -> None:
        chance = random.Random(number)
        account = Account(hesitating)
        hesitating.register(account.thread_name)
        for _ in range(60):
            for _ in range(chance.randrange(4)):
                account.give()
                account.wait_done(1)
            all_quiet.wait(SECONDS)  # No later job would uncover a job that is forgotten now.
            if number > 0:
                hesitating.unregister()
            else:
                account.give()  # while threads end
                account.wait_done(1)
            all_quiet.wait(SECONDS)
            if number > 0:
                hesitating.register(account.thread_name)
        hesitating.unregister()

    run_all(work, range(members))


@pytest.mark.parametrize("others", range(4))
def test_members_come_while_others_leave(others: int, hesitating: WriterPool) -> None:
    for _ in range(others + 1):
        hesitating.register("syncws-0-writer")

    def leave() -> None:
        hesitating.unregister()
        assert hesitating.wait_surplus_exited(None)

    for _ in range(100):
        task = Task(leave)
        coming = Account(hesitating)
        hesitating.register(coming.thread_name)
        coming.give()
        coming.wait_done(1)
        task.result()
    for _ in range(others + 1):
        leave()


@pytest.mark.parametrize("members", range(1, 6))
def test_no_job_waits_for_the_end_of_another(members: int, hesitating: WriterPool) -> None:
    at_once = threading.Barrier(members)

    class Together(Account):
        def run(self) -> None:
            at_once.wait(SECONDS)
            super().run()

    accounts = [Together(hesitating) for _ in range(members)]
    for account in accounts:
        hesitating.register(account.thread_name)

    def work(account: Together) -> None:
        for _ in range(60):
            account.give()
            account.wait_done(1)

    run_all(work, accounts)
    for _ in accounts:
        hesitating.unregister()


def test_messages_of_many_connections_all_arrive_while_threads_come_and_go(
    pool: WriterPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_pool, "KEPT_THREADS", 1)
    count, senders = 40, 3
    with links(pool, 24) as many:

        def send(number: int) -> None:
            chance = random.Random(number)
            for _ in range(count):
                for link in chance.sample(many, len(many)):
                    link.queue.send(Opcode.TEXT, b"from %d" % number)

        with switching_all_the_time():
            run_all(send, range(senders))
        for link in many:
            received = sorted(link.read().payload for _ in range(senders * count))
            assert received == sorted(count * [b"from %d" % number for number in range(senders)])


# The pool of the process.


def test_there_is_one_pool_in_a_process() -> None:
    pools: list[WriterPool] = []
    run_all(lambda _: pools.append(shared_pool()), range(4))
    assert len(set(map(id, pools))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_a_pool_of_its_own(pool: WriterPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_pool, "_shared", {"pool": pool})
    with links(pool, 2) as (link, _):
        assert_answers(link)
        child = os.fork()
        if child == 0:
            status = 8
            try:
                primitives.renew_after_fork()
                forget_shared_pool()
                fresh = shared_pool()
                done = threading.Event()
                fresh.register("syncws-1-writer")
                schedule(fresh, Call(done.set))
                status = 7 if fresh is not pool and done.wait(SECONDS) else 9
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert_answers(link)


def test_a_greenlet_that_a_fork_took_along_waits_for_good(
    pool: WriterPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread stands for the greenlet."""
    parked, leave = threading.Event(), threading.Event()

    def park() -> None:
        parked.set()
        wait_for(leave)

    def forked() -> None:
        pool.after_fork()
        raise ForkedError

    monkeypatch.setattr(writer_pool, "block_forever", park)
    pool.register("syncws-1-writer")
    schedule(pool, Call(forked))
    wait_for(parked)
    assert (pool._threads, pool._busy) == (0, -1)
    pool._busy = 0
    leave.set()
    pool.unregister()


def test_the_end_of_a_thread_is_told_to_who_waits_for_it(pool: WriterPool) -> None:
    assert isinstance(pool._changes, Waiters)
    pool.register("syncws-1-writer")
    task = Task(lambda: pool.wait_surplus_exited(SECONDS))
    assert task.result()
    job = Job()
    schedule(pool, job)
    wait_for(job.begun)
    pool.unregister()
    task = Task(lambda: pool.wait_surplus_exited(None))
    task.wait_blocked()
    job.leave.set()
    assert task.result()
