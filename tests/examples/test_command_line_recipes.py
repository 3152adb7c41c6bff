"""The recipes of the page about the command line do what it says, in a shell."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncws.testing import Peer, in_turn
from tests.examples.command_line_page import RECIPES, Shell, needs_shell, recipe
from tests.support.page_blocks import echo, keep, push
from tests.support.page_servers import serving
from tests.support.threads import all_at_once

if TYPE_CHECKING:
    import trustme

pytestmark = needs_shell

SUBSCRIBE = '{"op":"subscribe"}'


def priced(peer: Peer) -> None:
    peer.accept()
    peer.recv()
    peer.send('{"price": 3}')
    peer.echo()


def feed(peer: Peer) -> None:
    peer.accept()
    peer.send(f"news for {peer.recv()!r}")
    peer.close(1000)


def lose(peer: Peer) -> None:
    peer.accept()
    peer.send(f"news for {peer.recv()!r}")
    peer.cut()


def take(peer: Peer) -> None:
    peer.accept()
    assert [peer.recv(), peer.recv()] == ["one", "two"]
    peer.recv()


def check_price(shell: Shell) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    assert shell.run(recipe("jq .price") + "echo $price") == "3\n"


def check_record(shell: Shell) -> None:
    shell.run(recipe("minute.jsonl"))
    kinds = re.findall('"kind": "(\\w+)"', (shell.folder / "minute.jsonl").read_text("utf-8"))
    assert kinds == ["open", "message", "close"]


def check_feed(shell: Shell) -> None:
    shell.run(recipe("feed.log").replace("--reconnect", "--reconnect --max-pause 0.1"))
    assert (shell.folder / "feed.log").read_text("utf-8").splitlines() == [f"news for {SUBSCRIBE!r}"] * 2


def check_file(shell: Shell) -> None:
    shell.run(recipe("film.mkv"))
    [answer] = (shell.folder / "answers").iterdir()
    assert answer.read_bytes() == (shell.folder / "film.mkv").read_bytes()


def check_har(shell: Shell) -> None:
    shell.run(recipe("session.har"))
    assert "_webSocketMessages" in (shell.folder / "session.har").read_text("utf-8")


def prints(beginning: str, out: str, ahead: str = "") -> Callable[[Shell], None]:
    def check(shell: Shell) -> None:
        assert re.search(out, shell.run(ahead + recipe(beginning).replace("tail -f", "cat")))

    return check


CASES: dict[str, tuple[Callable[[Peer], object], Callable[[Shell], None]]] = {
    "jq .price": (priced, check_price),
    "until syncws": (keep, prints("until syncws", "^$")),
    "|| alarm": (keep, prints("|| alarm", "open in .* ping")),
    "minute.jsonl": (push, check_record),
    "feed.log": (in_turn(lose, feed), check_feed),
    "app.log": (take, prints("app.log", "^$")),
    "film.mkv": (keep, check_file),
    "token-header.txt": (keep, prints("token-header.txt", "^hi\n$", "echo hi | ")),
    "192.0.2.7": (keep, prints("192.0.2.7", "^hi\n$", "echo hi | ")),
    "me.pem": (keep, prints("me.pem", "^hi\n$", "echo hi | ")),
    "session.har": (echo, check_har),
}


def check_recipe(beginning: str, authority: trustme.CA, folder: Path) -> None:
    script, check = CASES[beginning]
    with serving(script, authority, folder) as servers:
        check(Shell(servers, folder))


@pytest.fixture(scope="module")
def recipes(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[None]]:
    """All of them, some at once, since each waits for shells and for the network; by how they begin."""
    return all_at_once(
        {
            beginning: partial(check_recipe, beginning, authority, tmp_path_factory.mktemp("recipe"))
            for beginning in CASES
        },
        at_most=4,
    )


@pytest.mark.parametrize("beginning", CASES)
def test_the_recipe_does_what_it_says(beginning: str, recipes: dict[str, Future[None]]) -> None:
    recipes[beginning].result()


def test_each_recipe_has_a_test() -> None:
    assert [block for block in RECIPES if not any(known in block for known in CASES)] == [
        block for block in RECIPES if "completion" in block
    ]
