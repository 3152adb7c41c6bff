"""The fuzz targets hold for the inputs that fuzzing begins with, and for those that it has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.fuzz import fuzz_decoder, fuzz_handshake, fuzz_speedups


@pytest.mark.parametrize(
    ("check", "seeds"),
    [(target.check, target.seeds()) for target in (fuzz_decoder, fuzz_handshake, fuzz_speedups)],
    ids=["decoder", "handshake", "speedups"],
)
def test_every_seed_comes_to_what_the_model_says(
    check: Callable[[bytes], object], seeds: Iterable[bytes]
) -> None:
    count = 0
    for seed in seeds:
        check(seed)
        count += 1
    assert count > 20
