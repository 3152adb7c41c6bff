"""One run with a URL: everything that it is made of, put together.

Owns: nothing that lasts. Runs on: the main thread. Must not import: the engine.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any

from .. import Connection, ConnectionClosed, DOMException, WebSocketError, connect, reconnect
from .connecting import Target, UsageError
from .console import Console
from .goal import Goal
from .inputs import Lines
from .outputs import Printer
from .receiving import Receiver
from .session import Session, TimeUp
from .statuses import Status, describe, status_of
from .waiting import Waiter


def run_url(parsed: argparse.Namespace, parser: argparse.ArgumentParser, console: Console) -> int:
    """Connect, talk, close; returns the exit status."""
    try:
        target = Target(parsed)
    except (UsageError, DOMException, ValueError) as error:
        parser.error(str(error))
    for warning in target.warnings:
        console.say(f"warning: {warning}", "bad")
    printer = Printer(
        console,
        encoding=parsed.encoding,
        null=parsed.null,
        pretty=parsed.pretty,
        jsonl=parsed.jsonl,
        save=parsed.save,
    )
    try:
        return _Run(parsed, target, console, printer).run()
    except (OSError, WebSocketError) as error:
        console.say(describe(error), "bad")
        printer.event("error", message=describe(error))
        return status_of(error)
    except (DOMException, TypeError, ValueError) as error:
        parser.error(str(error))


class _Run:
    def __init__(
        self, parsed: argparse.Namespace, target: Target, console: Console, printer: Printer
    ) -> None:
        self._parsed = parsed
        self._target = target
        self._console = console
        self._printer = printer
        self._goal = Goal(parsed.count, parsed.expect)
        self._deadline = None if parsed.timeout is None else time.monotonic() + parsed.timeout

    def run(self) -> Status:
        parsed = self._parsed
        with contextlib.ExitStack() as stack:
            connections = stack.enter_context(self._connections())
            waiter = Waiter()
            stack.callback(waiter.close)
            receiver = Receiver(
                connections,
                self._goal,
                self._printer,
                on_open=self._on_open,
                on_message=lambda: None,
                on_closed=self._on_closed,
                wake=waiter.wake,
            )
            session = Session(
                self._console,
                self._printer,
                self._goal,
                receiver,
                waiter,
                wait=parsed.wait,
                deadline=self._deadline,
                comes_back=parsed.reconnect,
            )
            receiver.thread.start()
            try:
                self._converse(session)
            except TimeUp:
                session.on_time_up()
            outcome = session.finish(reads_input=self._reads_input)
            outcome.tell(self._console)
            return outcome.status

    def _connections(self) -> Any:
        options = dict(self._target.options)
        if self._deadline is not None:
            left = max(0.001, self._deadline - time.monotonic())
            options["open_timeout"] = min(left, options.get("open_timeout") or left)
        if self._parsed.reconnect:
            return reconnect(self._target.url, self._target.protocols, **options)
        return _one(connect(self._target.url, self._target.protocols, **options))

    @property
    def _reads_input(self) -> bool:
        return not (self._parsed.message or self._parsed.file or self._parsed.listen)

    def _converse(self, session: Session) -> None:
        if self._parsed.listen:
            session.await_end()
            return
        for message in self._parsed.message or ():
            session.send(message)
        if self._reads_input:
            session.send_lines(Lines(self._parsed.encoding, null=self._parsed.null))
        session.await_answers()

    def _on_open(self, connection: Connection) -> None:
        self._printer.event(
            "open",
            url=connection.url.partition("?")[0],
            status=connection.response.status,
            protocol=connection.protocol,
        )

    def _on_closed(self, closed: ConnectionClosed) -> None:
        self._printer.event("close", code=closed.code, reason=closed.reason, clean=closed.wasClean)


@contextlib.contextmanager
def _one(connection: Connection) -> Any:
    with connection:
        yield [connection]
