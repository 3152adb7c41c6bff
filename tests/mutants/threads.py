"""Faults of locks, waits and threads: the primitives, the pool, the worker, the engine, forks and the end."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_engine"

PRIMITIVES = tuple(f"engine/test_primitives{part}.py" for part in ("", "_mailboxes", "_forks"))
POOL = ("engine/test_writer_pool.py",)
SPARES = ("engine/test_spare_threads.py",)
DISPATCHER = ("engine/test_dispatcher.py",)
ENGINE = ("engine/test_engine.py",)
PROCESS = ("engine/test_process.py",)

MUTANTS = (
    Mutant(
        "a handler that raises leaves a lock held",
        "            for _ in acquires:\n                return",
        "            lock.acquire()",
        PRIMITIVES,
    ),
    Mutant(
        "a change between the first look and the wait is missed",
        "                result = predicate()\n                if result or",
        "                if result or",
        PRIMITIVES,
    ),
    Mutant(
        "a signal right before a wait of the main thread is noticed after the wait",
        "    longest = _LONGEST_ON_MAIN if on_main else threading.TIMEOUT_MAX",
        "    longest = threading.TIMEOUT_MAX",
        PRIMITIVES,
    ),
    Mutant(
        "all threads wake up at times for signals that only one handles",
        "    longest = _LONGEST_ON_MAIN if on_main else threading.TIMEOUT_MAX",
        "    longest = _LONGEST_ON_MAIN",
        PRIMITIVES,
    ),
    Mutant(
        "a notify wakes nobody",
        "            woken += sleeping\n            collections.deque(releases, 0)",
        "            woken += sleeping",
        PRIMITIVES,
    ),
    Mutant(
        "a handler that raises in notify lets others sleep",
        "                sleeping = self._sleeping\n                self._sleeping = nobody\n"
        "        finally:\n"
        "            woken += sleeping\n            collections.deque(releases, 0)",
        "                sleeping = self._sleeping\n                self._sleeping = nobody\n"
        "        finally:\n"
        "            pass\n        woken += sleeping\n        collections.deque(releases, 0)",
        PRIMITIVES,
    ),
    Mutant(
        "each wait that times out leaves an entry",
        "                with leaf:\n"
        "                    self._sleeping[sleeper] = None  # A notify() may have removed it already.\n"
        "                    del self._sleeping[sleeper]",
        "                pass",
        PRIMITIVES,
    ),
    Mutant(
        "a wait that a handler forked out of sleeps on in the child",
        "        self._leaf.renew()\n        self.notify()",
        "        self._leaf.renew()",
        PRIMITIVES,
    ),
    Mutant(
        "a lock that is held at a fork stays so in the child",
        "        self._leaf.renew()\n        self.notify()",
        "        self.notify()",
        PRIMITIVES,
    ),
    Mutant(
        "a flag wakes one thread alone",
        "                        _ = None in self._opens  # This",
        "                        pass  # This",
        PRIMITIVES,
    ),
    Mutant(
        "a handler that raises sets a flag that opens nothing",
        "        self._set = True\n        try:\n            _ = None in self._opens",
        "        self._set = True\n        bool()\n        try:\n            _ = None in self._opens",
        PRIMITIVES,
    ),
    Mutant(
        "of two items in a Python mailbox one is not offered",
        "                if self._items:\n                    self._offer()\n\n    def qsize",
        "                pass\n\n    def qsize",
        PRIMITIVES,
    ),
    Mutant(
        "a thread of ours may wait for itself",
        "    return threading.get_ident() in own_threads",
        "    return False",
        PRIMITIVES,
    ),
    # Spare threads.
    Mutant(
        "work is put where no thread waits",
        "            for _ in gives:\n                return True",
        "            self._works.append(work)\n            return True",
        SPARES,
    ),
    Mutant(
        "a signal handler comes between the steps in which work is given",
        "            for _ in gives:\n                return True",
        "            lock = self._waiting.pop()\n            self._works.append(work)\n"
        "            lock.release()\n            return True",
        SPARES,
    ),
    Mutant(
        "the exit waits for no slow loop on another thread",
        "not self._begun and not _still_runs(self._ran_on)",
        "not self._begun",
        ("process/test_exit_with_dispatch.py",),
    ),
    Mutant(
        "a thread ends though its work is on the way",
        "            except ValueError:\n                lock.acquire()",
        "            except ValueError:\n                return None",
        SPARES,
    ),
    Mutant(
        "a thread whose time is over is still counted on",
        "                self._waiting.remove(lock)",
        "                bool()",
        SPARES,
    ),
    Mutant(
        "a thread that waits holds its last connection",
        "            del call\n",
        "",
        SPARES,
    ),
    Mutant(
        "the first connection of a thread is held as long as that lives",
        "        work: Work | None = first.pop()",
        "        work: Work | None = first[0]",
        SPARES,
    ),
    Mutant(
        "any number of threads stays",
        "        if len(self._waiting) >= MOST:",
        "        if False:",
        SPARES,
    ),
    Mutant(
        "a forked child counts on threads of its parent",
        "    _shared.clear()",
        "    return",
        SPARES,
    ),
    # The pool.
    Mutant(
        "an idle thread is not told that a connection has gone",
        "                self.schedule(None)  # An idle thread may be one too many now.",
        "                pass",
        POOL,
    ),
    Mutant(
        "what is to run is kept where no thread will run it",
        "        return functools.partial(self.schedule, weakref.ref(writer))",
        "        return functools.partial(self.schedule, lambda: writer)",
        POOL,
    ),
    Mutant(
        "each refused connection leaves something to be done",
        "            if self._threads:\n                self.schedule(None)",
        "            if True:\n                self.schedule(None)",
        POOL,
    ),
    Mutant(
        "a handler that raises keeps a thread that no connection needs",
        "        try:\n            with self._leaf:\n                self._registered -= 1\n"
        "        finally:\n            if self._threads:\n                self.schedule(None)",
        "        with self._leaf:\n            self._registered -= 1\n        if bool(self._threads):\n"
        "            self.schedule(None)",
        POOL,
    ),
    Mutant(
        "each thread that was ever needed is kept",
        "            enough = self._busy + 2\n",
        "            enough = self._registered\n",
        POOL,
    ),
    Mutant(
        "no more threads are kept than send",
        "            if enough < KEPT_THREADS:\n                enough = KEPT_THREADS\n",
        "",
        POOL,
    ),
    Mutant(
        "the last idle thread starts no other",
        "            self._spare(job.thread_name)\n",
        "",
        POOL,
    ),
    Mutant(
        "nobody knows that a connection waits for a thread",
        "        return self._jobs.qsize() > 0 and self._busy >= self._threads",
        "        return False",
        POOL,
    ),
    Mutant(
        "a job that an idle thread is about to take waits for one",
        "        return self._jobs.qsize() > 0 and self._busy >= self._threads",
        "        return self._jobs.qsize() > 0",
        POOL,
    ),
    Mutant(
        "a thread ends that is needed",
        "            if self._threads > enough:",
        "            if self._threads >= enough:",
        POOL,
    ),
    Mutant(
        "idle threads never end",
        "            if self._threads > enough:",
        "            if False:",
        POOL,
    ),
    Mutant(
        "two connections that wait for their networks hold up a third",
        "        return min(self._registered, max(MIN_THREADS, self._busy + 1))",
        "        return min(self._registered, MIN_THREADS)",
        POOL,
    ),
    Mutant(
        "each connection has a thread",
        "        return min(self._registered, max(MIN_THREADS, self._busy + 1))",
        "        return self._registered",
        POOL,
    ),
    Mutant(
        "a thread that has done its job counts as busy",
        "        finally:\n            with self._leaf:\n                self._busy -= 1",
        "        finally:\n            pass",
        POOL,
    ),
    Mutant(
        "a thread that ends is counted on",
        "                self._threads -= 1\n                exits = True",
        "                exits = True",
        POOL,
    ),
    Mutant(
        "a job that raises ends its thread",
        '            log_exception({}, "%s: a fault of syncws itself", job.thread_name)\n',
        "            raise\n",
        POOL,
    ),
    Mutant(
        "a registration that was cut off stays",
        "            if registered:\n                self.unregister()",
        "            pass",
        POOL,
    ),
    Mutant(
        "who waits for surplus threads is not told of their end",
        "            self._changes.notify()\n            if self._forked:",
        "            if self._forked:",
        POOL,
    ),
    Mutant(
        "a forked child uses the parent's pool",
        '    pool = _shared.pop("pool", None)\n',
        '    pool = _shared.get("pool", None)\n',
        POOL,
    ),
    # The worker.
    Mutant(
        "what Ctrl-C interrupts is not dispatched",
        "            entry = entries[0]\n",
        "            entry = entries.pop(0); entries.insert(0, None)\n".replace("; ", "\n            "),
        DISPATCHER,
    ),
    Mutant(
        "a fault in a call ends the worker",
        "                sink.on_fault(error)\n"
        '                log_exception(self._log_fields, "a fault of syncws itself: %r", error)',
        "                raise",
        DISPATCHER,
    ),
    Mutant(
        "the end of the worker frees nobody",
        "            self._sink.on_over()\n            self.waiters.notify()",
        "            self._sink.on_over()",
        DISPATCHER,
    ),
    Mutant(
        "an event does not wait for its listener",
        '        return self.passed or (self._awaited_open and kind != "message") or listens(kind)',
        "        return True",
        DISPATCHER,
    ),
    Mutant(
        "an event waits for its listener for good",
        "            until = self._until\n            self._waiters.wait_until(",
        "            until = None\n            self._waiters.wait_until(",
        DISPATCHER,
    ),
    Mutant(
        "messages come before wait_open() has returned",
        '(self._awaited_open and kind != "message")',
        "self._awaited_open",
        DISPATCHER,
    ),
    Mutant(
        "a task whose dispatch raised is lost",
        "        with contextlib.suppress(ValueError):\n            run()",
        "        pass",
        DISPATCHER,
    ),
    # The engine.
    Mutant(
        "the end of the process does not wait for threads",
        "        self._notes.waiters.wait_until(lambda: not self._threads.running, timeout)",
        "        pass",
        ENGINE,
    ),
    Mutant(
        "a wish that a handler cut off is not carried out while the only writer waits",
        "            self._notes.wake()  # The only writer",
        "            # The only writer",
        ENGINE,
    ),
    Mutant(
        "an abort that a handler cut off is not carried out",
        "            self._notes.abort_error = error\n            self._notes.wake()\n        finally:\n"
        "            if self._reader.closed is None:\n                self._wake_by_writer()\n"
        "                self._notes.wake()",
        "            self._notes.abort_error = error\n            self._notes.wake()\n        finally:\n"
        "            pass",
        ENGINE,
    ),
    Mutant(
        "an abort that a handler cut off is not carried out while the only writer waits",
        "            self._notes.abort_error = error\n            self._notes.wake()\n        finally:\n"
        "            if self._reader.closed is None:\n                self._wake_by_writer()\n"
        "                self._notes.wake()",
        "            self._notes.abort_error = error\n            self._notes.wake()\n        finally:\n"
        "            if self._reader.closed is None:\n                self._wake_by_writer()",
        ENGINE,
    ),
    Mutant(
        "a fault of a thread leaves the connection half alive",
        "            on_fault(error, CloseCode.INTERNAL_ERROR)\n            raise",
        "            raise",
        ENGINE,
    ),
    Mutant(
        "what was started goes on where a thread could not be",
        "            self.abort(told)\n",
        "",
        ENGINE,
    ),
    Mutant(
        "a connection that cannot begin keeps its place in the pool",
        "                self._reader.end_here(told)\n            raise",
        "                pass\n            raise",
        ENGINE,
    ),
    Mutant(
        "a flush does not call the writer that a handler kept from being called",
        "        queue.wake()  # A signal handler may have kept a call of send() from doing this.\n",
        "",
        ("engine/test_engine.py", "engine/test_inline_send.py"),
    ),
    Mutant(
        "a later time-out of close() makes up for an earlier one",
        "        self.cuts += cut  # This is one step, so that no thread loses its note.",
        "        self.cuts = cut",
        ENGINE,
    ),
    # The process.
    Mutant(
        "one that raises keeps others from hearing of a fork",
        "            tellings.callback(engine.after_fork)",
        "            engine.after_fork()",
        PROCESS,
    ),
    Mutant(
        "in a forked child connections are told before locks are free",
        "    renew_after_fork()\n    forget_shared_pool()\n    forget_shared_spares()\n"
        "    with contextlib.ExitStack() as tellings:\n"
        "        for engine in _all_live():\n            tellings.callback(engine.after_fork)",
        "    forget_shared_pool()\n    forget_shared_spares()\n    with contextlib.ExitStack() as tellings:\n"
        "        for engine in _all_live():\n            tellings.callback(engine.after_fork)\n"
        "    renew_after_fork()",
        PROCESS,
    ),
    Mutant(
        "one that raises keeps others from saying goodbye",
        "            goodbyes.callback(engine.close_going_away)",
        "            engine.close_going_away()",
        PROCESS,
    ),
    Mutant(
        "each connection has a second at the end of the process",
        "        engine.wait_over(max(0.0, until - time.monotonic()))",
        "        engine.wait_over(EXIT_SECONDS)",
        PROCESS,
    ),
)
