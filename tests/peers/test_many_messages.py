"""Many messages travel between syncws and the servers that people use, over ws and wss."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.clients import Client

Connect = Callable[..., Client]


def test_1000_pipelined_messages_come_back_in_order(connect: Connect) -> None:
    # A server that drains only between messages must not stop us from reading meanwhile.
    sent = [f"{number}:" + "x" * (number * 7 % 3000) for number in range(1000)]
    with connect("/echo") as client:
        ws = client.wait_open()
        for message in sent:
            ws.send(message)
        assert [client.receive() for _ in sent] == sent
        assert ws.bufferedAmount == 0


def test_a_buffer_is_sent_as_it_was_at_the_call(connect: Connect) -> None:
    with connect("/echo") as client:
        ws = client.wait_open()
        data = bytearray(b"before" * 50000)
        for _ in range(5):
            ws.send(data)
        expected = bytes(data)
        data[:] = b"after!" * 50000
        assert [client.receive() for _ in range(5)] == [expected] * 5
