"""The demo: a real connection with an echo server in the same process, told event by event.

Owns: nothing that lasts. Runs on: the main thread, and where the callbacks run. Must not import: anything
below the two doors it shows, `WebSocket` and `LoopbackServer`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .._events import CloseEvent, ErrorEvent, Event, MessageEvent
from .._ready_state import STATE_NAMES
from .._websocket import WebSocket
from ..testing.loopback import LoopbackServer

_SECONDS = 20


def run_demo() -> int:
    """Run the demo; returns the exit status."""
    with contextlib.ExitStack() as stack:
        contexts = stack.enter_context(_certificates())
        server = stack.enter_context(LoopbackServer(tls=contexts[0] if contexts else None))
        url = server.url_for("/demo")
        print(f"An echo server runs in this process: {url}")
        if contexts is None:
            print("(without TLS: neither trustme nor openssl is here to make a certificate)")
        return _converse(url, contexts[1] if contexts else None)


def _converse(url: str, context: ssl.SSLContext | None) -> int:
    started = time.monotonic()
    outcome: list[CloseEvent] = []

    def tell(what: str, carried: str, ws: WebSocket) -> None:
        thread = threading.current_thread().name
        state = f"{ws.readyState} {STATE_NAMES[ws.readyState]}"
        # In one write, since two threads tell.
        sys.stdout.write(
            f"{time.monotonic() - started:8.4f} s  {thread:<16}  {what:<8}  {carried:<44}  "
            f"readyState={state:<12}  bufferedAmount={ws.bufferedAmount}\n"
        )

    def send(ws: WebSocket, data: str | bytes) -> None:
        ws.send(data)
        tell("send()", _describe(data), ws)

    def on_event(event: Event) -> None:
        ws = event.target
        assert isinstance(ws, WebSocket)
        tell(event.type, _carried(event), ws)
        if event.type == "open":
            send(ws, "Grüße, server!")
            send(ws, bytes(range(256)) * 256)
        elif isinstance(event, MessageEvent) and isinstance(event.data, bytes):
            ws.close(1000, "the demo is over")
            tell("close()", "1000 'the demo is over'", ws)
        elif isinstance(event, CloseEvent):
            outcome.append(event)

    ws = WebSocket(
        url, onopen=on_event, onmessage=on_event, onerror=on_event, onclose=on_event, ssl_context=context
    )
    tell("WebSocket", url, ws)
    ws.join(_SECONDS)
    return 0 if outcome and outcome[0].wasClean else 1


def _carried(event: Event) -> str:
    if isinstance(event, MessageEvent):
        return _describe(event.data)
    if isinstance(event, CloseEvent):
        return f"code={event.code} reason={event.reason!r} wasClean={event.wasClean}"
    return event.message if isinstance(event, ErrorEvent) else ""


def _describe(data: str | bytes | bytearray) -> str:
    if isinstance(data, str):
        return f"text {data!r}"
    return f"binary, {len(data)} bytes, {data[:6].hex(' ')} …"


@contextlib.contextmanager
def _certificates() -> Iterator[tuple[ssl.SSLContext, ssl.SSLContext] | None]:
    """Contexts for the server and for a client that trusts it, on a certificate made just now.

    None where nothing can make one.
    """
    with tempfile.TemporaryDirectory(prefix="syncws-demo-") as name:
        pem = Path(name, "certificate-and-key.pem")
        authority: str | None = None
        if importlib.util.find_spec("trustme"):
            authority = _with_trustme(pem)
        elif shutil.which("openssl"):
            authority = _with_openssl(pem)
        if authority is None:
            yield None
            return
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(pem)
        yield server, ssl.create_default_context(cadata=authority)


def _with_trustme(pem: Path) -> str:
    import trustme

    authority = trustme.CA()
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    return authority.cert_pem.bytes().decode()


def _with_openssl(pem: Path) -> str | None:
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
        "-addext basicConstraints=critical,CA:TRUE"
    )
    key = pem.with_name("key.pem")
    done = subprocess.run(
        [*command.split(), "-keyout", key, "-out", pem], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(f"openssl could not make a certificate: {done.stderr.strip()}", file=sys.stderr)
        return None
    authority = pem.read_text()
    pem.write_text(authority + key.read_text())
    return authority
