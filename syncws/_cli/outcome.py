"""How a run ended: the exit status by its cause, and the text for a person.

Owns: which cause counts when there are several. Runs on: the main thread. Must not import: sockets, the
engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .console import Console, OutputFailed
from .outputs import SaveFailed
from .statuses import Status, describe, status_of

if TYPE_CHECKING:
    from .._exceptions import ConnectionClosed


@dataclass
class Outcome:
    """What is known at the end.

    Attributes:
        failure: what ended the receiving, other than the connection's end.
        closed: how the connection ended; None when the run did not wait for its end.
        was_theirs: it ended before we closed it.
        unsent: bytes that were queued and not handed to the network.
        refused: something could not even be queued, since the connection was over.
        bad_input: a line or a file was no valid message; its error was printed already.
        no_reader: nobody reads stdout any more.
        missing: what the run waited for and did not get, for a person; "" when nothing is missing.
    """

    failure: Exception | None = None
    closed: ConnectionClosed | None = None
    was_theirs: bool = False
    unsent: int = 0
    refused: bool = False
    bad_input: bool = False
    no_reader: bool = False
    missing: str = ""

    @property
    def status(self) -> Status:
        """The first of these causes counts: wrong use, something unsent, the end of the link, no answer."""
        if self.bad_input or isinstance(self.failure, (OutputFailed, SaveFailed)):
            return Status.USAGE
        if self.unsent or self.refused:
            return Status.NETWORK
        if self.failure is not None:
            return status_of(self.failure)
        if self.no_reader:
            return Status.DONE
        ended = self._end_status()
        if ended is Status.DONE and self.missing:
            return Status.NO_ANSWER
        return ended

    def tell(self, console: Console) -> None:
        """Say what went wrong, and how the server closed, if it did."""
        if self.failure is not None:
            console.say(describe(self.failure), "bad")
        elif self.closed is not None and not self.no_reader:
            self._tell_end(console, self.closed)
        if self.refused:
            console.say("not everything was sent: the connection was over", "bad")
        elif self.unsent:
            console.say(f"{self.unsent} bytes were not sent", "bad")
        elif self.missing and not self.no_reader and not isinstance(self.failure, (OutputFailed, SaveFailed)):
            console.say(self.missing, "bad")

    def _tell_end(self, console: Console, closed: ConnectionClosed) -> None:
        if self._end_status() is Status.NETWORK:
            console.say(describe(closed), "bad")
        elif self.was_theirs or self._end_status() is Status.CLOSED:
            style = "bad" if self._end_status() else "note"
            console.say(f"the server closed: {closed._said}", style)

    def _end_status(self) -> Status:
        if self.closed is None:
            return Status.DONE
        status = status_of(self.closed)
        # After our own Close a server that ends TCP without one does no harm: all has been received.
        return status if self.was_theirs or status is Status.CLOSED else Status.DONE
