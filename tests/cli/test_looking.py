"""Looking into a connection: steps, times, a check for monitoring, completion, help."""

from __future__ import annotations

import inspect
import re
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from syncws import connect
from syncws._cli.arguments import build_parser
from syncws._cli.completion import SHELLS, bash, fish, zsh
from syncws._cli.flags import FLAGS
from syncws._cli.main import main
from syncws._cli.statuses import MEANINGS
from syncws.testing import LoopbackServer, Peer
from tests.cli.command import syncws
from tests.cli.scripts import Recorder, read_to_the_close, say
from tests.support.programs import ROOT
from tests.support.servers import refusing


def test_verbose_shows_the_answer_and_the_close() -> None:
    def script(peer: Peer) -> None:
        peer.accept(headers=[("X-Request-Id", "42"), ("Set-Cookie", "session=s3cr3t")])
        peer.send_close(1001, "restart")
        read_to_the_close(peer)

    with LoopbackServer(script) as server:
        done = syncws("-v", "--listen", server.url)
    assert done.status == 0
    assert "< HTTP/1.1 101 Switching Protocols\n" in done.err
    assert "< X-Request-Id: 42\n" in done.err
    assert "< Set-Cookie: ***\n" in done.err
    assert "1001 restart" in done.err


def test_verbose_shows_the_body_of_a_refusal() -> None:
    with LoopbackServer(lambda peer: peer.refuse(403, body=b"first\nsecond", reason="No")) as server:
        done = syncws("-v", server.url)
    assert done.status == 5
    assert "< HTTP/1.1 403 No\n" in done.err
    assert "< first\n< second\n" in done.err


def test_timings_are_a_small_table() -> None:
    with LoopbackServer() as server:
        done = syncws("--timings", server.url, given=b"hello\n")
    rows = re.findall(r"^(\S.*?) +(\d+\.\d) ms$", done.err, re.MULTILINE)
    assert done.status == 0
    assert [title for title, _ in rows if title in ("open", "first message", "round trip")] == [
        "open",
        "first message",
        "round trip",
    ]
    assert len(rows) == len(done.err.splitlines())


def test_a_check_is_one_line_and_a_status() -> None:
    script = Recorder()
    with LoopbackServer(script) as server:
        done = syncws("--check", server.url_for("/path?key=secret"))
        url = server.url_for("/path")
    (line,) = done.lines
    assert (done.status, done.err) == (0, "")
    assert re.fullmatch(rf"ok {re.escape(url)} open in \d+\.\d ms, ping \d+\.\d ms", line)
    assert script.close_codes == [1000]


def test_a_check_of_what_does_not_work_is_one_line_and_the_status_of_the_cause(
    server_ssl_context: ssl.SSLContext,
) -> None:
    with refusing() as url:
        assert_failed(url, 3, "Connection refused")
    with LoopbackServer(lambda peer: peer.refuse(503, reason="Busy\x1b")) as server:
        assert_failed(server.url, 5, "503")
    with LoopbackServer(mute) as server:
        assert_failed(server.url, 6, "no pong came within 0.2 s")
    with LoopbackServer(say(code=4001, reason="go\x1b")) as server:
        assert_failed(server.url, 1, r"the server closed: 4001 go\x1b")
    with LoopbackServer(tls=server_ssl_context) as server:
        assert_failed(server.url, 4, "certificate verify failed")


def assert_failed(url: str, status: int, why: str) -> None:
    done = syncws("--check", url, "--wait", "0.2", "--close-timeout", "0.1")
    (line,) = done.lines
    assert (done.status, done.err) == (status, "")
    assert line.startswith(f"failed {url} ")
    assert line.count(url) == 1
    assert why in line


def mute(peer: Peer) -> None:
    peer.accept()
    peer.wait_eof(60)


