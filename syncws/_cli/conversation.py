"""A run with a person at the keys.

Owns: what is typed: messages, and commands that begin with a slash. Runs on: the main thread; the receiving
has a thread of its own. Must not import: the engine.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import ConnectionClosed, DOMException
from .inputs import decode_line
from .outcome import Outcome
from .terminal import LineTerminal, PlainTerminal, TypingEnded

if TYPE_CHECKING:
    from .console import Console
    from .goal import Goal
    from .receiving import Receiver

HELP = (
    ("/ping", "send a ping, and tell how long its pong took"),
    ("/close [CODE [REASON]]", "close, with 1000 or this code, and leave"),
    ("/help", "this list"),
    ("//TEXT", "send /TEXT"),
    ("Ctrl-D", "close and leave"),
)
PING_SECONDS = 10.0


class Conversation:
    """Sends what is typed until the person, the server or the goal ends it."""

    def __init__(
        self,
        console: Console,
        goal: Goal,
        receiver: Receiver,
        terminal: PlainTerminal | LineTerminal,
        *,
        encoding: str | None = None,
    ) -> None:
        self._console = console
        self._goal = goal
        self._receiver = receiver
        self._terminal = terminal
        self._encoding = encoding
        self._code, self._reason = 1000, ""
        self._refused = False  # whether a message was not sent, since there was no connection

    def run(self) -> Outcome:
        """Until the end; closes."""
        left = False
        try:
            while not left:
                line = self._terminal.read_line()
                left = line is None or self._on_line(line)
        except TypingEnded:
            pass
        return self._finish(left)

    def _on_line(self, line: bytes) -> bool:
        """Send a line, or carry out its command. Returns True when it ends the conversation."""
        if line.startswith(b"//"):
            line = line[1:]
        elif line.startswith(b"/"):
            return self._on_command(line.decode("utf-8", "replace"))
        elif not line:
            return False
        try:
            message = decode_line(line, self._encoding)
        except ValueError as error:
            self._console.say(f"not sent: {error}", "bad")
            return False
        connection = self._receiver.connection
        try:
            if connection is None:
                self._refused = True
                self._console.say("not sent: there is no connection yet", "bad")
            else:
                connection.send(message)
                self._goal.sent += 1
        except ConnectionClosed:
            self._refused = True
            self._console.say("not sent: the connection is over", "bad")
        return False

    def _on_command(self, line: str) -> bool:
        name, *words = line.split(None, 2)
        if name == "/ping":
            self._ping()
        elif name == "/close":
            return self._close(words)
        elif name == "/help":
            for what, text in HELP:
                self._console.say(f"{what:<24}{text}", "note", mark="")
        else:
            self._console.say(f"no such command: {name} (/help lists them; // sends a slash)", "bad")
        return False

    def _ping(self) -> None:
        connection = self._receiver.connection
        if connection is None:
            self._console.say("no ping: there is no connection yet", "bad")
            return
        try:
            self._console.say(f"pong after {connection.ping(PING_SECONDS) * 1000:.1f} ms", "note", mark="")
        except TimeoutError:
            self._console.say(f"no pong within {PING_SECONDS:g} s", "bad")
        except ConnectionClosed:
            self._console.say("no ping: the connection is over", "bad")

    def _close(self, words: list[str]) -> bool:
        try:
            code = int(words[0]) if words else 1000
        except ValueError:
            self._console.say(f"not a close code: {words[0]}", "bad")
            return False
        self._code, self._reason = code, " ".join(words[1:])
        if self._receiver.connection is None:
            return True
        try:
            self._receiver.connection.close(self._code, self._reason)
        except DOMException as error:
            self._console.say(str(error), "bad")
            return False
        except ConnectionClosed:
            pass  # `finish` reports that something was not sent.
        return True

    def _finish(self, left: bool) -> Outcome:
        receiver = self._receiver
        closed = None if left else receiver.closed
        receiver.close()
        self._terminal.close()
        receiver.thread.join()
        return Outcome(
            failure=receiver.failure,
            closed=closed,
            was_theirs=True,
            unsent=receiver.unsent,
            refused=self._refused,
            missing="" if left or receiver.has_enough or not self._goal.is_explicit else self._goal.missing(),
        )


def greet(console: Console, url: str, protocol: str, began: float) -> None:
    """What a person sees first."""
    agreed = f", subprotocol {protocol}" if protocol else ""
    took = (time.monotonic() - began) * 1000
    console.say(
        f"connected to {url}{agreed} in {took:.0f} ms (/help for help, Ctrl-D leaves)", "note", mark=""
    )
