"""A `ReconnectingWebSocket`'s events, kept in words, and policies for it."""

from __future__ import annotations

import queue
from typing import Any

from syncws import ErrorEvent, Event, Loss, LossEvent, MessageEvent, ReconnectingWebSocket
from tests.support.waiting import SECONDS

CONNECTING, OPEN, CLOSING, CLOSED = range(4)


class Transcript:
    """Handlers that keep what happened, in words, with the ready state that each callback saw."""

    def __init__(self) -> None:
        self.ws: ReconnectingWebSocket | None = None
        self.words: list[str] = []
        self.states: list[tuple[str, int]] = []
        self.losses: list[LossEvent] = []
        self.errors: list[BaseException | None] = []
        self.new: queue.SimpleQueue[str] = queue.SimpleQueue()

    @property
    def handlers(self) -> dict[str, Any]:
        return {f"on{name}": self.note for name in ("open", "message", "error", "close")}

    def note(self, event: Event) -> None:
        assert isinstance(event.target, ReconnectingWebSocket)
        word = event.type
        if isinstance(event, MessageEvent):
            word = str(event.data)
        elif isinstance(event, LossEvent):
            word = f"close {event.code}" + (" for good" if event.retry_in is None else "")
            self.losses.append(event)
        elif isinstance(event, ErrorEvent):
            assert event.message
            self.errors.append(event.error)
        self.states.append((event.type, event.target.readyState))
        self.words.append(word)
        self.new.put(word)

    def wait(self, word: str) -> None:
        """Wait for it to happen, from where the last wait ended."""
        while self.new.get(timeout=SECONDS) != word:
            pass


def at_once(loss: Loss) -> float | None:
    return 0.0


def patient(loss: Loss) -> float | None:
    return SECONDS * 3


def never(loss: Loss) -> float | None:
    return None
