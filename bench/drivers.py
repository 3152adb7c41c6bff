"""How each metric is measured, for one client, in a process of its own.

A driver returns one figure. Runs are lengthened until they last about `Sample.seconds`; the last one counts.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from bench.clients import Client, Heard, Link, Raw, Server, raw_frame
from bench.metrics import MIB, Metric, payload, payloads

IN_FLIGHT = 64
CONNECTS = 110
WARM_UP = 10
ROUND_TRIPS = 10_000


class UnmeasuredError(Exception):
    """The client has no such feature."""


class Sample(NamedTuple):
    """One sample to measure: `ports` and `ca` are the server's, `seconds` the length of a timed run."""

    client: Client
    metric: Metric
    ports: dict[str, int]
    ca: str
    seconds: float

    def server(self, path: str) -> Server:
        metric = self.metric
        scheme = "wss" if metric.tls else "ws"
        query = {"size": metric.size, "text": int(metric.is_text), "deflate": int(metric.deflate)}
        url = f"{scheme}://localhost:{self.ports[scheme]}{path}?{urlencode(query)}"
        return Server(url.replace("localhost", "127.0.0.1"), self.ca, metric.deflate)

    def repeat(self, once: Callable[[int], object], first: int, most: int) -> tuple[int, float, float]:
        """Run `once(n)` with a growing n: the last n, its seconds and its CPU seconds."""
        count = first
        for share in (0.2, 1.0):
            begun = time.perf_counter()
            once(count)
            took = time.perf_counter() - begun
            count = max(first, min(most, int(count * self.seconds * share / max(took, 1e-6))))
        cpu, begun = _cpu(), time.perf_counter()
        once(count)
        return count, time.perf_counter() - begun, _cpu() - cpu


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _bounds(size: int) -> tuple[int, int]:
    """The number of messages in the first run, and the largest number."""
    return max(1, min(500, MIB // size)), max(4, min(5_000_000, 1024 * MIB // size))


def _rate(metric: Metric, count: int, seconds: float) -> float:
    return count * metric.size / seconds / 1e6 if metric.unit == "MB/s" else count / seconds


def _check(metric: Metric, data: Any) -> None:
    if type(data) is not (str if metric.is_text else bytes) or len(data) != metric.size:
        raise AssertionError(f"not what the server sent: {type(data)} of {len(data)}")


def _receive(sample: Sample) -> tuple[int, float, float]:
    client, metric, heard = sample.client, sample.metric, Heard()
    first, most = _bounds(metric.size)
    if isinstance(client, Raw):
        return sample.repeat(_raw_receive(sample, client), first, most * 4)
    link = client.open(sample.server("/flood"), heard.hear)

    def once(count: int) -> None:
        heard.expect(count)
        link.send_text(str(count))
        if link.receive is None:
            heard.wait()
        else:
            receive = link.receive
            for _ in range(count):
                heard.last = receive()
        _check(metric, heard.last)

    return sample.repeat(once, first, most)


def _raw_receive(sample: Sample, client: Raw) -> Callable[[int], None]:
    metric = sample.metric
    sock = client.connect(sample.server("/flood"))
    header = 2 if metric.size < 126 else 4 if metric.size < 65536 else 10
    whole = header + metric.size
    room = bytearray(max(whole, 256 * 1024))
    view = memoryview(room)

    def once(count: int) -> None:
        sock.sendall(raw_frame(str(count)))
        held, made = 0, []
        while count:
            got = sock.recv_into(view[held:])
            if not got:
                raise EOFError
            held += got
            number = held // whole
            if number:
                end = number * whole
                part: Any = room[:end].decode("latin-1") if metric.is_text else bytes(view[:end])
                made = [part[at + header : at + whole] for at in range(0, end, whole)]
                room[: held - end] = room[end:held]
                held -= end
                count -= number
        _check(metric, made[-1])

    return once


def receive(sample: Sample) -> float:
    """Messages a second when the server sends as fast as the client receives."""
    count, seconds, _ = _receive(sample)
    return _rate(sample.metric, count, seconds)


def receive_cpu(sample: Sample) -> float:
    """The CPU seconds of all threads for a million received messages."""
    count, _, cpu = _receive(sample)
    return cpu / count * 1e6


def _sender(link: Link, metric: Metric) -> Callable[[Any], object]:
    return link.send_text if metric.is_text else link.send_binary


def send(sample: Sample) -> float:
    """Messages a second when the client sends as fast as it can, until the server has them all."""
    client, metric, heard = sample.client, sample.metric, Heard()
    first, most = _bounds(metric.size)
    data = payloads(metric)
    if isinstance(client, Raw):
        sock, one = client.connect(sample.server("/sink")), raw_frame(data[0])
        many = one * max(1, 256 * 1024 // len(one))

        def once_raw(count: int) -> None:
            sock.sendall(raw_frame(str(count)))
            for _ in range(count * len(one) // len(many)):
                sock.sendall(many)
            sock.sendall(one * (count % (len(many) // len(one))))
            assert sock.recv(4) == b"\x81\x02ok"

        count, seconds, _ = sample.repeat(once_raw, first, most * 4)
        return _rate(metric, count, seconds)
    link = client.open(sample.server("/sink"), heard.hear)
    give, turns = _sender(link, metric), len(data)

    def once(count: int) -> None:
        heard.expect(1)
        link.send_text(str(count))
        for number in range(count):
            give(data[number % turns])
        if link.receive is None:
            heard.wait()
        else:
            heard.last = link.receive()
        assert heard.last == "ok"

    count, seconds, _ = sample.repeat(once, first, min(most, max(8, 256 * MIB // metric.size)))
    return _rate(metric, count, seconds)


def round_trip(sample: Sample) -> float:
    """The time from a message to its answer, one at a time: the percentile in microseconds."""
    client, metric, heard = sample.client, sample.metric, Heard()
    data = payload(metric)
    took: list[int] = []
    now = time.perf_counter_ns
    if isinstance(client, Raw):
        once = _raw_round_trips(sample, client, took)
    else:
        link = client.open(sample.server("/answer"), heard.hear)
        give = _sender(link, metric)
        take = link.receive
        if take is None:
            once = _callback_round_trips(heard, give, data, took)
        else:
            receive_one = take

            def once(count: int) -> None:
                took.clear()
                for _ in range(count):
                    begun = now()
                    give(data)
                    heard.last = receive_one()
                    took.append(now() - begun)
                _check(metric, heard.last)

    sample.repeat(once, 100, ROUND_TRIPS)
    return statistics.quantiles(took, n=100)[metric.percentile - 1] / 1000


def _callback_round_trips(
    heard: Heard, give: Callable[[Any], object], data: str | bytes, took: list[int]
) -> Callable[[int], None]:
    now = time.perf_counter_ns
    begun = left = 0

    def each(_: Any) -> None:
        nonlocal begun, left
        took.append(now() - begun)
        left -= 1
        if left:
            begun = now()
            give(data)

    def once(count: int) -> None:
        nonlocal begun, left
        took.clear()
        left = count
        heard.expect(count, each)
        begun = now()
        give(data)
        heard.wait()

    return once


def _raw_round_trips(sample: Sample, client: Raw, took: list[int]) -> Callable[[int], None]:
    metric, now = sample.metric, time.perf_counter_ns
    sock, one = client.connect(sample.server("/answer")), raw_frame(payload(sample.metric))
    size = metric.size + (2 if metric.size < 126 else 4)

    def once(count: int) -> None:
        took.clear()
        for _ in range(count):
            begun = now()
            sock.sendall(one)
            got = sock.recv(size)
            while len(got) < size:
                got += sock.recv(size - len(got))
            took.append(now() - begun)

    return once


def pipelined(sample: Sample) -> float:
    """Messages and answers a second, with 64 under way at any time."""
    client, metric, heard = sample.client, sample.metric, Heard()
    data = payload(metric)
    if isinstance(client, Raw):
        raise UnmeasuredError
    link = client.open(sample.server("/answer"), heard.hear)
    give, take = _sender(link, metric), link.receive

    def once(count: int) -> None:
        left = count - IN_FLIGHT

        def each(_: Any) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                give(data)

        heard.expect(count, each)
        for _ in range(IN_FLIGHT):
            give(data)
        if take is None:
            heard.wait()
        else:
            for _ in range(count):
                heard.hear(take())
        _check(metric, heard.last)

    count, seconds, _ = sample.repeat(once, 1000, 1_000_000)
    return count / seconds


def connect(sample: Sample) -> float:
    """The time from the call to the open connection: the median in microseconds."""
    took = []
    server = sample.server("/idle")
    for _ in range(CONNECTS):
        begun = time.perf_counter_ns()
        link = sample.client.open(server, lambda data: None)
        took.append(time.perf_counter_ns() - begun)
        link.cut()
    return statistics.median(took[WARM_UP:]) / 1000
