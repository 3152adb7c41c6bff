"""The process that connections live in: its forks, its end, and whether it lets threads run.

Owns: the list of live connections, one fork hook, one exit hook. Runs on: whichever thread forks, exits or
opens a connection. Must not import: sockets, the protocol.

A fork copies one thread. In the child every primitive is renewed in place first, in one loop, since its lock
may be held by a thread that is not there; then each connection closes its copies of the descriptors without a
word to the network. The parent goes on undisturbed.

At the interpreter's end one hook sends Close 1001 on all that is open, and waits a second at most for all
together. Children of `multiprocessing` end by `os._exit`, after finalizers of their own, so the hook is
installed there too.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
import weakref
from typing import Protocol

from .primitives import renew_after_fork
from .spare_threads import forget_shared_spares
from .writing.writer_pool import forget_shared_pool, wait_shared_pool_exited

# How long the end of the process waits for all connections together to be closed.
EXIT_SECONDS = 1.0


class Lives(Protocol):
    """The part of an `Engine`, and of other objects with threads, that this module uses."""

    def close_going_away(self) -> None:
        """The process ends: tell the server that this end goes away."""

    def wait_over(self, timeout: float) -> None:
        """Wait until the threads have ended."""

    def after_fork(self) -> None:
        """In a forked child: the threads do not exist here."""


# All live engines. A running thread keeps its engine alive, also when the program has dropped the connection.
# No lock: each use is one operation of the set, which is atomic on every build, and the garbage collector,
# which calls `discard`, may interrupt a thread that held one.
_live: set[weakref.ref[Lives]] = set()

# This is set when connections are closed at the end of the process: failures after that are not logged.
_exiting = False

# The process for which the exit hook of `multiprocessing` was last installed.
_hooked_child = 0


def remember(engine: Lives) -> None:
    """Call the methods of `engine` at forks and at the process's end, as long as it lives."""
    _live.add(weakref.ref(engine, _live.discard))
    _hook_child_of_multiprocessing()


def is_process_exiting() -> bool:
    """Whether the process ends, and closes its connections."""
    return _exiting


def check_threads() -> None:
    """Raise `RuntimeError` inside a uWSGI that never runs threads; do nothing anywhere else.

    Without this a connection would hang: up to uWSGI 2.0.25 threads stand still between two requests, unless
    there is ``--enable-threads``.
    """
    # uWSGI puts its module there before it imports an application, and no other process has one. `uwsgi.opt`
    # would not do, since it holds what was asked for: --threads implies threads, and later versions always
    # have them.
    if getattr(sys.modules.get("uwsgi"), "has_threads", 1):
        return
    # With --gevent-monkey-patch a thread is a greenlet, which runs without --enable-threads.
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return
    raise RuntimeError("uWSGI was started without --enable-threads: the threads of a connection cannot run")


def _hook_child_of_multiprocessing() -> None:
    global _hooked_child
    util = sys.modules.get("multiprocessing.util")
    if util is None or _hooked_child == os.getpid():
        return
    _hooked_child = os.getpid()
    if sys.modules["multiprocessing.process"].parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


def _all_live() -> list[Lives]:
    return [engine for reference in list(_live) if (engine := reference()) is not None]


@atexit.register
def _at_exit() -> None:
    global _exiting
    _exiting = True
    until = time.monotonic() + EXIT_SECONDS
    engines = _all_live()
    with contextlib.ExitStack() as goodbyes:  # If one call raises, the others are still made.
        for engine in engines:
            goodbyes.callback(engine.close_going_away)
    # This waits for the worker threads, too: CPython aborts when a thread prints while the interpreter ends.
    for engine in engines:
        engine.wait_over(max(0.0, until - time.monotonic()))
    wait_shared_pool_exited(max(0.0, until - time.monotonic()))


def _after_fork() -> None:
    renew_after_fork()
    forget_shared_pool()
    forget_shared_spares()
    with contextlib.ExitStack() as tellings:
        for engine in _all_live():
            tellings.callback(engine.after_fork)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
