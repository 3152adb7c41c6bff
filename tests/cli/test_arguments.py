"""The command line itself: what it takes, refuses and tells of itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import syncws
import syncws._transport
from syncws._cli.arguments import build_parser
from syncws._cli.hints import ELSEWHERE, NO_OPTION, in_options
from syncws._cli.main import main

SOURCES = Path(syncws.__file__).parent


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
        ("ws://127.0.0.1:8765/", "--check", "-n", "0"),
        ("ws://127.0.0.1:8765/", "--check", "--expect", "x"),
        ("ws://127.0.0.1:8765/", "--check", "--reconnect"),
        ("ws://127.0.0.1:8765/", "--check", "--jsonl"),
        ("ws://127.0.0.1:8765/", "--check", "--save", "folder"),
        ("echo", "--no-such"),
        ("echo", "--port", "99999"),
        ("echo", "--port", "x"),
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


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_options_of_other_tools_are_told_by_their_names_here(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    known = build_parser()._option_string_actions
    assert name not in known
    with pytest.raises(SystemExit):
        main(["ws://127.0.0.1:8765/", name])
    err = capfd.readouterr().err
    assert f"there is no option {name} (did you mean {ELSEWHERE[name]}?)" in err
    named = re.findall(r"(?<![\w-])-{1,2}[a-zA-Z1][\w-]*", ELSEWHERE[name])
    assert set(named) - {"--port"} <= set(known)


@pytest.mark.parametrize("name", sorted(NO_OPTION))
def test_what_needs_no_option_here_is_told(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert name not in build_parser()._option_string_actions
    with pytest.raises(SystemExit):
        main(["ws://127.0.0.1:8765/", name])
    assert f"there is no option {name} ({NO_OPTION[name]})" in capfd.readouterr().err


def test_an_option_that_is_spelt_nearly_right_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ws://127.0.0.1:8765/", "--mesage=secret"])
    err = capfd.readouterr().err
    assert "there is no option --mesage (did you mean --message?)" in err
    assert "secret" not in err


def test_a_second_url_is_refused_and_not_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ws://127.0.0.1:8765/", "secret"])
    err = capfd.readouterr().err
    assert "one URL is wanted" in err and "secret" not in err


def test_a_port_alone_is_taken_for_the_wish_for_a_server(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--listen", "8765"])
    assert "syncws echo --port 8765" in capfd.readouterr().err


def test_what_an_error_advises_is_an_option(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ws://127.0.0.1:6667/"])
    assert "(--allow-blocked-port connects all the same)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["demo", "more"], "no argument is wanted, and there is more"),
        (["echo", "8765"], "no argument is wanted, and there is more"),
        (["ech"], "did you mean the command echo?"),
        (["-w", "-1", "ws://127.0.0.1:8765/"], "a number of seconds or none, which waits for ever"),
        (["-t", "ws://127.0.0.1:8765/"], "a line is sent as text without it"),
    ],
)
def test_what_is_nearly_right_is_told(
    arguments: list[str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert told in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--cert {text}", "--cert: there is no certificate with its key, as PEM, in {text} ("),
        ("--cert {text} --key {empty}", "with its key, as PEM, in {text} and {empty} ("),
        ("--cert {none}", "--cert: {none} cannot be read: No such file"),
        ("--ca {text}", "--ca: there is no certificate, as PEM, in {text} ("),
        ("--ca {none}", "--ca: {none} cannot be read: No such file"),
    ],
)
def test_a_file_for_tls_that_cannot_be_used_is_named(
    options: str, told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {name: str(tmp_path / name) for name in ("text", "empty", "none")}
    Path(files["text"]).write_text("hello\n")
    Path(files["empty"]).touch()
    with pytest.raises(SystemExit) as ended:
        main([*options.format(**files).split(), "wss://127.0.0.1:1/"])
    assert ended.value.code == 2
    assert told.format(**files) in capfd.readouterr().err


def test_a_key_log_that_cannot_be_written_is_named_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "none" / "keys"))
    with pytest.raises(SystemExit):
        main(["--insecure", "wss://127.0.0.1:1/"])
    assert "SSLKEYLOGFILE in the environment: No such file" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(require_protocol=False lets such", "(--any-subprotocol lets such"),
        ("give it as ca='file.pem' or in an ssl_context)", "give it as --ca file.pem)"),
        ("server_hostname= says which name to verify", "--server-name says which name to verify"),
        ("is over max_size=5", "is over --max-size 5"),
        ("no more than max_redirects=1 are followed", "no more than --redirects 1 are followed"),
        ("(not followed without max_redirects=)", "(not followed without --redirects N)"),
        ("(a certificate of the client: cert=)", "(a certificate of the client: --cert FILE)"),
        ("(proxy='http://user:password@host:port')", "(--proxy 'http://user:password@host:port')"),
        ("within ping_timeout=20 s of a ping", "within --ping-timeout 20 s of a ping"),
        ("within close_timeout=3 s", "within --close-timeout 3 s"),
        ("(allow_blocked_port=True connects", "(--allow-blocked-port connects"),
        ("was not open within open_timeout=0.2 s", "was not open within 0.2 s"),
    ],
)  # fmt: skip
def test_the_words_of_the_library_become_those_of_the_command_line(text: str, told: str) -> None:
    sources = "".join(path.read_text("utf-8") for path in SOURCES.rglob("*.py"))
    argument = re.search(r"\w+=|'file.pem'", text)
    assert argument is not None and argument[0] in sources
    assert in_options(text) == told


def test_a_message_that_is_given_as_with_wscat_is_not_only_told_to_be_no_proxy() -> None:
    text = "ws://h/: the proxy http://hi:80: cannot resolve 'hi': Name or service not known"
    assert in_options(text) == f"{text} (-x names a proxy; -m TEXT sends)"
    with pytest.raises(OSError, match="the proxy http://h.invalid:80: cannot resolve"):
        syncws.connect("ws://127.0.0.1.invalid/", proxy="h.invalid")


def test_a_package_that_is_missing_is_told_on_two_lines(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.delitem(sys.modules, "syncws._transport.socks", raising=False)
    monkeypatch.delattr(syncws._transport, "socks", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["ws://127.0.0.1:8765/", "-m", "x", "--proxy", "socks5h://127.0.0.1:1080"])
    err = capfd.readouterr().err
    assert (ended.value.code, len(err.splitlines())) == (2, 2)
    assert "pip install 'syncws[socks]'" in err
