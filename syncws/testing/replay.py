"""The server's side of a recorded session, played from a HAR file.

Owns: the sessions of one file and which of them were played. Runs on: the thread of each connection's script.
Must not import: anything of the client.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .._headers import Headers
from .._protocol.frames import Opcode
from .assembler import parse_close
from .difference import Message, are_equal, describe_difference, shorten
from .peer import Peer, PeerClosed
from .wire import Request

# Header fields that belong to one connection or to HTTP itself; the replaying server makes them anew.
_NOT_REPEATED = {
    "connection",
    "content-length",
    "date",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "transfer-encoding",
    "upgrade",
    "content-encoding",
}


class ReplayError(AssertionError):
    """The client did not do what was recorded; the text shows the first difference."""


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """One entry of ``_webSocketMessages``; ``time`` is in seconds, since the epoch."""

    sent: bool
    opcode: int
    data: Message
    time: float | None

    def __str__(self) -> str:
        return shorten(self.data)


@dataclass(frozen=True, slots=True)
class Session:
    """One WebSocket of a HAR file."""

    url: str
    status: int
    headers: Headers
    body: str
    messages: list[RecordedMessage] = field(default_factory=list)


def load_sessions(path: str | os.PathLike[str]) -> list[Session]:
    """Every WebSocket of a HAR 1.2 file, as browsers and ``syncws.har.Recorder`` write it.

    Raises:
        ValueError: it is no HAR, holds no WebSocket, or lacks what a message said.
    """
    name = os.path.basename(path)
    try:
        entries = json.loads(Path(path).read_text("utf-8-sig"))["log"]["entries"]
        if not isinstance(entries, list):
            raise TypeError("its entries are no list")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        # The repr of a UnicodeDecodeError holds the whole file.
        raise ValueError(f"{name} is no HAR file: {type(error).__name__}: {error}") from error
    sessions = []
    for number, entry in enumerate(entries, 1):
        try:
            session = _session(entry, name)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"entry {number} of {name} is not as a HAR has it: {error!r}") from error
        if session is not None:
            sessions.append(session)
    if not sessions:
        raise ValueError(
            f"{name} holds no WebSocket: none of its {len(entries)} entries has messages of one"
            f"{_hint(entries)}"
        )
    return sessions


def _hint(entries: list[Any]) -> str:
    """What helps where there were WebSockets, but a program that exports none of their messages."""
    requests = [entry.get("request") for entry in entries if isinstance(entry, dict)]
    urls = [str(request.get("url")) for request in requests if isinstance(request, dict)]
    if any(url.startswith(("ws:", "wss:")) for url in urls):
        return " (not every browser exports them: Chromium and its kin do, and so does syncws.har.Recorder)"
    return ""


def _session(entry: dict[str, Any], name: str) -> Session | None:
    """The WebSocket of an entry; None for another request, and for an attempt that got no answer."""
    if "_webSocketMessages" not in entry:
        return None
    url, response = entry["request"]["url"], entry.get("response") or {}
    messages = [
        _message(recorded, f"message {number} of {name}")
        for number, recorded in enumerate(entry["_webSocketMessages"], 1)
        if recorded["type"] in ("send", "receive")
    ]
    status, version = response.get("status", 101), str(response.get("httpVersion", "")).lower()
    if messages or (status == 200 and version.startswith(("http/2", "h2", "http/3", "h3"))):
        status = 101  # Over HTTP/2 and later, the answer that opens a WebSocket is 200 (RFC 8441).
    elif status == 0:
        return None
    fields = ((one["name"], one["value"]) for one in response.get("headers", ()))
    body = (response.get("content") or {}).get("text", "")
    return Session(url, status, Headers(fields), body, messages)


def _message(recorded: dict[str, Any], name: str) -> RecordedMessage:
    opcode, data, when = recorded.get("opcode", Opcode.TEXT), recorded.get("data"), recorded.get("time")
    if data is None:
        raise ValueError(f"{name} was recorded without its data")
    if not isinstance(opcode, int) or not isinstance(data, str):
        raise ValueError(f"{name} wants a number as its opcode and a string as its data")
    if not isinstance(when, int | float | None):
        raise ValueError(f"{name} wants a number as its time")
    try:
        # A text that UTF-8 cannot encode is refused here, and not when it is to be sent.
        binary = base64.b64decode(data) if opcode != Opcode.TEXT else data.encode()
    except ValueError as error:
        wanted = "UTF-8" if opcode == Opcode.TEXT else "base64, as all but text is there"
        raise ValueError(f"the data of {name} is not {wanted}: {error}") from error
    return RecordedMessage(
        recorded["type"] == "send", opcode, data if opcode == Opcode.TEXT else binary, when
    )


def _repeated(headers: Headers) -> list[tuple[str, str]]:
    """The recorded fields that the replaying server sends too, in a form in which they can travel."""
    repeated = []
    for name, values in headers.multi_items():
        if name.lower() in _NOT_REPEATED or name.startswith(":"):
            continue
        # Some programs export what came several times as one field with line ends.
        for value in re.split("[\r\n]+", values):
            if any(ord(character) > 0xFF for character in value):
                value = value.encode(errors="replace").decode("latin-1")  # It travels as UTF-8.
            repeated.append((name, value))
    return repeated


class Replay:
    """A script that plays recorded sessions, one for each connection.

    A connection gets the first session not yet played that has the path and the query of its request, or else
    its path, or else the first not yet played. In the order of the recording the server sends what the
    recorded server sent, and waits for each message that the recorded client sent; then it closes.

    Args:
        path: the HAR file.
        match: called with the recorded message and with what the client sends in its place; whether they are
            to count as the same. None: they are equal, or two JSON texts of one value.
        ignore: called with a message; True leaves it out of the comparison, on both sides. None: none.
        pace: what the recorded pauses before the server's messages are multiplied with; 0 leaves them out.
        close: whether the server closes with 1000 when all is played; False waits for the client to do so.
        timeout: seconds to wait for each message of the client.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        match: Callable[[Message, Message], bool] | None = None,
        ignore: Callable[[Message], bool] | None = None,
        pace: float = 0.0,
        close: bool = True,
        timeout: float = 10.0,
    ) -> None:
        self.sessions: list[Session] = load_sessions(path)
        self._name = os.path.basename(path)
        self._match = match or are_equal
        self._ignore = ignore or (lambda message: False)
        self._pace = pace
        self._close = close
        self._timeout = timeout
        self._left = list(self.sessions)
        self._lock = threading.Lock()

    def __call__(self, peer: Peer) -> None:
        """Play the next session."""
        session = self._choose(peer.request)
        if session.status != 101:
            peer.refuse(session.status, _repeated(session.headers), session.body)
            return
        self._accept(peer, session)
        before: float | None = None
        for number, message in enumerate(session.messages, 1):
            if not message.sent:
                self._send(peer, message, before)
            elif message.opcode in (Opcode.TEXT, Opcode.BINARY) and not self._ignore(message.data):
                self._expect(peer, message, f"message {number} of {len(session.messages)} of {self._name}")
            before = message.time
        self._end(peer, len(session.messages))

    def _choose(self, request: Request) -> Session:
        wanted = urlsplit(request.target)
        with self._lock:
            if not self._left:
                raise ReplayError(
                    f"a connection too many, to {wanted.path}: {self._name} holds {len(self.sessions)},"
                    " all played"
                )

            def distance(session: Session) -> int:
                its = urlsplit(session.url)
                return 2 if (its.path or "/") != wanted.path else int(its.query != wanted.query)

            at = min(range(len(self._left)), key=lambda at: distance(self._left[at]))
            return self._left.pop(at)

    def _accept(self, peer: Peer, session: Session) -> None:
        protocol = session.headers.get("Sec-WebSocket-Protocol")
        offer = peer.request.headers.get("Sec-WebSocket-Protocol", "")
        if protocol and protocol not in (one.strip() for one in offer.split(",")):
            raise ReplayError(f"the subprotocol {protocol!r} was recorded, the client offers {offer!r}")
        peer.accept(protocol=protocol or None, headers=_repeated(session.headers))

    def _send(self, peer: Peer, message: RecordedMessage, before: float | None) -> None:
        if self._pace and message.time is not None and before is not None:
            peer.stall(max(0.0, message.time - before) * self._pace)
        if message.opcode in (Opcode.TEXT, Opcode.BINARY):
            peer.send(message.data)
        else:
            data = message.data if isinstance(message.data, bytes) else message.data.encode()
            if message.opcode != Opcode.CLOSE:
                peer.send_frame(message.opcode, data)
            elif not peer._close_sent:
                peer.send_close(*parse_close(data))

    def _receive(self, peer: Peer) -> Message:
        deadline = time.monotonic() + self._timeout
        while True:
            received = peer.recv(max(0.0, deadline - time.monotonic()))
            if not self._ignore(received):
                return received

    def _expect(self, peer: Peer, message: RecordedMessage, name: str) -> None:
        try:
            received = self._receive(peer)
        except TimeoutError as error:
            raise ReplayError(
                f"the client did not send {name} within {self._timeout} s; it was {message}"
            ) from error
        except PeerClosed as closed:
            raise ReplayError(
                f"the client closed with {closed.code} in the place of {name}; it was {message}"
            ) from closed
        except (EOFError, ConnectionError) as error:
            raise ReplayError(
                f"the client's connection ended in the place of {name}; it was {message}"
            ) from error
        if not self._match(message.data, received):
            difference = describe_difference(message.data, received, ("recorded", "received"))
            raise ReplayError(f"the client departs from the recording at {name}:\n{difference}")

    def _end(self, peer: Peer, count: int) -> None:
        """Read up to the client's Close frame. Raises an error for a message before it, which is one too
        many."""
        if self._close and not peer._close_sent:
            peer.send_close(1000)
        message = peer.recv(self._timeout if peer._close_sent else None)
        while self._ignore(message):
            message = peer.recv(self._timeout if peer._close_sent else None)
        raise ReplayError(f"the client sent more than the {count} of {self._name}: {shorten(message)}")
