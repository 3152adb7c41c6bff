"""The calls that are interrupted, and the calls that handlers make.

Owns: two tables, `CALLS` and `HANDLERS`. Runs on: the main thread. Must not import: anything of the package
but its public names.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import syncws
from tests.signals.stage import MAY_LOSE_ONE, SOON, Interrupted, Stage

BRIEF = 0.02  # how many seconds a call in a handler may wait

CLOSES_WITH_TIMEOUT = "timeout" in inspect.signature(syncws.Connection.close).parameters
ABORTS = hasattr(syncws.Connection, "abort")
WAITS_OPEN = hasattr(syncws.WebSocket, "wait_open")

Step = Callable[[Stage], object]


@dataclass(frozen=True)
class Call:
    """A call that is interrupted.

    Attributes:
        on: "conn", "ws" or "reconnecting": the object of the call, by which handlers are chosen.
        prepare, run: its two parts; only `run` is interrupted.
        refuses: handlers whose calls may raise `RuntimeError` inside it, since they would wait for it.
        waits: whether it also waits for the network; then real signals interrupt it meanwhile.
        everywhere: whether the points of the package's own threads count, instead of this thread's.
    """

    on: str
    prepare: Step
    run: Step
    refuses: tuple[str, ...] = ()
    waits: bool = False
    everywhere: bool = False


@dataclass(frozen=True)
class Handler:
    """A handler: `run` is called at the point. `on` names the link that it needs; "" is none."""

    on: str
    run: Step
    raises: bool = False
    prepare: Step | None = None


# ---------------------------------------------------------------- the interrupted calls


def _conn(path: str = "/", *, receiver: bool = True) -> Step:
    def prepare(stage: Stage) -> None:
        link = stage.link("conn", path).connect()
        if receiver:
            link.receive_in_background()

    return prepare


def _asked(count: int, delay: float = 0.0, *, arrived: bool = False, in_parts: bool = False) -> Step:
    def prepare(stage: Stage) -> None:
        link = stage.link("conn").connect()
        assert link.session is not None
        link.session.push(count, delay, in_parts=in_parts)
        if arrived:
            link.target.ping(SOON)  # The pong comes after the messages.

    return prepare


def _flush(stage: Stage) -> None:
    link = stage.link("conn", "/deaf").connect()
    link.receive_in_background()
    for _ in range(10):
        link.send(300_000)


def _recv_times(count: int) -> Step:
    def run(stage: Stage) -> None:
        for _ in range(count):
            stage.links["conn"].recv()

    return run


def _recv_in_vain(stage: Stage) -> None:
    with contextlib.suppress(TimeoutError):
        stage.links["conn"].recv(0.004)


def _ask_then_bye(stage: Stage) -> None:
    _asked(2, 0.001)(stage)
    link = stage.links["conn"]
    link.closing = True
    assert link.session is not None
    link.session.say_close(1000, 0.003)


def _iterate(stage: Stage) -> None:
    for message in stage.links["conn"].target:
        stage.links["conn"].note(message)


def _stream(stage: Stage) -> None:
    link = stage.links["conn"]
    link.streams = True
    link.note("".join(link.target.recv_streaming()))
    link.streams = False


def _closing(step: Step, name: str = "conn", *, aborted: bool = False) -> Step:
    def run(stage: Stage) -> None:
        link = stage.links[name]
        link.closing = True
        link.aborted = link.aborted or aborted
        step(stage)

    return run


def _with_conn(stage: Stage) -> None:
    with stage.links["conn"].target:
        stage.links["conn"].send()


def _with_ws(stage: Stage) -> None:
    with stage.links["ws"].target:
        stage.links["ws"].send()


def _connect(stage: Stage) -> None:
    link = stage.links["conn"]
    link.target = syncws.connect(stage.server.url + link.path, **stage.options)


def _ws(stage: Stage) -> None:
    stage.link("ws").open()


def _ws_to_be_closed(stage: Stage) -> None:
    link = stage.link("ws").open()
    link.closing = True
    assert link.session is not None
    link.session.push(2)
    link.session.say_close(1000, 0.003)


def _wait_open(stage: Stage) -> None:
    link = stage.links["ws"]
    try:
        link.target.wait_open()
    except syncws.WebSocketError:
        if not link.closing:
            raise


def _policy(loss: Any) -> float | None:
    return None if getattr(loss.error, "code", None) == 1000 else 0.003


def _reconnect(path: str, steps: int = 0) -> Step:
    def prepare(stage: Stage) -> None:
        stage.reconnecting = syncws.reconnect(stage.server.url + path, policy=_policy, **stage.options)
        for _ in range(steps):
            _next(stage)

    return prepare


def _next(stage: Stage) -> None:
    with contextlib.suppress(StopIteration):
        next(stage.reconnecting)


def _reconnecting_ws(stage: Stage, *, bye: bool = False) -> None:
    stage.reconnecting = ws = syncws.ReconnectingWebSocket(
        stage.server.url + "/", policy=_policy, onmessage=lambda event: None, **stage.options
    )
    stage.until(lambda: ws.readyState == ws.OPEN, "the ReconnectingWebSocket did not open")
    if bye:
        stage.unclaimed("/").say_close(1000, 0.003)


def _exchange(stage: Stage) -> None:
    link = stage.links["conn"]
    assert link.session is not None
    link.session.push(2)
    link.send()
    link.target.ping(SOON)
    link.recv(SOON)
    link.send_parts()
    link.recv(SOON)
    link.closing = True
    link.target.close()


_INSIDE_SEND = ("conn_send_parts", "conn_flush", "conn_close")

CALLS: dict[str, Call] = {
    "send": Call("conn", _conn(), lambda s: s.links["conn"].send()),
    "send_large": Call("conn", _conn(), lambda s: s.links["conn"].send(300_000)),
    "send_parts": Call("conn", _conn(), lambda s: s.links["conn"].send_parts(), _INSIDE_SEND),
    "flush": Call("conn", _flush, lambda s: s.links["conn"].target.flush(), waits=True),
    "recv_waiting": Call("conn", _asked(1, 0.003), _recv_times(1), waits=True),
    "recv_ready": Call("conn", _asked(3, arrived=True), _recv_times(3)),
    "recv_timeout": Call("conn", _conn(receiver=False), _recv_in_vain, waits=True),
    "iterate": Call("conn", _ask_then_bye, _iterate, waits=True),
    "recv_streaming": Call("conn", _asked(1, in_parts=True), _stream, ("conn_recv",), waits=True),
    "ping": Call("conn", _conn(), lambda s: s.links["conn"].target.ping(SOON)),
    "close": Call("conn", _conn(), _closing(lambda s: s.links["conn"].target.close())),
    "with_end": Call("conn", _conn(), _closing(_with_conn)),
    "connect": Call("", lambda s: s.link("conn", "/slow"), _connect, waits=True),
    "ws_constructor": Call("", lambda s: s.link("ws"), lambda s: s.links["ws"].construct()),
    "ws_send": Call("ws", _ws, lambda s: s.links["ws"].send()),
    "ws_close": Call("ws", _ws, _closing(lambda s: s.links["ws"].target.close(), "ws")),
    "ws_join": Call("ws", _ws_to_be_closed, lambda s: s.links["ws"].target.join(), waits=True),
    "ws_with": Call("ws", _ws, _closing(_with_ws, "ws"), waits=True),
    "reconnect_first": Call("", _reconnect("/slow"), _next, waits=True),
    "reconnect_refused": Call("", _reconnect("/flaky"), _next, waits=True),
    "reconnect_again": Call("", _reconnect("/", 1), _next, waits=True),
    "reconnect_stop": Call("", _reconnect("/", 1), lambda s: s.reconnecting.stop()),
    "rws_close": Call("", _reconnecting_ws, lambda s: s.reconnecting.close()),
    "rws_join": Call(
        "", lambda s: _reconnecting_ws(s, bye=True), lambda s: s.reconnecting.join(), waits=True
    ),
    "threads": Call("conn", _conn(receiver=False), _exchange, everywhere=True),
}
if CLOSES_WITH_TIMEOUT:
    CALLS["close_timeout"] = Call(
        "conn", _conn(), _closing(lambda s: s.links["conn"].target.close(timeout=0.5), aborted=True)
    )
if ABORTS:
    CALLS["abort"] = Call("conn", _conn(), _closing(lambda s: s.links["conn"].target.abort(), aborted=True))
    CALLS["ws_abort"] = Call("ws", _ws, _closing(lambda s: s.links["ws"].target.abort(), "ws", aborted=True))
if WAITS_OPEN:
    CALLS["ws_wait_open"] = Call(
        "",
        lambda s: s.link("ws", "/slow").construct(),
        _wait_open,
        waits=True,
    )


# ---------------------------------------------------------------- what the handlers call


def _recv(name: str) -> Step:
    def run(stage: Stage) -> None:
        link = stage.links[name]
        assert link.session is not None
        link.session.push(1)  # With this, the interrupted call gets one, too.
        with contextlib.suppress(TimeoutError):
            link.recv(BRIEF)

    return run


def _brief(step: Step) -> Step:
    def run(stage: Stage) -> None:
        with contextlib.suppress(TimeoutError):
            step(stage)

    return run


def _other(stage: Stage) -> None:
    stage.link("other", "/other").connect()


def _ws_or_spare(stage: Stage) -> None:
    if "ws" not in stage.links:
        stage.link("ws", "/ws").open()


def _raise(stage: Stage) -> None:
    for link in stage.links.values():
        if MAY_LOSE_ONE or link.streams:
            link.may_lose += 1
        if link.sends_parts:
            link.closing = True  # The message cannot be ended any more.
    stage.raised = True
    raise Interrupted


def _close_and_raise(stage: Stage) -> None:
    try:
        _closing(lambda s: s.links["conn"].target.close())(stage)
    finally:
        _raise(stage)


def _stop(stage: Stage) -> None:
    if isinstance(stage.reconnecting, syncws.ReconnectingWebSocket):
        stage.reconnecting.close()
    else:
        stage.reconnecting.stop()


def _send_once_open(stage: Stage) -> None:
    link = stage.links["ws"]
    if link.target.readyState == link.target.CONNECTING:
        with contextlib.suppress(syncws.InvalidStateErr):
            link.target.send("")
    else:
        link.send()


def _target(name: str, call: Callable[[Any], object]) -> Step:
    return lambda stage: call(stage.links[name].target)


HANDLERS: dict[str, Handler] = {
    "nothing": Handler("", lambda s: None),
    "raise": Handler("", _raise, raises=True),
    "close_and_raise": Handler("conn", _close_and_raise, raises=True),
    "conn_send": Handler("conn", lambda s: s.links["conn"].send()),
    "conn_send_parts": Handler("conn", lambda s: s.links["conn"].send_parts()),
    "conn_close": Handler("conn", _closing(_target("conn", lambda c: c.close()))),
    "conn_flush": Handler("conn", _brief(_target("conn", lambda c: c.flush(BRIEF)))),
    "conn_recv": Handler("conn", _recv("conn")),
    "conn_ping": Handler("conn", _brief(_target("conn", lambda c: c.ping(BRIEF)))),
    "other_send": Handler("", lambda s: s.links["other"].send(), prepare=_other),
    "other_recv": Handler("", _recv("other"), prepare=_other),
    "other_ping": Handler("", _brief(_target("other", lambda c: c.ping(BRIEF))), prepare=_other),
    "other_close": Handler("", _closing(_target("other", lambda c: c.close()), "other"), prepare=_other),
    "connect": Handler("", lambda s: s.link("other", "/other").connect()),
    "ws_send": Handler("ws", _send_once_open, prepare=_ws_or_spare),
    "ws_close": Handler("ws", _closing(_target("ws", lambda w: w.close()), "ws"), prepare=_ws_or_spare),
    "ws_join": Handler("ws", _brief(_target("ws", lambda w: w.join(BRIEF))), prepare=_ws_or_spare),
    "stop": Handler("reconnecting", _stop),
}
if CLOSES_WITH_TIMEOUT:
    HANDLERS["conn_close_timeout"] = Handler(
        "conn", _closing(_target("conn", lambda c: c.close(timeout=BRIEF)), aborted=True)
    )
if ABORTS:
    HANDLERS["conn_abort"] = Handler("conn", _closing(_target("conn", lambda c: c.abort()), aborted=True))
    HANDLERS["ws_abort"] = Handler(
        "ws", _closing(_target("ws", lambda w: w.abort()), "ws", aborted=True), prepare=_ws_or_spare
    )

# The handlers whose calls a finalizer makes as well.
FINALIZERS = ("conn_send", "conn_close", "conn_flush", "conn_recv", "conn_ping", "other_send", "other_close",
              "other_ping", "ws_send", "ws_close", "ws_join", "conn_abort")  # fmt: skip


class Dropped:
    """An object whose finalizer makes the call."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def __del__(self) -> None:
        self.call()


def pairs() -> Iterator[tuple[str, str]]:
    """Every call with every handler that can meet it; "del_…" is that handler as a finalizer."""
    for name, call in CALLS.items():
        for title, handler in HANDLERS.items():
            if handler.on == "conn" and call.on != "conn":
                continue
            if handler.on == "ws" and name in ("ws_constructor", "ws_wait_open") and not WAITS_OPEN:
                continue
            if handler.on == "ws" and name == "ws_constructor":
                continue
            if handler.on == "reconnecting" and not name.startswith(("reconnect", "rws")):
                continue
            if call.everywhere:
                if title in FINALIZERS:
                    yield name, f"del_{title}"
                continue
            yield name, title
            if title in FINALIZERS and name in ("send", "recv_waiting", "flush", "close", "ws_close"):
                yield name, f"del_{title}"
