"""Open, send, close, fail in any order: what `WebSocket` shows is what a model of the interface says."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syncws import (
    CloseEvent,
    ErrorEvent,
    Event,
    InvalidAccessErr,
    InvalidStateErr,
    MessageEvent,
    SyntaxErr,
    WebSocket,
)
from syncws._protocol.permessage_deflate import DeflateParameters
from tests.property.scripted_server import ScriptedServer
from tests.property.strategies import agreements, messages, number_of_examples
from tests.support.model_peer import ModelDeflater, Sending, server_frame
from tests.support.waiting import SECONDS

CONNECTING, OPEN, CLOSING, CLOSED = range(4)
ABNORMAL = (1006, "", False)

sizes = st.sampled_from([0, 1, 64, 125, 126, 5000, 65536, 300_000])
datas = messages(sizes)
sendings = st.builds(
    Sending,
    messages(sizes),
    st.lists(st.floats(0, 1), max_size=2).map(tuple),
    st.just(()),
    st.booleans(),
    st.sampled_from(ModelDeflater.FLAVOURS),
)
reasons = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
codes = st.sampled_from([1000, 3000, 4999])
usually_not = st.sampled_from([False, False, True])
server_codes = st.sampled_from([None, 1000, 1001, 1011, 3000, 4999])
bad_frames = st.sampled_from(
    [
        (server_frame(3, b"x"), 1002),
        (server_frame(1, b"\xff"), 1007),
        (server_frame(1, b"x")[:1] + b"\x81", 1002),
        (server_frame(0, b"x"), 1002),
        (server_frame(8, b"\x03\xed"), 1002),
        (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), 1009),
    ]
)


def size_of(data: str | bytes) -> int:
    return len(data.encode()) if isinstance(data, str) else len(data)


class WebSocketStates(RuleBasedStateMachine):
    """The model: what must have been shown, and what may be.

    Attributes:
        state: what readyState must be.
        given: what the server must get.
        offered: what the server sent while the connection was open; messages are a beginning of that.
        owed: how many of these must have been dispatched.
        dropped: bytes given to send() too late, which bufferedAmount counts for ever.
    """

    @initialize(agreement=st.none() | agreements(), opens=st.sampled_from([True, True, False]))
    def connect(self, agreement: DeflateParameters | None, opens: bool) -> None:
        self.end = ScriptedServer(agreement)
        self.events: list[tuple[Event, int]] = []
        self.arrived = threading.Condition()
        self.state = CONNECTING
        self.given: list[str | bytes] = []
        self.offered: list[str | bytes] = []
        self.owed = self.dropped = 0
        self.opened: bool | None = False  # None: may or may not have been
        self.server_closed: tuple[int | None, str] | None = None
        self.ending: tuple[int, str, bool] | None = None
        self.failed = self.orderly = False
        handlers = {f"on{name}": self.note for name in ("open", "message", "error", "close")}
        self.ws = WebSocket(self.end.server.url, close_timeout=SECONDS, ping_interval=None, **handlers)  # type: ignore[arg-type]

        assert self.end.peer  # the request has come: a close before it leaves the server without one
        if opens:
            self.server_accepts([], "", None, (b"", 0))

    def note(self, event: Event) -> None:
        with self.arrived:
            self.events.append((event, self.ws.readyState))
            self.arrived.notify_all()

    @precondition(lambda self: self.state == CLOSED)
    @rule(agreement=st.none() | agreements(), opens=st.sampled_from([True, True, False]))
    def connect_again(self, agreement: DeflateParameters | None, opens: bool) -> None:
        self.teardown()
        self.connect(agreement, opens)

    # What the application does.

    @rule(data=datas)
    def send(self, data: str | bytes) -> None:
        before = self.ws.bufferedAmount
        if self.state == CONNECTING:
            with pytest.raises(InvalidStateErr):
                self.ws.send(data)
            assert self.ws.bufferedAmount == before == 0
            return
        self.ws.send(data)
        if self.state == OPEN:
            self.given.append(data)
            self.end.wait(lambda seen: len(seen.messages) == len(self.given))
            self.wait_until(lambda: self.ws.bufferedAmount == 0)
        else:
            self.dropped += size_of(data)
            assert self.ws.bufferedAmount >= self.dropped

    @rule(bad=st.sampled_from(["\ud800", "a\udfff", 1, None, ["x"]]))
    def send_what_cannot_be_sent(self, bad: object) -> None:
        expected = SyntaxErr if isinstance(bad, str) else TypeError
        before = self.ws.bufferedAmount
        with pytest.raises(InvalidStateErr if self.state == CONNECTING else expected):
            self.ws.send(bad)  # type: ignore[arg-type]
        assert self.ws.bufferedAmount == before

    @rule(code=codes, reason=reasons, burst=st.lists(datas, max_size=4))
    def close(self, code: int, reason: str, burst: list[str | bytes]) -> None:
        if self.state == OPEN:
            for data in burst:
                self.ws.send(data)
            self.given += burst
        self.ws.close(code, reason)
        if self.state == OPEN:
            self.state = CLOSING
            assert self.ws.readyState == CLOSING
            assert self.end.wait_close() == code.to_bytes(2, "big") + reason.encode()
        elif self.state == CONNECTING:
            self.expect_end(failed=True)

    @rule(code=st.sampled_from([999, 1001, 1005, 2999, 5000, "1000", 1000.5]))
    def close_with_a_bad_code(self, code: object) -> None:
        with pytest.raises(InvalidAccessErr):
            self.ws.close(code)  # type: ignore[arg-type]

    @rule(reason=st.sampled_from(["x" * 124, "\u20ac" * 42, "\ud800"]))
    def close_with_a_bad_reason(self, reason: str) -> None:
        with pytest.raises(SyntaxErr):
            self.ws.close(1000, reason)

    # What the server does.

    @precondition(lambda self: self.state == CONNECTING)
    @rule(
        glued=st.lists(sendings, max_size=3),
        then=st.sampled_from(["", "", "", "close", "end", "reset", "break"]),
        code=server_codes,
        bad=bad_frames,
    )
    def server_accepts(
        self, glued: list[Sending], then: str, code: int | None, bad: tuple[bytes, int]
    ) -> None:
        """The answer, and all that comes with it in the same segment."""
        wire = self.end.wire(glued)
        self.offered += [sending.message for sending in glued]
        if then == "close":
            wire += self.end.close_wire(code, "early" if code else "")
        elif then == "break":
            wire += bad[0]
        self.end.accept(wire)
        self.state, self.opened, self.owed = OPEN, True, len(self.offered)
        if not then:
            self.wait_for("open")
            self.wait_for("message", self.owed)
        elif then == "close":
            self.server_closed = code, "early" if code else ""
            self.finish()
        elif then == "break":
            self.expect_fault(bad[1])
        elif then == "end":
            self.end.end()
            self.expect_end(failed=True)
        else:
            self.opened, self.owed = None, 0  # a reset discards what was not read yet
            self.end.reset()
            self.expect_end(failed=True)

    @precondition(lambda self: self.state == CONNECTING)
    @rule(how=st.sampled_from(["refuse", "garbage", "end", "reset"]))
    def server_does_not_accept(self, how: str) -> None:
        if how == "refuse":
            self.end.peer.refuse()
            self.end.end()
        elif how == "garbage":
            self.end.send(b"SSH-2.0-x\r\n")
        elif how == "end":
            _ = self.end.peer
            self.end.end()
        else:
            self.end.reset()
        self.expect_end(failed=True)

    @precondition(lambda self: self.state in (OPEN, CLOSING) and self.server_closed is None)
    @rule(plan=st.lists(sendings, min_size=1, max_size=4), ping=st.binary(max_size=125))
    def server_sends(self, plan: list[Sending], ping: bytes) -> None:
        self.end.send(self.end.wire(plan) + server_frame(9, ping))
        if self.state == OPEN:
            self.offered += [sending.message for sending in plan]
            self.owed = len(self.offered)
            self.wait_for("message", self.owed)
            self.end.wait_pong(ping)

    @precondition(lambda self: self.state == OPEN)
    @rule(plan=st.lists(sendings, min_size=1, max_size=4), code=codes)
    def server_sends_while_the_application_closes(self, plan: list[Sending], code: int) -> None:
        """Nobody can say which of these are dispatched before close() is called."""
        self.end.send(self.end.wire(plan))
        self.offered += [sending.message for sending in plan]
        self.close(code, "", [])

    @precondition(lambda self: self.state in (OPEN, CLOSING) and self.server_closed is None)
    @rule(code=server_codes, reason=reasons, plan=st.lists(sendings, max_size=3), ends=usually_not)
    def server_closes(self, code: int | None, reason: str, plan: list[Sending], ends: bool) -> None:
        """Messages and the Close frame behind them, at once; and the end of TCP, or not yet."""
        self.server_closed = code, reason if code is not None else ""
        self.end.send(self.end.wire(plan) + self.end.close_wire(*self.server_closed))
        if self.state == OPEN:
            self.offered += [sending.message for sending in plan]
            self.owed = len(self.offered)
            self.state = CLOSING
            self.wait_until(lambda: self.ws.readyState == CLOSING)
            assert self.end.wait_close() == (b"" if code is None else code.to_bytes(2, "big"))
        if ends:
            self.finish()

    @precondition(lambda self: self.state in (OPEN, CLOSING))
    @rule(resets=st.booleans())
    def server_ends_tcp(self, resets: bool) -> None:
        if self.server_closed is not None:
            self.finish(resets)
            return
        if resets:
            self.end.reset()
        else:
            self.end.end()
        self.expect_end(failed=True)

    @precondition(lambda self: self.state in (OPEN, CLOSING) and self.server_closed is None)
    @rule(bad=bad_frames, plan=st.lists(sendings, max_size=3))
    def server_breaks_the_protocol(self, bad: tuple[bytes, int], plan: list[Sending]) -> None:
        self.end.send(self.end.wire(plan) + bad[0])
        if self.state == OPEN:
            self.offered += [sending.message for sending in plan]
            self.owed = len(self.offered)
        self.expect_fault(bad[1])

    # The model.

    def finish(self, resets: bool = False) -> None:
        """The end of TCP after the server's Close frame: the orderly end."""
        self.end.wait_close()
        if resets:
            self.end.reset()
        else:
            self.end.end()
        assert self.server_closed is not None
        code, reason = self.server_closed
        self.orderly = True
        self.ending = (1005 if code is None else code, reason, True)
        self.expect_end(failed=False)

    def expect_fault(self, code: int) -> None:
        """The server has broken the protocol: the client says so, unless it had sent its Close frame."""
        said = self.end.wait_close()
        if self.state == OPEN:
            assert int.from_bytes(said[:2], "big") == code
        self.end.end()
        self.expect_end(failed=True)

    def expect_end(self, failed: bool) -> None:
        self.failed = failed
        if failed:
            self.ending = ABNORMAL
        self.ws.join(SECONDS)
        self.state = CLOSED

    def wait_for(self, kind: str, count: int = 1) -> None:
        with self.arrived:
            came = self.arrived.wait_for(lambda: self.types().count(kind) >= count, SECONDS)
            assert came, f"{kind} number {count} did not come: {self.types()}"

    def wait_until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < until, f"did not become true in time: {self.ws}"
            threading.Event().wait(0.001)

    def types(self) -> list[str]:
        return [event.type for event, _ in self.events]

    @invariant()
    def ready_state_is_that_of_the_model(self) -> None:
        if hasattr(self, "ws"):
            assert self.ws.readyState == self.state

    @invariant()
    def buffered_amount_counts_what_was_dropped(self) -> None:
        if hasattr(self, "ws"):
            amount = self.ws.bufferedAmount
            assert amount >= self.dropped
            if self.state == CLOSED and (self.orderly or not self.given):
                assert amount == self.dropped

    @invariant()
    def events_come_in_order(self) -> None:
        if not hasattr(self, "ws"):
            return
        with self.arrived:
            events = list(self.events)
        groups = [(kind, len(list(group))) for kind, group in itertools.groupby(e.type for e, _ in events)]
        order = [kind for kind, _ in groups]
        assert order == [kind for kind in ("open", "message", "error", "close") if kind in order]
        assert all(count == 1 for kind, count in groups if kind != "message")
        expected = {"open": {OPEN}, "message": {OPEN}, "error": {CLOSED}, "close": {CLOSED}}
        for event, seen in events:
            # close() may come between the dispatch and the look at readyState.
            assert seen in expected[event.type] or (seen == CLOSING and event.type in ("open", "message"))
        data = [event.data for event, _ in events if isinstance(event, MessageEvent)]
        assert data == self.offered[: len(data)]
        assert len(data) >= self.owed
        if self.opened is not None:
            assert ("open" in order) == self.opened
        if self.state == CLOSED:
            assert ("error" in order) == self.failed
            last, error = events[-1][0], events[-2][0] if self.failed else None
            assert isinstance(last, CloseEvent)
            assert (last.code, last.reason, last.wasClean) == self.ending
            assert error is None or (isinstance(error, ErrorEvent) and error.error and error.message)
        else:
            assert "error" not in order and "close" not in order

    def teardown(self) -> None:
        if not hasattr(self, "ws"):
            return
        try:
            if self.state != CLOSED:
                self.ws.close()
                if self.state == CONNECTING or self.server_closed is None:
                    self.end.end()
                    self.expect_end(failed=True)
                else:
                    self.finish()
            for check in (self.ready_state_is_that_of_the_model, self.events_come_in_order):
                check()
            # What the server got is a beginning of what was sent, and all of it after an orderly end.
            got = self.end.seen.messages
            assert got == (self.given if self.orderly else self.given[: len(got)])
        finally:
            self.ws.close()
            self.end.close()


# Where a test fails, hypothesis warns of long messages; as an error that would hide the failure itself.
TestWebSocketStates = pytest.mark.filterwarnings("ignore:Generating overly large repr")(
    WebSocketStates.TestCase
)
# Examples are not shrunk: a failing step has waited for something that does not come, and would do so again
# each time.
TestWebSocketStates.settings = settings(
    max_examples=number_of_examples(60),
    stateful_step_count=20,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
