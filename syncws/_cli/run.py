"""One run with a URL: it puts the parts of the command line together.

Owns: nothing that lasts. Runs on: the main thread. Must not import: the engine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .. import (
    Connection,
    ConnectionClosed,
    DOMException,
    Loss,
    WebSocketError,
    connect,
    default_policy,
    reconnect,
)
from .._protocol.url import parse_url
from .check import run_check
from .connecting import Target, UsageError
from .console import Console, is_terminal
from .conversation import Conversation, greet
from .files import Source
from .goal import Goal
from .hints import in_options
from .inputs import Lines, decode_line
from .outputs import Printer, make_folder
from .progress import Progress
from .receiving import Receiver
from .session import Session, TimeUp
from .statuses import Status, describe, status_of
from .terminal import open_terminal
from .timings import Timings
from .verbose import Verbose
from .waiting import Waiter

if TYPE_CHECKING:
    import argparse

    from ..har import Recorder
    from .outcome import Outcome


def run_url(parsed: argparse.Namespace, parser: argparse.ArgumentParser, console: Console) -> int:
    """Connect, talk, close; returns the exit status."""
    with contextlib.ExitStack() as stack:
        try:
            target = Target(parsed)
            messages = _given_messages(parsed)
            files = [Source(path, as_text=parsed.text) for path in parsed.file or ()]
            make_folder(parsed.save)
        except (UsageError, DOMException, ValueError) as error:
            parser.error(in_options(str(error)))
        for file in files:
            stack.callback(file.close)
        for warning in target.warnings:
            console.say(f"warning: {warning}", "bad")
        run = _Run(parsed, target, console)
        try:
            return run.run(messages, files)
        except (OSError, WebSocketError) as error:
            run.on_failed(error)
            return status_of(error)
        except (UsageError, DOMException, TypeError, ValueError, ImportError) as error:
            parser.error(in_options(str(error)))


class _Run:
    def __init__(self, parsed: argparse.Namespace, target: Target, console: Console) -> None:
        self._parsed = parsed
        self._target = target
        self._console = console
        self._began = time.monotonic()
        self._deadline = None if parsed.timeout is None else self._began + parsed.timeout
        self._goal = Goal(parsed.count, parsed.expect, lines_want_answers=not parsed.listen)
        self._reads_input = not (parsed.message or parsed.file or parsed.listen or parsed.check)
        self._with_person = (
            self._reads_input and is_terminal(0) and console.out_is_terminal and not parsed.jsonl
        )
        self._printer = Printer(
            console,
            encoding=parsed.encoding,
            null=parsed.null,
            pretty=parsed.pretty,
            jsonl=parsed.jsonl,
            save=parsed.save,
            marks=self._with_person,
        )
        self._at_each_opening: list[str | bytes] = []
        self._refused = False  # whether one of these could not be sent
        self._har_is_written = True
        self._timings = Timings(self._began)
        self._verbose = Verbose(
            console,
            parsed.verbose,
            control=parsed.show_control,
        )

    def run(self, messages: list[str | bytes], files: list[Source]) -> Status:
        """Send these, or what is typed or piped, and receive; returns the exit status."""
        if self._parsed.check:
            return self._check()
        self._at_each_opening = messages if self._parsed.listen else []
        with contextlib.ExitStack() as stack:
            stack.enter_context(_told(self._console))
            stack.enter_context(self._recorded())
            connections = stack.enter_context(self._connections())
            if self._with_person:
                outcome = self._converse(connections)
            else:
                waiter = Waiter()
                stack.callback(waiter.close)
                outcome = self._send_and_receive(connections, waiter, [*messages, *files])
        stored = self._store_cookies() and self._har_is_written
        outcome.tell(self._console)
        if self._parsed.timings:
            self._timings.tell(self._console)
        return outcome.status if stored else Status.USAGE

    def _store_cookies(self) -> bool:
        if self._target.cookies is not None:
            try:
                self._target.cookies.save(ignore_discard=True)
            except OSError as error:
                self._console.say(f"the cookies cannot be stored: {describe(error)}", "bad")
                return False
        return True

    def _check(self) -> Status:
        def connected() -> Connection:
            connection = self._connect()
            self._verbose.on_open(connection)
            self._timings.on_open(connection)
            return connection

        with self._recorded():
            status = run_check(
                connected,
                self._target.url,
                self._console,
                wait=self._parsed.wait,
                deadline=self._deadline,
                quiet=self._parsed.quiet,
            )
        if self._parsed.timings:
            self._timings.tell(self._console)
        return status if self._har_is_written else Status.USAGE

    def on_failed(self, error: BaseException) -> None:
        """Report that no connection could be made."""
        self._verbose.on_failed(error)
        self._console.say(describe(error), "bad")
        self._printer.event("error", message=describe(error))

    # The connection.

    def _options(self) -> dict[str, Any]:
        options = dict(self._target.options)
        if self._deadline is not None:
            # The error's text shows this number.
            left = max(0.001, round(self._deadline - time.monotonic(), 3))
            options["open_timeout"] = min(left, options.get("open_timeout") or left)
        return options

    def _connect(self) -> Connection:
        return connect(self._target.url, self._target.protocols, **self._options())

    @contextlib.contextmanager
    def _connections(self) -> Iterator[Iterable[Connection]]:
        if self._parsed.reconnect:
            made = reconnect(self._target.url, self._target.protocols, policy=self._pause, **self._options())
            with made as connections:
                yield connections
        else:
            # The outcome reports what was not sent.
            with contextlib.suppress(ConnectionClosed), self._connect() as connection:
                yield [connection]

    @contextlib.contextmanager
    def _recorded(self) -> Iterator[None]:
        """Trace the connection if --har, -v or --show-control asks for that."""
        hearers = [self._verbose.trace] if self._verbose.is_traced else []
        with contextlib.ExitStack() as stack:
            if self._parsed.har:
                hearers.append(recorder := _recorder(self._parsed.har))
                stack.callback(self._write_har, recorder)
            if hearers:
                self._target.options["trace"] = lambda record: [hear(record) for hear in hearers]
            yield

    def _write_har(self, recorder: Recorder) -> None:
        try:
            recorder.close()
        except OSError as error:
            self._har_is_written = False
            reason = error.strerror or describe(error)
            self._console.say(f"--har: {self._parsed.har} cannot be written: {reason}", "bad")

    def _pause(self, loss: Loss) -> float | None:
        """The default policy's pauses, cut to --max-pause."""
        pause, longest = default_policy(loss), self._parsed.max_pause
        return pause if pause is None or longest is None else min(pause, longest)

    def _on_open(self, connection: Connection) -> None:
        self._timings.on_open(connection)
        self._verbose.on_open(connection)
        url = parse_url(connection.url).public
        self._printer.event("open", url=url, status=connection.response.status, protocol=connection.protocol)
        if self._with_person:
            greet(self._console, url, connection.protocol, self._began)
        self._begin(connection)

    def _begin(self, connection: Connection) -> None:
        """Subscribe: on each connection, since a server knows nothing of the one before."""
        try:
            for message in self._at_each_opening:
                with self._printer.sending(message):
                    connection.send(message)
        except ConnectionClosed:
            self._refused = not self._parsed.reconnect  # With --reconnect, the next connection sends them.

    def _on_closed(self, closed: ConnectionClosed) -> None:
        self._printer.event("close", code=closed.code, reason=closed.reason, clean=closed.wasClean)

    def _receiver(self, connections: Iterable[Connection], wake: Callable[[Receiver], None]) -> Receiver:
        receiver = Receiver(
            connections,
            self._goal,
            self._printer,
            on_open=self._on_open,
            on_message=self._timings.on_message,
            on_closed=self._on_closed,
            wake=lambda: wake(receiver),
        )
        return receiver

    # With and without a person.

    def _converse(self, connections: Iterable[Connection]) -> Outcome:
        terminal = open_terminal(self._console.paint(">", "sent") + " ")
        self._console.display = terminal.show
        receiver = self._receiver(connections, lambda it: terminal.end() if it.is_over else None)
        timer = None
        if self._deadline is not None:
            timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), terminal.end)
            timer.daemon = True
            timer.start()
        try:
            receiver.thread.start()
            conversation = Conversation(
                self._console, self._goal, receiver, terminal, encoding=self._parsed.encoding
            )
            return conversation.run()
        finally:
            terminal.close()
            self._console.display = None
            if timer is not None:
                timer.cancel()

    def _send_and_receive(
        self, connections: Iterable[Connection], waiter: Waiter, given: list[str | bytes | Source]
    ) -> Outcome:
        receiver = self._receiver(connections, lambda _: waiter.wake())
        session = Session(
            self._console,
            self._printer,
            self._goal,
            receiver,
            waiter,
            wait=self._parsed.wait,
            deadline=self._deadline,
            comes_back=self._parsed.reconnect,
        )
        receiver.thread.start()
        try:
            if self._parsed.listen:
                session.await_end()
            else:
                self._send_all(session, receiver, given)
                session.await_answers()
        except TimeUp:
            session.on_time_up()
        if self._parsed.timings:
            self._timings.round_trip = session.measure()
        outcome = session.finish(reads_input=self._reads_input)
        outcome.refused |= self._refused
        return outcome

    def _send_all(self, session: Session, receiver: Receiver, given: list[str | bytes | Source]) -> None:
        for each in given:
            if isinstance(each, Source):
                self._send_file(session, receiver, each)
            else:
                session.send(each)
        if self._reads_input:
            session.send_lines(Lines(self._parsed.encoding, null=self._parsed.null))

    def _send_file(self, session: Session, receiver: Receiver, file: Source) -> None:
        if not self._console.error_is_terminal or self._parsed.quiet:
            session.send_file(file.chunks)
            return
        progress = Progress(
            self._console,
            file.name,
            file.total,
            lambda: receiver.connection.bufferedAmount if receiver.connection else 0,
        )
        try:
            session.send_file(file.chunks, progress)
        finally:
            progress.end()


def _recorder(path: str) -> Recorder:
    """The recorder that writes the file of --har."""
    from ..har import Recorder  # This import stands here, since only this option needs it.

    if path == "-":
        raise UsageError("--har: - is no file, and stdout is for messages; give a name, such as session.har")
    try:
        return Recorder(path)
    except OSError as error:
        raise UsageError(f"--har: {path} cannot be written: {error.strerror}") from None


def _given_messages(parsed: argparse.Namespace) -> list[str | bytes]:
    """The messages of --message, decoded as lines of stdin are."""
    try:
        return [decode_line(os.fsencode(text), parsed.encoding) for text in parsed.message or ()]
    except ValueError as error:
        raise UsageError(f"--message: {error}") from None


@contextlib.contextmanager
def _told(console: Console) -> Iterator[None]:
    """Print what the package logs, such as the time of the next attempt, like our own texts."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.say(in_options(record.getMessage()), "bad" if record.levelno > logging.INFO else "note")

    logger, handler = logging.getLogger("syncws"), Handler(logging.WARNING)
    logger.addHandler(handler)
    propagates, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
