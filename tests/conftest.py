"""Rules for every test: nothing outlives it, nothing leaves this machine, certificates are fresh."""

from __future__ import annotations

import gc
import ipaddress
import itertools
import os
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.leftovers import open_descriptors
from tests.support.waiting import SECONDS

if TYPE_CHECKING:
    import trustme


def _is_loopback(host: object) -> bool:
    text = os.fsdecode(host) if isinstance(host, (str, bytes)) else ""
    if text == "localhost":
        return True
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _without_network(event: str, arguments: tuple[object, ...]) -> None:
    """Let every test see a machine whose only interface is loopback."""
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise OSError(f"tests connect to loopback only, not to {address!r}")
    elif event == "socket.getaddrinfo":
        host = arguments[0]
        if isinstance(host, (str, bytes)) and not _is_numeric(host) and not _is_loopback(host):
            raise socket.gaierror(socket.EAI_NONAME, "tests look up localhost only")


def _is_numeric(host: str | bytes) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(os.fsdecode(host))
        return True
    return False


sys.addaudithook(_without_network)

# A process that a shell runs in the background ignores Ctrl-C, and so do the processes that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the package for its tests. It is imported here and not above, so that its byte code is kept."""
    if sys.dont_write_bytecode and sys.pycache_prefix is None:
        _keep_byte_code(config)

    from syncws._engine import spare_threads
    from syncws.testing import LoopbackServer

    # The scripts of these tests say byte by byte how a connection ends, so the return of a script ends TCP.
    LoopbackServer.close_on_return = False
    # Each test waits until the threads that began in it are gone.
    spare_threads.STAY_SECONDS = 0.002


def _keep_byte_code(config: pytest.Config) -> None:
    """Where Python must not write byte code beside the sources, keep it in pytest's cache, or for this run.

    Compiling the package and its tests takes longer than many a file of tests, and hundreds of programs that
    these run import the package too.
    """
    folder = _folder_in_cache(config)
    if folder is not None:
        sys.pycache_prefix, sys.dont_write_bytecode = folder, False
    else:
        made = tempfile.TemporaryDirectory(prefix="syncws-bytecode-", ignore_cleanup_errors=True)
        config.add_cleanup(made.cleanup)
        folder = made.name
    os.environ["PYTHONPYCACHEPREFIX"] = folder
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _folder_in_cache(config: pytest.Config) -> str | None:
    if config.pluginmanager.hasplugin("cacheprovider"):
        with suppress(OSError):  # a checkout that cannot be written to
            return str(config.cache.mkdir("bytecode"))
    return None


def pytest_collection_finish() -> None:
    """Let no collection of garbage look through the ten thousand tests again: some tests collect often."""
    _set_aside_what_lives()


# How many tests run until what pytest keeps of them is set aside: its reports, and what they captured.
TESTS_BETWEEN = 200
_tests = itertools.count(1)


def pytest_runtest_logstart() -> None:
    """Between two tests, now and then: otherwise each collection would take the longer the later it comes."""
    if next(_tests) % TESTS_BETWEEN == 0:
        _set_aside_what_lives()


def _set_aside_what_lives() -> None:
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()


@pytest.fixture(autouse=True)
def nothing_outlives_the_test() -> Iterator[None]:
    """Wait after each test until the threads and descriptors that began in it are gone, which must be soon.

    A call returns at its outcome, so that the threads of a connection may end a little later.
    """
    threads, descriptors = set(threading.enumerate()), open_descriptors()

    def left() -> list[str]:
        names = [t.name for t in threading.enumerate() if t not in threads and t.name.startswith("syncws")]
        return names + [f"{n} {to}" for n, to in open_descriptors().items() if descriptors.get(n) != to]

    yield
    until = time.monotonic() + SECONDS
    rounds = 0
    while (leftover := left()) and time.monotonic() < until:
        threading.Event().wait(0.002)
        rounds += 1
        if rounds % 20 == 0:
            gc.collect()  # A signal handler's exception may keep its frames until a collection.
    assert not leftover


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The certificate authority of this run; tests that use it are skipped where trustme is not installed."""
    authority: trustme.CA = pytest.importorskip("trustme").CA()
    return authority


@pytest.fixture(scope="session")
def server_ssl_context(authority: trustme.CA) -> ssl.SSLContext:
    """For servers: a certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_ssl_context(authority: trustme.CA) -> ssl.SSLContext:
    """For clients: trusts the authority of this run, and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context
