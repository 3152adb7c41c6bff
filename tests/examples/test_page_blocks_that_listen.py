"""The Python blocks of the documentation that take what a server sends, run as their pages print them."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.page_blocks import LISTENING, Block, check_block
from tests.support.threads import all_at_once

if TYPE_CHECKING:
    import trustme


@pytest.fixture(scope="module")
def checked(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[None]]:
    """All of them, some at once, since each waits until the server thinks it is idle; by their names."""
    return all_at_once(
        {
            block.name: partial(check_block, block, authority, tmp_path_factory.mktemp("block"))
            for block in LISTENING
        },
        at_most=4,
    )


@pytest.mark.parametrize("block", LISTENING, ids=lambda block: block.name)
def test_the_block_prints_what_its_page_says(block: Block, checked: dict[str, Future[None]]) -> None:
    checked[block.name].result()
