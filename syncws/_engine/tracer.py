"""Reports the steps of a connection, one record each, to `trace=` and to the log at the level `DEBUG`.

Owns: the numbers of the records. Runs on: the thread on which the step happens, which holds no lock there.
Must not import: sockets, the reader, what programs call.

Without `trace=` and that level there is no `Tracer`: each place that reports a step only checks for None.
Frames are reported by another decoder and another encoder, which are chosen when the connection is made.

An exception of a trace callable is logged, and the connection goes on. The callable runs on threads that the
connection needs, so a call in it that waits for the connection raises `RuntimeError`. Only one step happens
on a thread of the program: the wait of a reconnecting connection before its next attempt. If a signal handler
raises there, in the middle of the callable, the exception goes through.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from .._handler_errors import is_interrupt_of_python, is_raised_by_handler
from .._log import Fields, is_logged, log, log_exception
from .._protocol.frames import Opcode
from .._quoting import Secrets, printable
from .._transport.poller import ForkedError
from .primitives import Leaf
from .trace_record import TraceRecord

if TYPE_CHECKING:
    from .._protocol.decoder import Decoder
    from .._protocol.encoder import Encoder
    from .._protocol.permessage_deflate import DeflateParameters

# How many bytes of a payload a log record shows.
_SHOWN_BYTES = 100


#: The type of `trace=`.
TraceCallable: TypeAlias = Callable[[TraceRecord], object]


def make_tracer(call: TraceCallable | None, number: int, log_fields: Fields) -> Tracer | None:
    """A tracer for a new connection; None when neither `trace` nor the log asks for its steps."""
    logs = is_logged(logging.DEBUG)
    if call is None and not logs:
        return None
    # This import stands here, not in the reader: during a fork the reader must not hold the import lock.
    from .._protocol import traced  # noqa: F401

    return Tracer(call, number, log_fields if logs else None, log_fields)


class Tracer:
    """Tells the steps of one connection.

    Attributes:
        secrets: the credentials that the opening has sent; they are hidden in a server's reason and in log
            records.
    """

    __slots__ = ("_call", "_fields", "_leaf", "_log_fields", "_number", "_serial", "secrets")

    def __init__(
        self, call: TraceCallable | None, number: int, log_fields: Fields | None, fields: Fields
    ) -> None:
        self._call = call
        self._number = number
        self._log_fields = log_fields
        self._fields = fields
        self._leaf = Leaf()
        self._serial = 0
        self.secrets = Secrets()

    def tell(self, step: str, **fields: Any) -> None:
        """Report a step."""
        self.log(self.tell_callable(step, **fields))

    def tell_callable(self, step: str, **fields: Any) -> TraceRecord:
        """Report a step to the callable alone, and return its record, which is logged later."""
        with self._leaf:
            self._serial += 1
            serial = self._serial
        if fields.get("reason"):
            fields["reason"] = self.secrets.hide(fields["reason"])
        record = TraceRecord(serial, time.time(), self._number, step, **fields)
        if self._call is not None:
            self._tell_callable(self._call, record)
        return record

    def log(self, record: TraceRecord) -> None:
        """Log a step, if the level asked for that when the connection was made."""
        if self._log_fields is None:
            return
        extra = {**self._log_fields, "step": record.step}
        if record.step == "closed":
            extra.update(code=record.code, reason=record.reason, was_clean=record.clean)
        log(logging.DEBUG, extra, "%s: %s", self._log_fields["connection"], describe(record, self.secrets))

    def _tell_callable(self, call: TraceCallable, record: TraceRecord) -> None:
        try:
            call(record)
        except ForkedError:
            raise
        except BaseException as error:
            if is_raised_by_handler(error) or is_interrupt_of_python(error):
                raise
            log_exception(self._fields, "the trace callable raised at %r: %r", record.step, call)

    # Frames.

    def make_decoder(self, max_size: int | None, deflate: DeflateParameters | None) -> Decoder:
        """A decoder that reports each frame that it has decoded."""
        from .._protocol.permessage_deflate import Inflater
        from .._protocol.traced import TracedDecoder

        return TracedDecoder(max_size, None if deflate is None else Inflater(deflate), self._received)

    def make_encoder(self, deflate: DeflateParameters | None) -> Encoder:
        """An encoder that reports each frame that it has made."""
        from .._protocol.permessage_deflate import Deflater
        from .._protocol.traced import TracedEncoder

        return TracedEncoder(None if deflate is None else Deflater(deflate), self._sent)

    def _received(self, head_byte: int, payload: bytes, size: int, wire_size: int) -> None:
        self._tell_frame("received", head_byte, payload, size, wire_size)

    def _sent(self, head_byte: int, payload: bytes, size: int, wire_size: int) -> None:
        self._tell_frame("sent", head_byte, payload, size, wire_size)

    def _tell_frame(self, step: str, head_byte: int, payload: bytes, size: int, wire_size: int) -> None:
        opcode = head_byte & 15
        fields: dict[str, Any] = {}
        if opcode == Opcode.CLOSE and len(payload) > 1:
            code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")
            fields = {"code": code, "reason": reason}
            payload = payload[:2] + self.secrets.hide(payload[2:].decode("latin-1")).encode("latin-1")
        self.tell(
            step,
            opcode=opcode,
            final=bool(head_byte & 128),
            size=size,
            wire_size=wire_size,
            payload=payload,
            **fields,
        )


_KINDS = {0: "continuation", 1: "text", 2: "binary", 8: "Close", 9: "Ping", 10: "Pong"}


def describe(record: TraceRecord, secrets: Secrets) -> str:
    """A step as one line of text."""
    words = [record.step]
    if record.opcode is not None:
        # A cut must not divide a secret, so secrets are hidden first.
        said = (record.payload or b"")[: _SHOWN_BYTES * 16].decode("latin-1")
        payload = secrets.hide(said).encode("latin-1")
        more = "..." if len(payload) > _SHOWN_BYTES or (record.size or 0) > len(said) else ""
        kind = _KINDS.get(record.opcode, f"opcode {record.opcode}")
        ends = "" if record.final else ", to be continued"
        return f"{record.step} {kind}, {record.size} bytes{ends}: {payload[:_SHOWN_BYTES]!r}{more}"
    if record.host is not None:
        words.append(f"{record.host}:{record.port}" if record.port is not None else record.host)
    if record.address is not None:
        words.append(str(record.address))
    if record.url is not None:
        words.append(record.url)
    if record.head is not None:
        words.append(" | ".join(map(printable, record.head.decode("latin-1").strip().split("\r\n"))))
    elif record.status is not None:
        words.append(str(record.status))
    if record.tls is not None:
        words.append(f"{record.tls.version} {record.tls.cipher}")
    if record.code is not None:
        words.append(f"{record.code} {printable(record.reason or '')}".rstrip())
    if record.error is not None:
        words.append(f"{type(record.error).__name__}: {record.error}")
    if record.retry_in is not None:
        words.append(f"next attempt in {record.retry_in:.1f} s")
    return " ".join(words)
