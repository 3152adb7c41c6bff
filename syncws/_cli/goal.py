"""When a run has sent and received all that it should.

Owns: how many lines were sent and how many messages came. Runs on: the thread that sends counts lines, the
one that receives counts messages. Must not import: the connection.

Without -n and --expect the run waits for one message for each line, with --listen for none. With -n or
--expect, these options say what to wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re


class Goal:
    """Counts messages until the run is done.

    Attributes:
        sent: how many messages were sent; by the sending thread.
        all_sent: there will be no more; set by the sending thread.
        received: how many messages came; by the receiving thread.
        matched: one of them was what --expect looks for.
    """

    def __init__(
        self,
        count: int | None = None,
        pattern: re.Pattern[str] | None = None,
        *,
        lines_want_answers: bool = True,
    ) -> None:
        self._count = count
        self._pattern = pattern
        self._lines_want_answers = lines_want_answers
        self.sent = 0
        self.all_sent = False
        self.received = 0
        self.matched = False

    @property
    def is_explicit(self) -> bool:
        """Whether the command line says what to wait for, so that the number of lines does not."""
        return self._count is not None or self._pattern is not None

    def on_message(self, message: str | bytes) -> bool:
        """Count a message that came. Returns True when the run waits for no further one."""
        self.received += 1
        if self._pattern is not None and isinstance(message, str) and self._pattern.search(message):
            self.matched = True
            return True
        return bool(self._count) and self.received >= (self._count or 0)

    @property
    def is_met(self) -> bool:
        """Whether all that the run waits for has come, as far as is known by now."""
        if self._pattern is not None:
            return self.matched
        if self._count is not None:
            return self.received >= self._count
        return not self._lines_want_answers or self.received >= self.sent

    def missing(self) -> str:
        """What has not come, for a person; ``""`` when nothing is missing."""
        if self.is_met:
            return ""
        if self._pattern is not None:
            return f"no message matched --expect, {_messages(self.received)} came"
        if self._count is not None:
            return f"{self.received} of {_messages(self._count)} came"
        if self.sent == 1:
            return "the line got no answer"
        return f"{self.sent} lines were sent, {_messages(self.received)} came"


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
