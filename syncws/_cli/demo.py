"""``syncws demo``: a client and an echo server in one process, and what happens on which thread.

Owns: nothing that lasts. Runs on: the main thread, the callbacks' and the server's. Must not import: anything
below the two that it shows, `WebSocket` and `LoopbackServer`.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
import threading
import time
from typing import Any

from .. import CloseEvent, ErrorEvent, Event, MessageEvent, WebSocket
from .._ready_state import STATE_NAMES
from ..testing import LoopbackServer, Peer
from ..testing.certificates import can_make_certificates
from .arguments import Parser
from .console import Console, OutputClosed

_SECONDS = 20
_COLUMNS = 80
_TIME_COLUMNS = 9

_WAY = "your thread ──send()──▶ writer ──▶ network ──▶ reader ──▶ worker ──▶ onmessage"
_NEXT = """\
Next, in one terminal:  {0} echo
in another:             {0} ws://127.0.0.1:8765/"""

# The lanes, by the endings of thread names. The steps of the writer and the reader come from `trace=`.
_LANES = ("your thread", "writer", "server", "reader", "worker")
_WIDTHS = (16, 12, 10, 12, 20)
_STYLES = {"writer": "lane", "reader": "lane", "server": "note", "worker": "received"}


def demo_parser(prog: str = "syncws") -> Parser:
    return Parser(
        prog=f"{prog} demo",
        usage=f"{prog} demo",
        description="A client and an echo server talk in this process, event by event.",
        allow_abbrev=False,
    )


def run_demo(given: list[str], prog: str) -> int:
    """Run the demo; returns the exit status."""
    demo_parser(prog).parse_args(given)
    table = _Table(Console())
    with contextlib.ExitStack() as stack:
        secure = can_make_certificates()
        server = stack.enter_context(LoopbackServer(table.serve, tls=secure))
        url = server.url_for("/demo")
        table.begin(url, without_tls=not secure)
        options: dict[str, Any] = {"trace": table.trace} if table.is_traced else {}
        if secure:
            options["ssl_context"] = server.ssl_context
        clean = _Client(table).run(url, options)
    table.end(prog)
    return 0 if clean else 1


class _Client:
    """A program: it makes its calls on its own thread, and its handlers run on the worker."""

    def __init__(self, table: _Table) -> None:
        self._table = table
        self._opened = threading.Event()
        self._answered = threading.Event()
        self._expected = 2
        self._clean = False

    def run(self, url: str, options: dict[str, Any]) -> bool:
        """Open, send two messages, wait for their echoes, close; whether that ended well."""
        self._table.row("your thread", "WebSocket(url)")
        ws = WebSocket(
            url,
            onopen=self._on_open,
            onmessage=self._on_message,
            onerror=self._on_error,
            onclose=self._on_close,
            **options,
        )
        if self._opened.wait(_SECONDS) and ws.readyState == ws.OPEN:
            for data in ("Grüße, server!", bytes(range(256)) * 256):
                # The lock is held so that this row stands before the rows of the events that follow from it.
                with self._table.lock:
                    ws.send(data)
                    state = f"buffered {ws.bufferedAmount}"
                    self._table.row("your thread", f"send({_describe(data)})", state)
            self._answered.wait(_SECONDS)
            self._table.row("your thread", "close(1000)")
            ws.close(1000, "the demo is over")
        ws.join(_SECONDS)
        return self._clean

    def _on_open(self, event: Event) -> None:
        self._table.row("worker", "onopen", _state(event))
        self._opened.set()

    def _on_message(self, event: MessageEvent) -> None:
        self._table.row("worker", f"onmessage {_describe(event.data)}")
        self._expected -= 1
        if not self._expected:
            self._answered.set()

    def _on_error(self, event: ErrorEvent) -> None:
        self._table.row("worker", "onerror", _state(event))
        self._table.note(event.message)

    def _on_close(self, event: CloseEvent) -> None:
        self._table.row("worker", f"onclose {event.code}", _state(event))
        self._clean = event.wasClean
        self._opened.set()
        self._answered.set()


class _Table:
    """Prints a row for each thing that happens, in the lane of the thread on which it does.

    Attributes:
        lock: held while a row is printed.
    """

    def __init__(self, console: Console) -> None:
        self.is_traced = "trace" in inspect.signature(WebSocket).parameters
        self._console = console
        self._lanes = (
            _LANES if self.is_traced else tuple(lane for lane in _LANES if lane not in ("writer", "reader"))
        )
        # The last column is for the state, where there is room for it.
        even = (_COLUMNS - _TIME_COLUMNS - 14) // 3
        widths = _WIDTHS if self.is_traced else (even,) * 3
        self._starts = [0, *itertools.accumulate(widths)]
        self._began = time.monotonic()
        self.lock = threading.RLock()

    def begin(self, url: str, *, without_tls: bool) -> None:
        self._print(f"A client talks to an echo server in this process: {url}")
        if without_tls:
            self._print("(without TLS: neither trustme nor openssl is here to make a certificate)")
        self._print("")
        self._print(_WAY)
        self._print("")
        heads = ""
        for lane, start in zip(self._lanes, self._starts, strict=False):
            heads = heads.ljust(start) + lane
        self._print(self._console.paint(f"{'ms':>{_TIME_COLUMNS - 2}}  {heads}".rstrip(), "name"))
        self._began = time.monotonic()

    def end(self, prog: str) -> None:
        self._print("")
        self._print(_NEXT.format(prog))

    def row(self, lane: str, text: str, state: str = "") -> None:
        """Print what happens on a lane; from any thread."""
        before = self._starts[self._lanes.index(lane)]
        after = " " * max(1, self._starts[-1] - before - len(text))
        painted = self._console.paint(text, _STYLES[lane]) if lane in _STYLES else text
        room = _COLUMNS - _TIME_COLUMNS - before - len(text) - len(after)
        shown = f"{' ' * before}{painted}{after}{state if len(state) <= room else ''}".rstrip()
        with self.lock:
            at = (time.monotonic() - self._began) * 1000
            self._print(f"{at:{_TIME_COLUMNS - 2}.1f}  {shown}")

    def note(self, text: str) -> None:
        self._print(text)

    def serve(self, peer: Peer) -> None:
        """The echo server's script, which tells what reaches it."""
        peer.accept()
        self.row("server", "101 Switching" if not self.is_traced else "101")
        while True:
            data = peer.recv()
            self.row("server", f"echoes {_describe(data)}" if not self.is_traced else "echoes")
            if isinstance(data, str):
                peer.send(data)
            else:
                peer.send(data)

    def trace(self, record: Any) -> None:
        """Print a step that no handler is called for; `trace=` calls this."""
        name = threading.current_thread().name.rpartition("-")[2]
        lane = name if name in self._lanes else "your thread"
        if record.step in ("sent", "received"):
            self.row(lane, f"{'▶' if record.step == 'sent' else '◀'} {record.size} B")
        elif record.step in ("connected", "tls", "request", "response"):
            self.row(lane, {"tls": "TLS"}.get(record.step, record.step))

    def _print(self, text: str) -> None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = text.translate({0x2500: "-", 0x25B6: ">", 0x25C0: "<"})
        # Nobody reads our output any more; the demo goes on to its end.
        with contextlib.suppress(OutputClosed):
            self._console.put_line(text)


def _state(event: Event) -> str:
    ws = event.target
    return STATE_NAMES[ws.readyState] if isinstance(ws, WebSocket) else ""


def _describe(data: str | bytes | bytearray) -> str:
    return f"text {len(data.encode())} B" if isinstance(data, str) else f"{len(data) // 1024} KiB"
