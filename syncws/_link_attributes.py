"""The attributes of the connection that both classes of the callback API have (WHATWG 3.1).

Owns: `binaryType`. Runs on: any thread. Must not import: sockets, frame layout, the reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._event_target import EventTarget
from ._later import Later
from ._misspellings import Misspellings
from ._opened_attributes import OpenedAttributes

if TYPE_CHECKING:
    from . import _log
    from ._callback_link import CallbackLink
    from ._engine import stats as engine_stats
    from ._engine.reading import records
else:
    _log, records = Later("syncws._log"), Later("syncws._engine.reading.records")
    engine_stats = Later("syncws._engine.stats")


class LinkAttributes(OpenedAttributes, EventTarget, Misspellings):
    """The attributes that come from the link: that of the one connection, or of the present one."""

    if TYPE_CHECKING:
        _link: CallbackLink

    _binary_type = "blob"

    @property
    def url(self) -> str:
        """The absolute URL, serialised as the URL standard does it."""
        return str(self._link.url)

    @property
    def bufferedAmount(self) -> int:
        """Bytes given to `send` and not yet handed to the network, without framing, before compression.

        What could not be sent stays counted after the close. Read inside a callback it does not fall until
        the callback returns.
        """
        return self._link.buffered_amount

    @property
    def stats(self) -> engine_stats.Stats:
        """What the connection, or the present one, has counted so far: messages, bytes, what waits.

        Cheap, on any thread.
        """
        return self._link.engine.stats

    @property
    def _opened(self) -> records.Opened | None:
        return self._link.opened

    @property
    def binaryType(self) -> str:
        """``"blob"``: binary messages arrive as `bytes`; ``"arraybuffer"``: as `bytearray`.

        Read when a message is dispatched. Another value is ignored, and logged.
        """
        return self._binary_type

    @binaryType.setter
    def binaryType(self, value: str) -> None:
        if value in ("blob", "arraybuffer"):
            self._binary_type = value
        else:
            message = "binaryType must be 'blob' or 'arraybuffer'; %r is ignored"
            _log.log_warning(self._log_fields, message, value)
