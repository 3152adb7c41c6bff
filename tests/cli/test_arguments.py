"""The command line itself: what it takes, refuses and tells of itself."""

from __future__ import annotations

import pytest

from syncws._cli.main import main


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("ws://127.0.0.1:8765/#part",),
        ("http:",),
        ("localhost:8765",),
        ("ws://127.0.0.1:6667/",),
        ("ws://127.0.0.1:8765/", "--no-such"),
        ("ws://127.0.0.1:8765/", "-n", "many"),
        ("ws://127.0.0.1:8765/", "--wait", "-1"),
        ("ws://127.0.0.1:8765/", "--expect", "("),
        ("ws://127.0.0.1:8765/", "--file", "no such file"),
        ("ws://127.0.0.1:8765/", "--ca", "no such file"),
        ("ws://127.0.0.1:8765/", "-H", "no colon"),
        ("ws://127.0.0.1:8765/", "-H", "Upgrade: h2c"),
        ("ws://127.0.0.1:8765/", "-s", "two words"),
        ("ws://127.0.0.1:8765/", "-m", "x", "--file", "setup.cfg"),
        ("ws://127.0.0.1:8765/", "--resolve", "other:80:127.0.0.1"),
        ("echo", "--no-such"),
        ("completion", "tcsh"),
        ("demo", "--no-such"),
    ],
    ids=" ".join,
)
def test_2_is_wrong_use_and_told_on_two_lines(
    arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith("usage: syncws")
    assert len(err.splitlines()) == 2
