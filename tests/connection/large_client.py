"""A client in a process of its own, which passes a large message each way and tells how far its memory rose.

`test_large` runs it. Arguments: the URL, the mebibytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import syncws
from tests.support.memory import kilobytes, restart_peak
from tests.support.waiting import SECONDS

CHUNK = bytes(range(256)) * 256


def chunks(total: int) -> Iterator[bytes]:
    for _ in range(total // len(CHUNK)):
        yield CHUNK


def main(url: str, mebibytes: int) -> None:
    total = mebibytes * 2**20
    with syncws.connect(url, max_size=None, compression=None) as connection:
        connection.send(chunks(2**20))  # what the first use costs is not the message's
        restart_peak()
        idle = kilobytes("VmRSS")
        connection.send(chunks(total))
        connection.flush()
        sent_rise = kilobytes("VmHWM") - idle
        restart_peak()
        received = 0
        for part in connection.recv_streaming(SECONDS):
            received += len(part)
        assert received == total, received
        print(sent_rise, kilobytes("VmHWM") - idle)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
