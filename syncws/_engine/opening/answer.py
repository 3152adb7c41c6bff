"""A request, and the answer to it, read off a stream: the head, and the body of a refusal.

Owns: the bytes of one answer that have arrived. Runs on: the thread that opens the connection. Must not
import: the other threads.

It reads the answers of servers and of proxies alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._exceptions import ConnectionLost, HandshakeError
from ..._handler_errors import pass_on
from ..._protocol.body import MAX_BODY, BodyParser
from ..._protocol.http11 import Response, ResponseParser
from ..._transport.poller import READ, OpeningDeadline, OpenTimeoutError

if TYPE_CHECKING:
    from typing import Protocol

    from ..._transport.stream import Stream

    class TimedOpening(OpeningDeadline, Protocol):
        """How the opening waits, and what it is doing; see `opening.Connector`."""

        @property
        def doing(self) -> str:
            """The present step, in the words of an error's text."""

        def check_time(self) -> float:
            """Raise when the opening was given up or its time is over; else say what time it is."""


# How long to wait for the body of a refusal, within open_timeout: when its head says where the body ends, and
# when it does not.
FRAMED_BODY_SECONDS = 5.0
BODY_SECONDS = 1.0

# How many interim answers (102, 103) may come before the final one: more than any server needs, but a flood
# of them must end.
MAX_INTERIM = 32

# How much is read at once. A head is small.
_READ_SIZE = 16 * 1024


def send_head(stream: Stream, head: bytes) -> None:
    """Send a request. If TCP has ended, this does not raise: an answer may have come before that."""
    try:
        stream.send(head)
    except ConnectionError as error:
        pass_on(error)


def read_head(
    stream: Stream, opening: TimedOpening, who: str, explain: Callable[[bytes], str]
) -> tuple[Response, bytes]:
    """The final answer's head, and the bytes after it.

    `who` is the name of the peer for errors. When the connection is lost, `explain` is called with the bytes
    that have arrived, and returns a text about the likely cause.

    Raises `HandshakeError` for a malformed head, `ConnectionLost` when there is no whole one.
    """
    parser = ResponseParser()
    data = b""
    interim = 0
    while True:
        if (result := parser.feed(data)) is not None:
            response, rest = result
            if not 100 <= response.status < 200 or response.status == 101:
                return result
            # RFC 9110 15.2: an interim answer, such as 103, may come before the final one.
            interim += 1
            if interim > MAX_INTERIM:
                raise HandshakeError(f"more than {MAX_INTERIM} interim answers came")
            parser, data = ResponseParser(), rest
            continue
        try:
            data = _receive(stream, opening)
        except OpenTimeoutError as error:
            add_received(error, parser.received)
            raise
        except OSError as error:
            text = f"{who} was lost while {opening.doing}: {error}"
            why = _about_certificate(error) or explain(parser.received)
            raise ConnectionLost(text + why) from error
        if not data:
            text = f"{who} ended TCP while {opening.doing}"
            raise ConnectionLost(text + explain(parser.received))


def _about_certificate(error: OSError) -> str:
    """A text about an alert of TLS for the client's certificate: TLS 1.3 sends it after the handshake."""
    said = str(error).lower()
    if "alert" in said and ("certificate" in said or "unknown ca" in said):
        return " (it wants a certificate of the client, or does not take the one that is given: cert=)"
    return ""


def add_received(error: OpenTimeoutError, received: bytes) -> None:
    """Have the error of a time-out say what had arrived of the answer."""
    if received:
        error.args = (f"{error},{after(received)}",)


def after(received: bytes) -> str:
    """A text about the part of an answer that had come."""
    return f" after {received!r}" if received else ""


def _receive(stream: Stream, opening: TimedOpening) -> bytes:
    opening.check_time()  # A peer that sends without end must not evade the deadline.
    while (data := stream.recv(_READ_SIZE)) is None:
        opening.wait(stream.socket, READ)
    return data


def read_body(stream: Stream, opening: TimedOpening, response: Response, rest: bytes) -> bytes:
    """The body of a refusal, or as much of it as comes soon; it begins with `rest`, which came with the
    head."""
    parser = BodyParser(response)
    parser.feed(rest)
    until = time.monotonic() + (FRAMED_BODY_SECONDS if parser.framed else BODY_SECONDS)
    while not parser.done:
        left = until - time.monotonic()
        if left <= 0:
            break
        try:
            data = stream.recv(MAX_BODY)
            if data is None:
                opening.wait(stream.socket, READ, left)
                continue
        except OSError as error:
            pass_on(error)
            # The error to report is the refusal, not the end of TCP after it, nor that the time is over.
            break
        if not data:
            break
        parser.feed(data)
    return parser.body
