"""No text shows a secret that a careless server gives back, in any answer or in a part of one."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.reach.secret_cases import ARGUMENTS, BASIC, CALLS, SECRET, TOKEN, WORD, filled, watched
from tests.support.servers import drain
from tests.support.stress import turns


def everything(peer: Peer) -> bytes:
    """All that the client sent, as a careless server gives it back."""
    request = peer.read_request()
    return f"{request.target} {request.headers}".encode()


def refuse_with_all(peer: Peer) -> None:
    said = everything(peer)
    echoed = said.decode("latin-1").replace("\r", "").replace("\n", "")[:4000]
    head = (
        f"HTTP/1.1 403 no {echoed}\r\nX-Echo: {echoed}\r\nSet-Cookie: a={WORD}\r\nContent-Length: {len(said)}"
    )
    peer.send_bytes(head.encode("latin-1") + b"\r\n\r\n" + said)


def answer_wrongly(field: str) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        said = everything(peer).decode("latin-1")
        good = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": "x"}
        lines = [f"{name}: {value}" for name, value in {**good, field: said}.items()]
        peer.send_bytes("\r\n".join(["HTTP/1.1 101 x", *lines, "", ""]).encode("latin-1"))
        drain(peer)

    return script


def say_all_and_end(peer: Peer) -> None:
    peer.send_bytes(b"HTTP/1.1 " + everything(peer))


def say_all_as_noise(peer: Peer) -> None:
    peer.send_bytes(everything(peer) + b"\r\n\r\n")


def redirect_with_all(peer: Peer) -> None:
    said = everything(peer)
    location = f"wss://{WORD}:{WORD}@other.test/path?{WORD}#{WORD}"
    peer.send_bytes(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
    assert said


def select_a_token(peer: Peer) -> None:
    peer.accept(protocol=f"another.{TOKEN}")


def end_at_once(peer: Peer) -> None:
    peer.read_request()


def accept_and_break(peer: Peer) -> None:
    peer.accept(headers=[("Set-Cookie", f"session={WORD}"), ("X-Token", WORD)], protocol=chosen(peer))
    peer.send_bytes(b"\xff" * 20)
    drain(peer)


def accept_and_end(peer: Peer) -> None:
    peer.accept(protocol=chosen(peer))


def echoed(peer: Peer) -> str:
    """What a careless server quotes of the request in a Close, which has room for little."""
    request = peer.request or peer.read_request()
    words = str([request.target, *(value for _, value in request.headers.items())]).split()
    basic = [base64.b64decode(word.strip("',]")).decode() for word in words if BASIC in word]
    return " ".join([word for word in words if SECRET in word or BASIC in word] + basic)[:120]


def accept_and_close(peer: Peer) -> None:
    peer.accept(protocol=chosen(peer))
    peer.send_close(4001, echoed(peer))


def accept_and_close_wrongly(peer: Peer) -> None:
    peer.accept(protocol=chosen(peer))
    peer.send_frame(8, (4001).to_bytes(2, "big") + echoed(peer).encode() + b"\xc3")
    drain(peer)


def accept_and_close_with_a_code_that_is_none(peer: Peer) -> None:
    peer.accept(protocol=chosen(peer))
    peer.send_frame(8, (5000).to_bytes(2, "big") + echoed(peer).encode())
    drain(peer)


def chosen(peer: Peer) -> str | None:
    offered = (peer.request or peer.read_request()).headers.get("Sec-WebSocket-Protocol")
    return offered.split(", ")[-1] if offered else None


SCRIPTS: dict[str, Callable[[Peer], None]] = {
    "a refusal that says all": refuse_with_all,
    "a wrong Upgrade": answer_wrongly("Upgrade"),
    "a wrong Connection": answer_wrongly("Connection"),
    "a wrong Accept": answer_wrongly("Sec-WebSocket-Accept"),
    "wrong extensions": answer_wrongly("Sec-WebSocket-Extensions"),
    "half an answer": say_all_and_end,
    "noise": say_all_as_noise,
    "a redirect": redirect_with_all,
    "another protocol": select_a_token,
    "an end": end_at_once,
    "a broken frame": accept_and_break,
    "an end once open": accept_and_end,
    "a Close": accept_and_close,
    "a Close cut within a character": accept_and_close_wrongly,
    "a Close with a forbidden code": accept_and_close_with_a_code_that_is_none,
}


@pytest.mark.parametrize(("case", "way"), turns(itertools.product(SCRIPTS, ARGUMENTS), CALLS), ids=str)
def test_argument_and_answer(case: tuple[str, str], way: str, caplog: pytest.LogCaptureFixture) -> None:
    name, argument = case
    userinfo, query, options = filled(argument)
    with watched(caplog) as seen, LoopbackServer(SCRIPTS[name]) as server:
        server.errors = _Ignored()
        CALLS[way](
            server.url_for(f"/path{query}").replace("//", f"//{userinfo}", 1),
            {"open_timeout": 5, **options},
            seen,
        )
        assert any("ws://127.0.0.1" in text for text in seen)


class _Ignored(list[BaseException]):
    """What becomes of a script does not matter."""

    def append(self, _: BaseException) -> None: ...


# Answers that are longer than what a text shows of them: each cut must leave nothing of a secret.
LONG: dict[str, bytes] = {
    "a body": b"HTTP/1.1 403 no\r\nContent-Length: %d\r\n\r\n",
    "a reason": b"HTTP/1.1 403 ",
    "a status line": b"HTTP/1.1 4x3 ",
    "a header": b"HTTP/1.1 403 no\r\nX ",
    "a location": b"HTTP/1.1 302 no\r\nLocation: /",
    "half a head": b"HTTP/1.1 403 no\r\nX: ",
    "noise": b"",
}


@pytest.mark.parametrize(("name", "way"), turns(LONG, CALLS))
@pytest.mark.parametrize("length", [9, 17, 100, 1100, 3500])
def test_secret_that_a_cut_would_divide(
    name: str, way: str, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    token = f"{SECRET}-{'0123456789' * length}"[:length]
    said = f"{token}|".encode() * (5000 // length)

    def script(peer: Peer) -> None:
        peer.read_request()
        head = LONG[name]
        head = head % len(said) if b"%d" in head else head
        peer.send_bytes(head + said + (b"" if name == "half a head" else b"\r\n\r\n"))

    with watched(caplog) as seen, LoopbackServer(script) as server:
        CALLS[way](server.url_for("/path"), {"headers": {"Authorization": f"Bearer {token}"}}, seen)
        assert any("ws://127.0.0.1" in text for text in seen)
