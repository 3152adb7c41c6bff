"""Programs that gevent or eventlet has patched, each a process of its own: the test process is never patched.

A program is text that goes behind `HEAD`, which patches it and gives it the few names in which the two
libraries differ.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import trustme

from tests.support.programs import PROGRAM_SECONDS, communicate, spawn

LIBRARIES = ["gevent", "eventlet"]

# A program prints where it hangs before `PROGRAM_SECONDS` are over; its own deadlines are shorter still.
HEAD = """
    import faulthandler, sys, warnings

    library, order, url, authority = sys.argv[1:5]
    faulthandler.dump_traceback_later(40, exit=True)
    if order == "syncws imported first":
        import syncws
    with warnings.catch_warnings():
        # eventlet warns that it is deprecated, gevent that `ssl` is here already when it patches late.
        warnings.simplefilter("ignore")
        if library == "gevent":
            import gevent as greenlets
            import gevent.monkey
            gevent.monkey.patch_all()
        else:
            import eventlet as greenlets
            greenlets.monkey_patch()

    import contextlib, os, ssl, threading, time
    import syncws

    options = {"ssl_context": ssl.create_default_context(cafile=authority)} if url.startswith("wss") else {}

    def wait(*spawned):
        # What greenlets return; raises what they raise.
        return [greenlet.get() if library == "gevent" else greenlet.wait() for greenlet in spawned]

    def wait_until(condition, seconds=20):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until
            greenlets.sleep(0.001)

    def raises(kind, call):
        try:
            result = call()
        except kind as error:
            return error
        raise AssertionError(f"returned {result!r}")
"""


@functools.cache
def why_not(library: str) -> str:
    """Why programs cannot use `library` here; empty when they can."""
    if importlib.util.find_spec(library) is None:
        return f"{library} is not installed"
    patch = "from gevent.monkey import patch_all as patch"
    if library == "eventlet":
        patch = "from eventlet import monkey_patch as patch"
    program = f"{patch}; patch(); import threading; t = threading.Thread(target=print); t.start(); t.join()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PROGRAM_SECONDS
    )
    if done.returncode == 0:
        return ""
    said = (done.stderr.splitlines() or [str(done.returncode)])[-1]
    return f"{library} does not work on Python {sys.version.split()[0]}: {said}"


def skip_without(library: str) -> None:
    if reason := why_not(library):
        pytest.skip(reason)


def start(
    program: str, library: str, url: str, authority: trustme.CA, folder: Path, order: str = "patched first"
) -> subprocess.Popen[str]:
    """Start a program; it gets `url`, and for `wss` a context that trusts `authority`."""
    skip_without(library)
    trusted = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    text = textwrap.dedent(HEAD) + textwrap.dedent(program)
    return spawn("-c", text, library, order, url, str(trusted))


def run(
    program: str, library: str, url: str, authority: trustme.CA, folder: Path, order: str = "patched first"
) -> str:
    """Run a program to its end, which must be a good one; what it printed."""
    out, err = communicate(start(program, library, url, authority, folder, order))
    assert err == "", err
    return out
