"""The first steps, and the front page, work as printed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from syncws.testing import LoopbackServer
from tests.support.pages import python_blocks
from tests.support.programs import communicate, run, spawn
from tests.support.servers import refusing

PRINTED = "ws://127.0.0.1:8765/"


def clients(page: str) -> Sequence[str]:
    """The blocks that connect."""
    return [block for block in python_blocks(page) if PRINTED in block]


@pytest.mark.parametrize("page", ["first-steps.md", "index.md"])
@pytest.mark.parametrize("number", [0, 1])
def test_both_first_programs_print_what_the_server_sends_back(page: str, number: int) -> None:
    with LoopbackServer() as server:
        out, err = run("-c", clients(page)[number].replace(PRINTED, server.url))
    assert (out, err) == ("received hello\n", "")


def test_without_a_server_each_says_so_in_its_way() -> None:
    waiting, called, with_handler = clients("first-steps.md")
    with refusing() as url:
        programs = [
            spawn("-c", program.replace(PRINTED, url))
            for program in (waiting, called, "from syncws import WebSocket\n" + with_handler)
        ]
        out, err = communicate(programs[0], status=1)
        assert out == ""
        assert err.splitlines()[-1].startswith("ConnectionRefusedError: ")
        assert communicate(programs[1])[0] == ""
        assert communicate(programs[2])[0].startswith("failed: ")


def test_the_server_of_the_first_steps_serves() -> None:
    block = python_blocks("first-steps.md")[0]
    assert "LoopbackServer(port=8765)" in block
    program = block.replace("port=8765", "port=0").replace(
        "threading.Event().wait()", "threading.Event().wait(0)"
    )
    assert run("-c", program)[0].startswith("echoing on ws://127.0.0.1:")
