"""-v and -vv: what happened, step by step, on stderr.

Owns: nothing. Runs on: the thread on which the step happens. Must not import: the engine.

``*`` marks a step, ``>`` what was sent, ``<`` what was received, as curl has it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .. import Connection, HandshakeError

if TYPE_CHECKING:
    from .console import Console

# The steps that -v shows. -vv shows the frames as well.
_FRAMES = ("sent", "received")
_OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_SHOWN_BYTES = 64
_SHOWN_BODY = 2000
_SECRET = ("set-cookie", "authorization", "www-authenticate", "proxy-authenticate")


class Verbose:
    """Tells the steps of a connection.

    Attributes:
        is_traced: whether `trace` is to be passed on.
    """

    def __init__(self, console: Console, level: int, *, control: bool = False) -> None:
        """`control`: show pings and pongs that arrive, at any level."""
        self._console = console
        self._level = level
        self._control = control
        self.is_traced = bool(level or control)
        self._lock = threading.Lock()

    def on_open(self, connection: Connection) -> None:
        if self._level:
            agreed = [f"subprotocol {connection.protocol}"] if connection.protocol else []
            agreed += [f"extensions {connection.extensions}"] if connection.extensions else []
            self._step("open" + "".join(f", {each}" for each in agreed))

    def on_failed(self, error: BaseException) -> None:
        """Show the answer that refused the handshake."""
        if self._level and isinstance(error, HandshakeError) and error.status is not None:
            body = error.body.decode("utf-8", "replace")
            for line in body[:_SHOWN_BODY].splitlines():
                self._console.say(line, "note", mark="< ")
            if len(body) > _SHOWN_BODY:
                self._step("the rest of the body is not shown")

    def trace(self, record: Any) -> None:
        """Show a step; `trace=` calls this."""
        if record.step in _FRAMES:
            is_control = record.step == "received" and record.opcode in (9, 10)
            if self._level > 1 or (self._control and is_control):
                self._frame(record)
        elif self._level:
            if record.head is not None:
                mark = ">" if record.step == "request" else "<"
                first, *fields = record.head.decode("latin-1").rstrip("\r\n").split("\r\n")
                self._lines(mark, [first, *map(_masked, fields)])
            else:
                self._step(" ".join([record.step, *_details(record)]))

    def _frame(self, record: Any) -> None:
        mark = ">" if record.step == "sent" else "<"
        kind = _OPCODES.get(record.opcode, f"opcode {record.opcode}")
        more = "" if record.final in (True, None) else ", to be continued"
        payload = bytes(record.payload or b"")[:_SHOWN_BYTES]
        shown = payload.decode("utf-8", "replace") if record.opcode in (0, 1) else payload.hex(" ")
        cut = " …" if (record.size or 0) > _SHOWN_BYTES else ""
        self._lines(mark, [f"[{kind}, {record.size} bytes{more}] {shown}{cut}".rstrip()])

    def _step(self, text: str) -> None:
        self._lines("*", [text])

    def _lines(self, mark: str, lines: Iterable[str]) -> None:
        # Steps of both directions may come at once, and the lines of a head must stay together.
        with self._lock:
            for line in lines:
                self._console.say(line, "note", mark=mark + " ")


def _masked(field: str) -> str:
    name, colon, _ = field.partition(":")
    return f"{name}: ***" if colon and name.strip().lower() in _SECRET else field


def _details(record: Any) -> list[str]:
    """The fields of a step, in the order in which a person reads them."""
    found = []
    for name in ("host", "port", "address", "url", "status", "code", "reason", "error"):
        value = getattr(record, name, None)
        if value not in (None, ""):
            found.append(str(value) if name in ("host", "url", "reason") else f"{name} {value}")
    return found
