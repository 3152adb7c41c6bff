"""Every Python block of the documentation runs, and prints what its page says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.page_blocks import BLOCKS, ELSEWHERE, OPENING, PLAIN, WATCHING, Block, check_block
from tests.support.pages import ROOT, python_blocks

if TYPE_CHECKING:
    import trustme


def test_each_block_of_each_page_is_run_or_said_to_be_run_elsewhere() -> None:
    pages = sorted(str(path.relative_to(ROOT / "docs").as_posix()) for path in (ROOT / "docs").rglob("*.md"))
    there = {f"{page} {number}" for page in pages for number in range(len(python_blocks(page)))}
    elsewhere = {name for name in there if name in ELSEWHERE or name.split()[0] in ELSEWHERE}
    run = {block.name for block in BLOCKS}
    assert len(run) == len(BLOCKS)
    assert sorted(there - run - elsewhere) == []
    assert sorted(run - there) == []
    assert sorted(run & elsewhere) == []
    assert sorted(ELSEWHERE.keys() - there - set(pages)) == []


HERE = [block for block in PLAIN if block.page not in (*OPENING, *WATCHING)]


@pytest.mark.parametrize("block", HERE, ids=lambda block: block.name)
def test_the_block_prints_what_its_page_says(block: Block, authority: trustme.CA, tmp_path: Path) -> None:
    check_block(block, authority, tmp_path)
