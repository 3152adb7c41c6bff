"""The threads and descriptors that a connection could leave behind in this process."""

from __future__ import annotations

import contextlib
import os
import threading

from tests.support.waiting import wait_until

DESCRIPTORS = "/proc/self/fd"


def open_descriptors() -> dict[str, str]:
    """The numbers of the open descriptors and their targets; nothing if the system does not list them."""
    found = {}
    if os.path.isdir(DESCRIPTORS):
        for number in os.listdir(DESCRIPTORS):
            # The listing has a descriptor of its own, and another thread may close one meanwhile.
            with contextlib.suppress(OSError):
                found[number] = os.readlink(f"{DESCRIPTORS}/{number}")
    return found


def connection_threads() -> list[str]:
    """The names of the threads of connections, not of the servers in this process."""
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith("syncws-") and not name.startswith("syncws-loopback")]


def wait_for_no_threads() -> None:
    """Wait until no connection has a thread: calls return at the outcome, and threads end a little later."""
    wait_until(lambda: not connection_threads(), "that the threads of all connections have ended")
