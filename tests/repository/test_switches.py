"""The environment variables that leave reading to the reader thread, and writing to the writer threads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from syncws._engine import primitives
from syncws._engine.reading import read_lease
from syncws._engine.writing import inline_send

# One round trip; then what was received and sent by the program's own threads.
ROUND_TRIPS = """
import time
import syncws
from syncws._engine.writing import inline_send
from syncws._engine.reading import read_lease
from syncws.testing import LoopbackServer

with LoopbackServer() as server, syncws.connect(server.url, compression=None) as connection:
    engine = connection._engine
    for number in range(300):
        connection.send(str(number))
        assert connection.recv(30) == str(number)
        time.sleep(0.001)
        if engine._lease.input.messages_received and engine.queue.inline.sent:
            break
    print(int(read_lease.ALLOWED), int(inline_send.ALLOWED))
    print(int(engine._lease.input.messages_received > 0), int(engine.queue.inline.sent > 0))
"""


def shown(lease: str | None, inline: str | None) -> list[str]:
    """What a new interpreter does, with these values of `SYNCWS_LEASE` and `SYNCWS_INLINE`."""
    values = {"SYNCWS_LEASE": lease, "SYNCWS_INLINE": inline}
    environment = {name: text for name, text in os.environ.items() if name not in values}
    environment |= {name: text for name, text in values.items() if text is not None}
    command = [sys.executable, "-c", ROUND_TRIPS]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(("lease", "inline"), [(None, None), ("", "1"), ("0", None), (None, "0"), ("0", "0")])
def test_zero_switches_each_of_the_two_off(lease: str | None, inline: str | None) -> None:
    is_cpython = sys.implementation.name == "cpython"
    on = [str(int(is_cpython and value != "0")) for value in (lease, inline)]
    assert shown(lease, inline) == on + on


def test_what_the_environment_of_the_tests_says_is_done() -> None:
    for name, module in (("SYNCWS_LEASE", read_lease), ("SYNCWS_INLINE", inline_send)):
        wanted = os.environ.get(name) != "0" and sys.implementation.name == "cpython"
        assert wanted == module.ALLOWED
        if primitives.is_patched():
            assert not module.is_allowed()
