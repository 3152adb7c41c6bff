"""SIGTERM and SIGHUP end the run as Ctrl-C does: with a Close, and quietly.

Owns: the two handlers, while the command line runs, and the thread that has signals noticed. Runs on: the
main thread, and that one. Must not import: anything of the package.

CPython notes a signal, and runs its handler on the main thread at the next step of Python code. A signal that
comes after the last such step and before the system call of a wait interrupts nothing, and its handler would
run when the wait ends, which may be never. On a busy machine that gap takes milliseconds, since another
thread runs in it. So a thread reads of each signal from a descriptor, and interrupts the main thread soon
after.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType

from .statuses import Status

_NAMES = ("SIGTERM", "SIGHUP")

# The signal that interrupts and does nothing else; unlike others it is ignored by default.
POKE = "SIGURG"

# How many seconds after a signal, and after the poke before, the main thread is poked.
_POKES = (0.02, 0.1, 0.5)

# The signals whose handler has raised `Stopped`, and so have been noticed.
_noticed: list[int] = []
# The signals among them that were sent once more since.
_repeated: list[int] = []


class Stopped(BaseException):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = Status.SIGNAL + number


def _stop(number: int, frame: FrameType | None) -> None:
    if _noticed and _repeated:  # The signal was noticed just before `repeat` sent it again.
        _repeated.clear()
        return
    _repeated.clear()
    _noticed.append(number)
    raise Stopped(number)


def has_stopped() -> bool:
    """Whether a handler has raised `Stopped`; from any thread."""
    return bool(_noticed)


def repeat(numbers: bytes) -> bool:
    """Send the signals among these that raise `Stopped` to the main thread again; from any thread.

    Returns:
        Whether there were any.
    """
    again = [number for number in numbers if signal.getsignal(number) is _stop]
    main = threading.main_thread().ident
    if again and main is not None and not has_stopped():
        _repeated.append(again[0])
        signal.pthread_kill(main, again[0])
    return bool(again)


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """Let the signals raise `Stopped` in the block; those that the caller ignores (nohup) stay ignored."""
    former = {}
    _noticed.clear()
    _repeated.clear()
    with _noticing():
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                former[number] = signal.signal(number, _stop)
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _noticing() -> Iterator[None]:
    """Make sure in the block that each signal is noticed, even if it comes just before a wait."""
    poke = getattr(signal, POKE, None)
    if poke is None or not hasattr(signal, "pthread_kill") or signal.getsignal(poke) != signal.SIG_DFL:
        yield
        return
    ended = threading.Event()
    arrived, numbers = socket.socketpair()
    arrived.setblocking(False)
    follower = threading.Thread(
        target=_follow, args=(numbers, poke, ended), name="syncws-cli-noticing", daemon=True
    )
    former = signal.signal(poke, _ignore)
    former_wakeup = signal.set_wakeup_fd(arrived.fileno(), warn_on_full_buffer=False)
    try:
        follower.start()
        yield
    finally:
        signal.set_wakeup_fd(former_wakeup)
        ended.set()
        arrived.close()  # The end of the stream ends the thread.
        follower.join()
        signal.signal(poke, former)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: that the signal interrupts is all."""


def _follow(numbers: socket.socket, poke: signal.Signals, ended: threading.Event) -> None:
    main = threading.main_thread().ident
    assert main is not None
    with numbers:
        while came := numbers.recv(64):
            for pause in () if set(came) == {int(poke)} else _POKES:
                if ended.wait(pause):
                    return
                signal.pthread_kill(main, poke)
