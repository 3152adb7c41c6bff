"""The server's side of a recorded session, played from a HAR file.

Owns: the sessions of one file and which of them were played. Runs on: the thread of each connection's script.
Must not import: anything of the client.
"""

from __future__ import annotations

import base64
import json
import os
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
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{name} is no HAR file: {error!r}") from error
    sessions = [_session(entry, name) for entry in entries if _is_session(entry)]
    if not sessions:
        raise ValueError(f"{name} holds no WebSocket: none of its {len(entries)} entries has messages of one")
    return sessions


def _is_session(entry: dict[str, Any]) -> bool:
    """Whether an entry is a WebSocket with an answer: a failed attempt has the status 0."""
    return "_webSocketMessages" in entry and entry.get("response", {}).get("status") != 0


def _session(entry: dict[str, Any], name: str) -> Session:
    response = entry.get("response", {})
    messages = [
        _message(recorded, f"message {number} of {name}")
        for number, recorded in enumerate(entry["_webSocketMessages"], 1)
        if recorded["type"] in ("send", "receive")
    ]
    fields = ((one["name"], one["value"]) for one in response.get("headers", ()))
    body = response.get("content", {}).get("text", "")
    status = response.get("status", 101)
    return Session(entry["request"]["url"], status, Headers(fields), body, messages)


def _message(recorded: dict[str, Any], name: str) -> RecordedMessage:
    opcode, data = int(recorded.get("opcode", Opcode.TEXT)), recorded.get("data")
    if data is None:
        raise ValueError(f"{name} was recorded without its data")
    binary = base64.b64decode(data) if opcode != Opcode.TEXT else None
    sent, when = recorded["type"] == "send", recorded.get("time")
    return RecordedMessage(sent, opcode, data if binary is None else binary, when)


class Replay:
    """A script that plays recorded sessions, one for each connection.

    A connection gets the first session not yet played that has the path of its request, or else the first not
    yet played. In the order of the recording the server sends what the recorded server sent, and waits for
    each message that the recorded client sent; then it closes.

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
            headers = [pair for pair in session.headers.multi_items() if pair[0].lower() not in _NOT_REPEATED]
            peer.refuse(session.status, headers, session.body)
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
        path = urlsplit(request.target).path
        with self._lock:
            same = (session for session in self._left if urlsplit(session.url).path == path)
            session = next(same, self._left[0] if self._left else None)
            if session is None:
                raise ReplayError(
                    f"a connection too many, to {path}: {self._name} holds {len(self.sessions)}, all played"
                )
            self._left.remove(session)
            return session

    def _accept(self, peer: Peer, session: Session) -> None:
        protocol = session.headers.get("Sec-WebSocket-Protocol")
        offer = peer.request.headers.get("Sec-WebSocket-Protocol", "")
        if protocol and protocol not in (one.strip() for one in offer.split(",")):
            raise ReplayError(f"the subprotocol {protocol!r} was recorded, the client offers {offer!r}")
        repeated = [
            (name, value)
            for name, value in session.headers.multi_items()
            if name.lower() not in _NOT_REPEATED and not name.startswith(":")
        ]
        peer.accept(protocol=protocol or None, headers=repeated)

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
