"""The documentation is whole: each page and each example has its place. `tests/site` reads the built site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
INDEX = (DOCS / "index.md").read_text("utf-8")
PAGES = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
EXAMPLES = sorted(path for path in (DOCS.parent / "examples").rglob("*.py") if path.name != "__init__.py")

# What a Django project has to have, and says nothing about a WebSocket.
BOILERPLATE = {"manage.py", "settings.py", "urls.py", "models.py", "0001_initial.py"}


def test_each_page_stands_once_in_the_contents_of_the_site() -> None:
    blocks = re.findall(r"```{toctree}(.*?)```", INDEX, re.S)
    named = [line for block in blocks for line in block.splitlines() if line and not line.startswith(":")]
    assert sorted(named) == sorted(set(PAGES) - {"index", "README"})


def test_each_page_of_a_task_stands_in_the_list_that_the_repository_shows() -> None:
    listed = (DOCS / "README.md").read_text("utf-8")
    of_the_site_alone = {"index", "README", "changelog", "examples", "security", "releasing"}
    wanted = {name for name in set(PAGES) - of_the_site_alone if "/" not in name}
    assert sorted(name for name in wanted if f"({name}.md)" not in listed) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_each_example_stands_on_the_page_of_examples(path: Path) -> None:
    shown = (DOCS / "examples.md").read_text("utf-8")
    name = path.relative_to(DOCS.parent).as_posix()
    assert f"literalinclude}} ../{name}" in shown or path.name in BOILERPLATE
