"""`syncws._transport.progress`: when the network took something, told from when the kernel did."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from syncws._transport.progress import SendProgress
from syncws._transport.stream import Stream
from tests.support.waiting import SECONDS, wait_until


class Counts(Stream):
    """A stream that only counts: what was handed to the kernel, and what that still holds."""

    def __init__(self, handed: int = 0, held: int | None = 0) -> None:
        self.handed = handed
        self.held = held

    def unacknowledged(self) -> int | None:
        return self.held


def progress_of(counts: Counts, *looks: tuple[int, int | None]) -> SendProgress:
    """What is seen after looks at the times 1, 2, ..., each with its counts."""
    progress = SendProgress(counts, 0.0)
    for number, (counts.handed, counts.held) in enumerate(looks, 1):
        progress.look(float(number))
    return progress


# The counts at each look, then when the network last took something, when the kernel did, and whether that
# holds something. The clock begins at 0.
CASES: dict[str, tuple[list[tuple[int, int | None]], tuple[float, float, bool]]] = {
    "nothing happens": ([(0, 0), (0, 0)], (0, 0, False)),
    "the network takes all at once": ([(10, 0)], (1, 1, False)),
    "the kernel alone takes it": ([(10, 10), (10, 10)], (0, 1, True)),
    "then the network takes a part": ([(10, 10), (10, 10), (10, 4)], (3, 1, True)),
    "then it stands still": ([(10, 10), (10, 4), (10, 4)], (2, 1, True)),
    "the kernel takes more, and the network nothing": ([(10, 10), (20, 20), (30, 30)], (0, 3, True)),
    "both move": ([(10, 5), (20, 10)], (2, 2, True)),
    "what is handed over between two looks is no progress": ([(10, 4), (10, 9)], (1, 1, True)),
    "and what makes up for it neither": ([(10, 4), (10, 9), (15, 9)], (1, 3, True)),
    "the kernel cannot be asked": ([(1000, None), (1000, None)], (1, 1, False)),
    "nor later on": ([(1000, None), (2000, None), (2000, None)], (2, 2, False)),
    "it cannot be asked, and there are pings alone": ([(10, None), (20, None)], (0, 2, False)),
    "it cannot be asked any more": ([(10, 10), (10, 2), (10, None)], (2, 1, False)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_network_took_is_told_from_what_the_kernel_took(case: str) -> None:
    looks, seen = CASES[case]
    progress = progress_of(Counts(), *looks)
    assert (progress.at, progress.handed_at, progress.is_pending) == seen


def test_what_went_out_before_is_no_progress() -> None:
    progress = progress_of(Counts(1000, 0), (1000, 0))
    assert (progress.at, progress.handed_at) == (0, 0)
    progress = progress_of(Counts(1000, 300), (1000, 300), (1000, 200))
    assert (progress.at, progress.handed_at) == (2, 0)


@pytest.mark.parametrize(
    ("limit", "looks", "at"),
    [
        (None, [(20, 10), (20, 0)], 2),
        (20, [(20, 10), (20, 0)], 2),
        (10, [(20, 10), (20, 0)], 1),
        (10, [(20, 15), (20, 5), (20, 0)], 2),
        (0, [(20, 10)], 0),
    ],
)
def test_what_lies_behind_the_limit_is_no_progress(
    limit: int | None, looks: list[tuple[int, int | None]], at: float
) -> None:
    counts = Counts()
    progress = SendProgress(counts, 0.0)
    progress.limit = limit
    for number, (counts.handed, counts.held) in enumerate(looks, 1):
        progress.look(float(number))
    assert progress.at == at
    assert progress.handed_at == 1


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected TCP sockets with small buffers: ours, which does not block, and the other side's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.settimeout(SECONDS)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="the system cannot be asked")
def test_a_server_that_does_not_read_makes_no_progress_and_one_that_reads_does(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    stream = Stream(ours)
    progress = SendProgress(stream, time.monotonic())
    while True:  # until the buffers of both sides are full
        try:
            stream.handed += ours.send(bytes(65536))
        except BlockingIOError:
            break

    def stands_still() -> bool:
        before = progress.at
        for _ in range(5):
            threading.Event().wait(0.01)
            progress.look(time.monotonic())
        return progress.at == before

    def is_taken() -> bool:
        progress.look(time.monotonic())
        return not progress.is_pending

    wait_until(stands_still, "the last bytes are on their way")
    assert progress.is_pending
    before = progress.at
    left = stream.handed
    while left:
        left -= len(theirs.recv(2**20))
    wait_until(is_taken)
    assert progress.at > before
    stream.handed += ours.send(b"more")
    wait_until(is_taken)
    assert progress.handed_at >= before
