"""The attributes of `Connection`.

Owns: nothing. Runs on: any thread. Must not import: sockets, frame layout, the reader.
"""

from __future__ import annotations

from ._engine.consumer.inbox import Inbox
from ._engine.engine import Engine
from ._engine.reading.records import Opened
from ._engine.stats import Stats
from ._engine.writing.send_queue import SendQueue
from ._misspellings import NoHandlers
from ._opened_attributes import OpenedAttributes
from ._protocol.http11 import Response
from ._protocol.url import URL
from ._ready_state import CLOSED, CLOSING, CONNECTING, OPEN, ReadyStates


class ConnectionAttributes(ReadyStates, OpenedAttributes, NoHandlers):
    """The attributes that come from the engine and the inbox. They keep their values after the end."""

    _url: URL
    _engine: Engine
    _inbox: Inbox
    _send_queue: SendQueue

    @property
    def url(self) -> str:
        """The absolute URL, serialised as the URL standard does it."""
        return str(self._url)

    @property
    def _opened(self) -> Opened | None:
        return self._inbox.opened

    @property
    def response(self) -> Response:
        """The head of the server's answer to the opening handshake: status, reason, headers."""
        assert self._inbox.opened is not None  # connect() returns no connection before it is open.
        return self._inbox.opened.response

    @property
    def readyState(self) -> int:
        """`OPEN` 1, `CLOSING` 2 or `CLOSED` 3: the state of the link; messages may be left to receive."""
        if self._engine.closed is not None:
            return CLOSED
        if self._inbox.opened is None:
            return CONNECTING
        return CLOSING if self._engine.is_closing else OPEN

    @property
    def bufferedAmount(self) -> int:
        """Bytes given to `send` and not yet handed to the network, without framing, before compression."""
        return self._send_queue.buffered

    @property
    def stats(self) -> Stats:
        """The counts of the connection so far: messages, bytes, what waits. Cheap; any thread may ask."""
        return self._engine.stats

    @property
    def close_code(self) -> int | None:
        """The close code, as soon as `recv` may raise `ConnectionClosed`; None before.

        It is the server's; 1005 when its Close frame had none, 1006 after a failure.
        """
        ending = self._inbox.ending
        return None if ending is None else ending.code

    @property
    def close_reason(self) -> str | None:
        """The close reason, ``""`` when there was none; None as long as `close_code` is None."""
        ending = self._inbox.ending
        return None if ending is None else ending.reason
