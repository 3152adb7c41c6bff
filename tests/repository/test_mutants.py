"""The faults of tests/mutants still fit the source; `tox -e mutants` puts them in, one after the other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant
from tests.mutants.run import ROOT, lists, place

MUTANTS = [(folder, mutant) for folder, mutants in lists().values() for mutant in mutants]


@pytest.mark.parametrize(
    ("folder", "mutant"), MUTANTS, ids=[mutant.breaks.replace(" ", "_") for _, mutant in MUTANTS]
)
def test_mutant_fits_the_source_and_names_tests(folder: Path, mutant: Mutant) -> None:
    source = place(mutant, folder).read_text("utf-8")
    ast.parse(source.replace(mutant.old, mutant.new))
    assert mutant.tests
    assert all((ROOT / "tests" / name).exists() for name in mutant.tests)


def test_no_two_mutants_have_the_same_name() -> None:
    names = [mutant.breaks for _, mutant in MUTANTS]
    assert len(set(names)) == len(names)
