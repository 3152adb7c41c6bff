"""Many threads on one connection."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Iterator

import pytest

from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.clients import Client
from tests.support.stress import amount
from tests.support.threads import switching_all_the_time
from tests.support.waiting import SECONDS

THREADS = 16
MESSAGES = amount(2000, 500)


@pytest.fixture(params=[0.005, 1e-6], ids=["usual switching", "switching all the time"])
def switching(request: pytest.FixtureRequest) -> Iterator[None]:
    """How often Python changes from thread to thread."""
    with switching_all_the_time(request.param):
        yield


def run_all(bodies: list[Callable[[], object]]) -> None:
    """Run the bodies at the same time, each in a thread; raise what one of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(bodies))

    def run(body: Callable[[], object]) -> None:
        try:
            start.wait(SECONDS)
            body()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def make_message(sender: int, number: int) -> str:
    """A message of its own length, that shows when a byte of it is wrong."""
    return f"{sender} {number} " + chr(65 + sender) * ((sender * 31 + number * 17) % 300)


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_16_threads_arrive_whole_and_in_each_threads_order(compression: str | None) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        try:
            while True:
                message = peer.recv()
                assert isinstance(message, str)
                received[int(message.partition(" ")[0])].append(message)
        except PeerClosed:
            peer.send_close(1000)

    def send_all(sender: int) -> None:
        for number in range(MESSAGES):
            ws.send(make_message(sender, number))

    received: dict[int, list[str]] = collections.defaultdict(list)
    with LoopbackServer(script) as server:
        with Client(server.url, compression=compression) as client:
            ws = client.wait_open()
            run_all([lambda sender=sender: send_all(sender) for sender in range(THREADS)])  # type: ignore[misc]
            ws.close()
            assert client.wait_closed().wasClean
        assert ws.bufferedAmount == 0
    for sender in range(THREADS):
        assert received[sender] == [make_message(sender, number) for number in range(MESSAGES)]


@pytest.mark.usefixtures("switching")
def test_of_many_concurrent_closes_amid_traffic_exactly_one_counts() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        try:
            while True:
                peer.send_bytes(b"\x81\x04echo")
                peer.recv()
        except PeerClosed as closed:
            codes.append(closed.code)
            peer.send_close(closed.code, closed.reason)
            peer.half_close()
            assert peer.wait_eof(SECONDS) == b""  # nothing follows a Close frame

    def send() -> None:
        while client.ws.readyState == client.ws.OPEN:
            client.ws.send("x" * 100)

    def close(code: int) -> None:
        client.ws.close(code, str(code))

    codes: list[int | None] = []
    with LoopbackServer(script) as server:
        for _ in range(15):
            client = Client(server.url)
            client.wait_open()
            closes = [lambda code=code: close(code) for code in range(3000, 3008)]
            run_all([send, send, *closes])
            closed = client.wait_closed()
            assert closed.wasClean
            assert closed.code in range(3000, 3008) and closed.reason == str(closed.code)
            assert client.order == ["open", "close"]
            assert codes.pop() == closed.code
            assert not codes


@pytest.mark.usefixtures("switching")
def test_close_of_both_ends_at_the_same_time_is_clean() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        together.wait(SECONDS)
        peer.send_close(4000)
        with pytest.raises(PeerClosed):
            peer.recv()

    together = threading.Barrier(2)
    with LoopbackServer(script) as server:
        for _ in range(20):
            with Client(server.url) as client:
                client.wait_open()
                together.wait(SECONDS)
                client.ws.close(3000)
                closed = client.wait_closed()
            assert (closed.code, closed.wasClean) == (4000, True)


@pytest.mark.usefixtures("switching")
def test_close_amid_connecting_ends_in_one_way_or_the_other() -> None:
    with LoopbackServer() as server:
        for number in range(60):
            client = Client(server.url)
            # From at once to after the open event.
            client.opened_within(number / 60 * 0.01)
            run_all([client.ws.close] * 4)
            closed = client.wait_closed()
            if client.order == ["open", "close"]:
                assert (closed.code, closed.wasClean) == (1000, True)
            else:
                assert client.order == ["error", "close"]
                assert (closed.code, closed.wasClean) == (1006, False)
