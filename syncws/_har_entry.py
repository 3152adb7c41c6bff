"""One request of a HAR file, with its answer and the messages behind it.

Owns: the facts about them. Runs on: one thread at a time. Must not import: anything with I/O or threads.

The fields are those that Chromium's DevTools write (HAR 1.2, and Chromium's own that begin with ``_``), with
one more where it is needed: ``comment``, which HAR allows everywhere.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import time
from typing import TYPE_CHECKING, Any

from ._exceptions import HandshakeError
from ._protocol.frames import Opcode

if TYPE_CHECKING:
    from ._engine.trace_record import TraceRecord

# The size of an entry without its heads, roughly.
_FRAME_OF_ENTRY = 1024

_NO_STEP = -1.0  # HAR's way to say that there was no such step
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION)


class Budget:
    """How much may still be kept, of all entries together, and how much was not.

    Attributes:
        payloads: bytes left for payloads, as JSON writes them.
        lines: bytes left for everything else.
        without_payload: messages that are kept without their payload.
        payload_bytes: the payloads of these.
        unlisted: messages and requests that are not kept at all.
    """

    __slots__ = ("lines", "payload_bytes", "payloads", "unlisted", "without_payload")

    def __init__(self, max_bytes: int) -> None:
        self.payloads = self.lines = max_bytes
        self.without_payload = self.payload_bytes = self.unlisted = 0

    def take_payload(self, size: int) -> bool:
        """Whether a payload may be kept; if so, it is counted. After the first refusal every payload is
        refused."""
        if size > self.payloads:
            self.payloads = 0
            return False
        self.payloads -= size
        return True

    def take_line(self, size: int) -> bool:
        """The same for what is not a payload."""
        if size > self.lines:
            self.lines = 0
            self.unlisted += 1
            return False
        self.lines -= size
        return True


class _Incoming:
    """An incomplete message of one direction."""

    __slots__ = ("kept", "opcode", "parts", "size")

    def __init__(self, opcode: int) -> None:
        self.opcode = opcode
        self.parts: list[bytes] | None = []  # None once it is too large to keep
        self.kept = self.size = 0

    def add(self, record: TraceRecord, room: int) -> None:
        payload, size = record.payload or b"", record.size or 0
        self.size += size
        self.kept += len(payload)
        if self.kept > room or len(payload) < size:
            self.parts = None
        elif self.parts is not None:
            self.parts.append(payload)


class Entry:
    """A request, its answer and its messages.

    Attributes:
        is_answered: whether the answer's head has come; what follows on the connection is another request.
    """

    def __init__(self, connection: int, budget: Budget, *, payloads: bool) -> None:
        self.is_answered = False
        self._connection = connection
        self._budget = budget
        self._keeps_payloads = payloads
        self._times: dict[str, float] = {}  # when each step happened for the first time
        self._address: object = None
        self._url = ""
        self._request: tuple[str, list[dict[str, str]]] = ("GET / HTTP/1.1", [])
        self._response: tuple[str, list[dict[str, str]]] = ("", [])
        self._status = 0
        self._error: BaseException | None = None
        self._comment = ""
        self._incoming: dict[str, _Incoming] = {}
        self._messages: list[bytes] = []

    def add(self, record: TraceRecord) -> None:
        """Take a step of its connection."""
        step = record.step
        if step in ("sent", "received"):
            self._add_frame(record)
        elif step == "request":
            self._url, self._request = record.url or "", _parse_head(record.head)
        elif step == "response":
            self.is_answered = True
            self._status, self._response = record.status or 0, _parse_head(record.head)
        elif step == "connected":
            self._address = record.address
        elif step == "lost":
            self._add_error(record)
        elif step == "closed":
            self._add_end(record)
        if step in ("proxy", "tls"):
            self._times[step] = record.time  # The last one counts: a proxy may have been spoken to over TLS.
        else:
            self._times.setdefault(step, record.time)

    # Messages.

    def _add_frame(self, record: TraceRecord) -> None:
        if record.opcode == Opcode.CLOSE:
            ours_came_first = "close sent" in self._times
            self._times.setdefault(f"close {record.step}", record.time)
            if record.step == "received" and not ours_came_first and record.code not in (None, 1000):
                # Chromium leaves the Close frame out, but without it a replay would end with 1000.
                self._add_message("receive", record.time, Opcode.CLOSE, record.payload or b"")
            return
        if record.opcode not in _DATA:
            return  # Pings and pongs are not in Chromium's files either.
        incoming = self._incoming.get(record.step)
        if incoming is None or record.opcode != Opcode.CONTINUATION:
            incoming = self._incoming[record.step] = _Incoming(record.opcode or 0)
        incoming.add(record, self._budget.payloads if self._keeps_payloads else 0)
        if record.final:
            del self._incoming[record.step]
            kind = "send" if record.step == "sent" else "receive"
            payload = None if incoming.parts is None else b"".join(incoming.parts)
            self._add_message(kind, record.time, incoming.opcode, payload, incoming.size)

    def _add_message(self, kind: str, when: float, opcode: int, data: bytes | None, size: int = 0) -> None:
        fields: dict[str, Any] = {"type": kind, "time": when, "opcode": int(opcode)}
        text = b""
        if data is None and size > self._budget.payloads:
            self._budget.payloads = 0
        elif data is not None and (self._keeps_payloads or opcode == Opcode.CLOSE):
            if opcode == Opcode.TEXT:
                text = as_json(data.decode("utf-8", "replace"))
            else:
                text = as_json(base64.b64encode(data).decode())
            if not self._budget.take_payload(len(text)):
                text = b""
        line = as_json(fields)
        if not self._budget.take_line(len(line)):
            return
        if text:
            line = line[:-1] + b', "data": ' + text + b"}"
        else:
            self._budget.without_payload += 1
            self._budget.payload_bytes += size
        self._messages.append(line)

    def _add_error(self, record: TraceRecord) -> None:
        self._error = record.error
        line = as_json({"type": "error", "time": record.time, "opcode": -1, "data": _described(record.error)})
        if self._budget.take_line(len(line)):
            self._messages.append(line)

    def _add_end(self, record: TraceRecord) -> None:
        if self._status == 101 and record.code not in (1000, None):
            reason = f" {record.reason}" if record.reason else ""
            self._comment = f"closed with {record.code}{reason}"

    # The form of HAR.

    @property
    def size(self) -> int:
        """About how much it takes without its messages."""
        return _FRAME_OF_ENTRY + sum(
            len(first) + sum(32 + len(field["name"]) + len(field["value"]) for field in fields)
            for first, fields in (self._request, self._response)
        )

    def write(self, now: float) -> list[bytes]:
        """The JSON text, in pieces; `now` is the end of a connection that has none yet."""
        head = as_json(self._fields(now))
        if 300 <= self._status < 400:  # Chromium follows no redirect, so no messages belong to it.
            return [head]
        joined = [piece for message in self._messages for piece in (b", ", message)][1:]
        return [head[:-1], b', "_webSocketMessages": [', *joined, b"]}"]

    def _fields(self, now: float) -> dict[str, Any]:
        timings = self._timings(now)
        counted = (timings[name] for name in ("dns", "connect", "send", "wait", "receive"))
        fields = {
            "_initiator": {"type": "other"},
            "_priority": None,
            "_resourceType": "websocket",
            "cache": {},
            "connection": str(self._connection),
            "request": self._request_fields(),
            "response": self._response_fields(),
            "serverIPAddress": _ip_address(self._address),
            "startedDateTime": _written_time(self._started),
            "time": sum(seconds for seconds in counted if seconds > 0),
            "timings": timings,
        }
        return {**fields, "comment": self._comment} if self._comment else fields

    @property
    def _started(self) -> float:
        return min(self._times.values(), default=0.0)

    def _request_fields(self) -> dict[str, Any]:
        first, fields = self._request
        method, _, rest = first.partition(" ")
        resource, _, version = rest.rpartition(" ")
        _, mark, query = resource.partition("?")
        return {
            "method": method,
            "url": self._url + mark + query,
            "httpVersion": version,
            "headers": fields,
            "queryString": [{"name": query, "value": ""}] if query else [],
            "cookies": [],
            "headersSize": -1,  # The size is not known, since the head is masked.
            "bodySize": 0,
        }

    def _response_fields(self) -> dict[str, Any]:
        first, fields = self._response
        version, _, rest = first.partition(" ")
        body = self._error.body if isinstance(self._error, HandshakeError) else b""
        types = [field["value"] for field in fields if field["name"].lower() == "content-type"]
        content: dict[str, Any] = {"size": len(body), "mimeType": types[0] if types else "x-unknown"}
        content["compression"] = 0
        if body:
            content["text"] = body.decode("utf-8", "replace")
        targets = [field["value"] for field in fields if field["name"].lower() == "location"]
        return {
            "status": self._status,
            "statusText": rest.partition(" ")[2],
            "httpVersion": version,
            "headers": fields,
            "cookies": [],
            "content": content,
            "redirectURL": targets[0] if targets else "",
            "headersSize": -1,
            "bodySize": len(body),
            "_transferSize": 0,
            "_error": None if self._status else _described(self._error),
            "_fetchedViaServiceWorker": False,
        }

    def _timings(self, now: float) -> dict[str, float]:
        """Milliseconds of each step; `ssl` is a part of `connect`, as HAR has it."""
        times = self._times
        end = times.get("closed", now)
        ready = max((times[name] for name in ("connected", "proxy", "tls") if name in times), default=None)
        before_tls = max((times[name] for name in ("connected", "proxy") if name in times), default=None)

        def between(begin: float | None, end: float | None) -> float:
            return _NO_STEP if begin is None or end is None else max(0.0, end - begin) * 1000

        return {
            "blocked": _NO_STEP,
            "dns": between(times.get("resolve"), times.get("resolved")),
            "ssl": between(before_tls, times.get("tls")),
            "connect": between(times.get("connect"), ready),
            "send": 0.0,
            "wait": between(times.get("request"), times.get("response")),
            "receive": between(times.get("response"), end),
            "_blocked_queueing": _NO_STEP,
        }


def _parse_head(head: bytes | None) -> tuple[str, list[dict[str, str]]]:
    first, *lines = (head or b"").decode("latin-1").rstrip("\r\n").split("\r\n")
    fields = [line.partition(": ") for line in lines]
    return first, [{"name": name, "value": value} for name, _, value in fields]


def _ip_address(address: object) -> str:
    host = address[0] if isinstance(address, tuple) else address
    try:
        return str(ipaddress.ip_address(str(host)))
    except ValueError:
        return ""  # the path of a Unix socket, or nothing


def _written_time(seconds: float) -> str:
    whole = int(seconds)
    milliseconds = int((seconds - whole) * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"


def _described(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {error}"


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
