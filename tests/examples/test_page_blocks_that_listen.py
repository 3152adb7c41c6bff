"""The Python blocks of the documentation that take what a server sends, run as their pages print them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.page_blocks import BLOCKS, Block, check_block, push

if TYPE_CHECKING:
    import trustme

LISTENING = [block for block in BLOCKS if not block.needs and block.script is push]


@pytest.mark.parametrize("block", LISTENING, ids=lambda block: block.name)
def test_the_block_prints_what_its_page_says(block: Block, authority: trustme.CA, tmp_path: Path) -> None:
    check_block(block, authority, tmp_path)
