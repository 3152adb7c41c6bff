"""The blocks of the documentation that need Celery, gevent or Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.page_blocks import BLOCKS, Block, check_block

if TYPE_CHECKING:
    import trustme


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.needs], ids=lambda block: block.name)
def test_the_block_prints_what_its_page_says(block: Block, authority: trustme.CA, tmp_path: Path) -> None:
    for module in block.needs:
        pytest.importorskip(module)
    check_block(block, authority, tmp_path)
