"""How the lists of listeners keep handler attributes."""

from __future__ import annotations

from syncws import EventTarget, MessageEvent
from syncws._event_target import EventHandler


def test_a_handler_is_kept_under_the_very_string_that_events_have_as_type() -> None:
    """Else each look-up takes locks on free-threaded builds."""

    class Listening(EventTarget):
        onmessage: EventHandler[MessageEvent] = EventHandler("")

    target = Listening()
    target.onmessage = print
    (kept,) = target._registrations
    assert kept is MessageEvent.type
