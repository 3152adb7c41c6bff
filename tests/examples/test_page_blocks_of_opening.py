"""The Python blocks of the documentation on how a server is reached, trusted and asked, run as printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.page_blocks import OPENING, PLAIN, Block, check_block

if TYPE_CHECKING:
    import trustme


@pytest.mark.parametrize(
    "block", [block for block in PLAIN if block.page in OPENING], ids=lambda block: block.name
)
def test_the_block_prints_what_its_page_says(block: Block, authority: trustme.CA, tmp_path: Path) -> None:
    check_block(block, authority, tmp_path)
