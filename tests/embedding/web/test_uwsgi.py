"""uWSGI with the Flask example, and what is said where it gives threads no time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncws._engine.process import check_threads
from tests.embedding.web.serving import Program, Traffic, Upstream, ask, check_delivery, needs

UWSGI = shutil.which("uwsgi", path=os.path.dirname(sys.executable))

real_server = pytest.mark.skipif(UWSGI is None, reason="uWSGI is not installed")

# Answers with what `check_threads` says, at the import and in a request.
CHECKED = """
from syncws._engine.process import check_threads


def verdict():
    try:
        check_threads()
    except RuntimeError as error:
        return str(error)
    return "threads run"


at_import = verdict()


def application(environ, start_response):
    start_response("200 OK", [])
    return [f"{at_import}; {verdict()}".encode()]
"""


# SIGTERM ends the workers when their requests are done. By itself it reloads, and with --die-on-term it kills
# them inside a request.
MASTER = ["--master", "--processes", "2", "--hook-master-start", "unix_signal:15 gracefully_kill_them_all"]

# Printed when that holds: before, SIGTERM reloads.
HOOKED = 'running "unix_signal:15 gracefully_kill_them_all"'


@contextlib.contextmanager
def uwsgi(*options: str, url: str = "", **environment: str) -> Iterator[tuple[Program, int]]:
    """uWSGI, and its port."""
    assert UWSGI is not None
    # Not port 0, for which it would find another port at each reload.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ("--http-socket", f"127.0.0.1:{port}", "--need-app", *options)
    with Program(*command, url=url, executable=UWSGI, **environment) as program:
        program.wait_printed("spawned uWSGI worker")
        if "--master" in options:
            program.wait_printed(HOOKED)
        yield program, port


@real_server
@needs("flask")
@pytest.mark.parametrize("lazy", [[], ["--lazy-apps"]], ids=["", "lazy"])
def test_each_worker_has_one_connection_and_says_goodbye(lazy: list[str], upstream: Upstream) -> None:
    options = [*MASTER, *lazy, "--enable-threads", "--module", "examples.flask_app.app:app"]
    with uwsgi(*options, url=upstream.url) as (program, port), Traffic(port) as traffic:
        upstream.wait_opened(2)
        assert str(ask(port, "/latest")[1]["latest"]).startswith("welcome, connection ")
        program.send_signal(signal.SIGHUP)
        upstream.wait_opened(4)
        upstream.wait_ended(2)
        program.wait_printed(HOOKED, 2)
        program.stop()
        upstream.wait_ended(4)
    assert (upstream.opened, upstream.ends) == (4, [1001] * 4)
    check_delivery(traffic, upstream)
    assert "Traceback" not in program.printed


THREADED = {
    "--enable-threads": ["--enable-threads"],
    "--threads": ["--threads", "2"],
    "master": ["--enable-threads", *MASTER],
    "lazy": ["--enable-threads", *MASTER, "--lazy-apps"],
}


@real_server
@pytest.mark.parametrize("options", THREADED.values(), ids=THREADED.keys())
def test_check_is_silent_where_threads_run(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "checked.py").write_text(CHECKED)
    with uwsgi("--module", "checked", *options, PYTHONPATH=str(tmp_path)) as (_, port):
        assert ask(port, "/")[1]["text"] == "threads run; threads run"


@real_server
@pytest.mark.parametrize("options", [[], MASTER, [*MASTER, "--lazy-apps"]], ids=["", "master", "lazy"])
def test_check_names_the_option_where_threads_do_not_run(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "checked.py").write_text(CHECKED)
    with uwsgi("--module", "checked", *options, PYTHONPATH=str(tmp_path)) as (program, port):
        at_import, in_a_request = str(ask(port, "/")[1]["text"]).split("; ")
    # The server says which it is: later versions need no option.
    if "threads support is disabled" in program.printed:
        assert "--enable-threads" in at_import and "--enable-threads" in in_a_request
    else:
        assert (at_import, in_a_request) == ("threads run", "threads run")


@real_server
@needs("flask")
def test_an_application_without_threads_is_told_rather_than_hung(upstream: Upstream) -> None:
    with uwsgi("--module", "examples.flask_app.app:app", url=upstream.url) as (program, port):
        status, _ = ask(port, "/send", {"id": "one"})
        if "threads support is disabled" in program.printed:
            assert status == 500
            program.wait_printed("RuntimeError: uWSGI was started without --enable-threads")
        else:
            assert status == 200


def fake_module(monkeypatch: pytest.MonkeyPatch, **names: object) -> None:
    module = types.ModuleType("uwsgi")
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, "uwsgi", module)


def test_check_does_nothing_outside_uwsgi() -> None:
    assert "uwsgi" not in sys.modules
    check_threads()
    assert "uwsgi" not in sys.modules


def test_check_takes_the_servers_word_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_module(monkeypatch, has_threads=1)
    check_threads()
    fake_module(monkeypatch, has_threads=0)
    with pytest.raises(RuntimeError, match="--enable-threads"):
        check_threads()


def test_check_lets_greenlets_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_module(monkeypatch, has_threads=0)
    monkey = types.ModuleType("gevent.monkey")
    patched = {"threading"}
    vars(monkey)["is_module_patched"] = patched.__contains__
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    check_threads()
    patched.clear()
    with pytest.raises(RuntimeError, match="--enable-threads"):
        check_threads()
