"""The fuzz targets hold for the inputs that fuzzing begins with, and for those that it has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.fuzz import fuzz_decoder, fuzz_handshake


@pytest.mark.parametrize(
    ("check", "seeds"),
    [(fuzz_decoder.check, fuzz_decoder.seeds()), (fuzz_handshake.check, fuzz_handshake.seeds())],
    ids=["decoder", "handshake"],
)
def test_every_seed_comes_to_what_the_model_says(
    check: Callable[[bytes], object], seeds: Iterable[bytes]
) -> None:
    count = 0
    for seed in seeds:
        check(seed)
        count += 1
    assert count > 20