def test_the_time_in_all_bounds_a_check_too() -> None:
    with LoopbackServer(mute) as server:
        began = time.monotonic()
        done = syncws("--check", server.url, "--timeout", "1", "--wait", "60", "--close-timeout", "60")
        assert time.monotonic() - began < 30
    (line,) = done.lines
    assert (done.status, done.err) == (6, "")
    assert line.endswith(", but no pong came when --timeout was over")


def test_a_quiet_check_prints_nothing() -> None:
    with LoopbackServer() as server, refusing() as url:
        runs = [syncws("--check", "--quiet", each) for each in (server.url, url)]
    assert [(done.status, done.out, done.err) for done in runs] == [(0, b"", ""), (3, b"", "")]


def test_a_check_has_timings_too() -> None:
    with LoopbackServer() as server:
        done = syncws("--check", "--timings", server.url)
    assert len(done.lines) == 1
    rows = re.findall(r"^(\S.*?) +(\d+\.\d) ms$", done.err, re.MULTILINE)
    assert [title for title, _ in rows][-2:] == ["open", "round trip"]


def test_version_and_help(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in ("80", "110"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit) as ended:
            main(["--help"])
        out = capfd.readouterr().out
        assert ended.value.code == 0
        assert max(map(len, out.splitlines())) <= int(columns)
        for flag in FLAGS:
            assert flag.names[-1] in out
    for command in ("demo", "echo", "completion"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert capfd.readouterr().out.startswith(f"usage: syncws {command}")
    with pytest.raises(SystemExit):
        main(["--version"])
    assert re.fullmatch(r"syncws \d+\.\d+.*\n", capfd.readouterr().out)


def test_every_option_that_sets_one_of_connect_names_it() -> None:
    keywords = {flag.keyword for flag in FLAGS if flag.keyword}
    assert keywords <= inspect.signature(connect).parameters.keys()


def test_every_option_has_a_help_and_no_two_share_a_name() -> None:
    names = [name for flag in FLAGS for name in flag.names]
    assert len(set(names)) == len(names)
    assert all(flag.settings.get("help") for flag in FLAGS)


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_names_every_option(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out = capfd.readouterr().out
    for flag in FLAGS:
        name = flag.names[-1]
        assert (f"-l {name[2:]}" if shell == "fish" else name) in out
    assert "demo" in out and "echo" in out


@pytest.mark.parametrize(("shell", "make"), [("bash", bash), ("zsh", zsh), ("fish", fish)])
def test_completion_is_a_program_of_its_shell(shell: str, make: object, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    script = tmp_path / "script"
    script.write_text({"bash": bash, "zsh": zsh, "fish": fish}[shell](build_parser()))
    done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["syncws", "--conn"], {"--connect-to"}),
        (["syncws", "--color", "al"], {"always"}),
        (["syncws", "ec"], {"echo"}),
        (["syncws", "completion", "f"], {"fish"}),
        (["syncws", "--file", "setup.c"], {"setup.cfg"}),
        (["syncws", "--save", "sync"], {"syncws"}),
        (["syncws", "--wait", ""], set()),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_bash_completes(words: list[str], completions: set[str], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(bash(build_parser()))
    given = " ".join(f"'{word}'" for word in words)
    program = (
        f"source {script}; COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _syncws; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    # Names of files are completed, too.
    (tmp_path / "syncws").mkdir()
    (tmp_path / "setup.cfg").touch()
    done = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == completions
    assert done.stderr == ""


def test_the_documentation_has_the_statuses_of_the_help() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    assert re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE) == [
        (str(int(status)), text) for status, text in MEANINGS
    ]


def test_the_documentation_names_no_option_that_is_not_there() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    known = {name for flag in FLAGS for name in flag.names} | {"--help", "--tls", "--port"}
    ours, _, rest = page.partition("## Coming from wscat")
    theirs, _, last = rest.partition("\n## ")
    # The first column of that part has the names of wscat's options.
    page = "\n".join([ours, *(line.partition(" | ")[2] or line for line in theirs.splitlines()), last])
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", page)) <= known
