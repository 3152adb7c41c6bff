"""Which form of the codec runs: the one that the environment asks for, told by `syncws.speedups`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import syncws
from syncws._protocol import codec

SHOW = "import syncws; from syncws._protocol import encoder; print(syncws.speedups, encoder.mask.__module__)"


def shown(value: str | None) -> list[str]:
    """What a new interpreter uses, with this value of `SYNCWS_SPEEDUPS`."""
    environment = {name: text for name, text in os.environ.items() if name != "SYNCWS_SPEEDUPS"}
    if value is not None:
        environment["SYNCWS_SPEEDUPS"] = value
    command = [sys.executable, "-c", SHOW]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_speedups_are_those_that_the_environment_of_the_tests_asks_for() -> None:
    wanted = os.environ.get("SYNCWS_SPEEDUPS")
    assert syncws.speedups in ((None, "c") if wanted is None else (None if wanted == "0" else "c",))


def test_zero_leaves_the_extension_out_even_where_it_is_built() -> None:
    assert shown("0") == ["None", "syncws._protocol.codec"]


def test_extension_is_used_where_it_is_built() -> None:
    pytest.importorskip("syncws._protocol._speedups", reason="the extension is not built here")
    for value in (None, "", "1", "c"):
        assert shown(value) == ["c", "syncws._protocol._speedups"]


def test_all_three_functions_are_of_one_form() -> None:
    python = (codec.parse_in_python, codec.frames_in_python, codec.mask_in_python)
    used = (codec.parse, codec.frames, codec.mask)
    assert (used == python) == (syncws.speedups is None)
    assert not set(used) & set(python) or used == python
