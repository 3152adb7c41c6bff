"""The Python blocks of the documentation on what a program sees of its connection, run as printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.page_blocks import PLAIN, WATCHING, Block, check_block

if TYPE_CHECKING:
    import trustme


@pytest.mark.parametrize(
    "block", [block for block in PLAIN if block.page in WATCHING], ids=lambda block: block.name
)
def test_the_block_prints_what_its_page_says(block: Block, authority: trustme.CA, tmp_path: Path) -> None:
    check_block(block, authority, tmp_path)
