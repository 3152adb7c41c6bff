"""The metrics: each with its driver, its unit and the text that the table shows."""

from __future__ import annotations

from typing import NamedTuple

KIB, MIB = 1024, 1024 * 1024


class Metric(NamedTuple):
    """One row of the table.

    Attributes:
        text: how the table names it.
        driver: which function of `drivers` measures it.
        unit: of its figure.
        more_is_better: whether a larger figure is the better one.
        size, is_text: of each message.
        tls, deflate: whether TLS is used, and whether the server accepts compression.
        thread: whether it is measured on another thread than the main one.
        percentile: of the times of round trips.
        in_chart: whether the chart has it; the table has all.
    """

    text: str
    driver: str
    unit: str = "msg/s"
    more_is_better: bool = True
    size: int = 32
    is_text: bool = False
    tls: bool = False
    deflate: bool = False
    thread: bool = False
    percentile: int = 50
    in_chart: bool = True


def _time(text: str, driver: str, **more: bool | int) -> Metric:
    return Metric(text, driver, "µs", False, **more)  # type: ignore[arg-type]


def _round_trips(key: str, text: str, **more: bool | int) -> dict[str, Metric]:
    """Three rows: the median, and the times that a tenth and a hundredth of the round trips exceed."""
    median = _time(text, "round_trip", **more)
    slow = {
        f"{key}-p{percentile}": median._replace(
            text=f"{text}: p{percentile}", percentile=percentile, in_chart=False
        )
        for percentile in (90, 99)
    }
    return {key: median, **slow}


METRICS = {
    "receive-32": Metric("receive text, 32 B", "receive", is_text=True),
    "receive-128": Metric("receive binary, 128 B", "receive", size=128),
    "receive-1k": Metric("receive text, 1 KiB", "receive", size=KIB, is_text=True),
    "receive-16k": Metric("receive binary, 16 KiB", "receive", size=16 * KIB),
    "receive-1m": Metric("receive binary, 1 MiB", "receive", "MB/s", size=MIB),
    "receive-16m": Metric("receive binary, 16 MiB", "receive", "MB/s", size=16 * MIB),
    "receive-cpu": Metric("CPU for a million messages of 128 B", "receive_cpu", "s", False, size=128),
    "send-32": Metric("send text, 32 B", "send", is_text=True),
    "send-128": Metric("send binary, 128 B", "send", size=128),
    "send-1k": Metric("send binary, 1 KiB", "send", size=KIB),
    "send-16k": Metric("send binary, 16 KiB", "send", size=16 * KIB),
    "send-1m": Metric("send binary, 1 MiB", "send", "MB/s", size=MIB),
    "send-16m": Metric("send binary, 16 MiB", "send", "MB/s", size=16 * MIB),
    **_round_trips("round-trip-32", "round trip, 32 B", is_text=True),
    "round-trip-32-deflate": _time(
        "round trip, 32 B, compression agreed", "round_trip", is_text=True, deflate=True
    ),
    **_round_trips("round-trip-16k", "round trip, 16 KiB", size=16 * KIB),
    "pipelined-32": Metric("64 in flight, 32 B", "pipelined", is_text=True),
    **_round_trips("tls-round-trip-32", "TLS: round trip, 32 B", is_text=True, tls=True),
    **_round_trips(
        "tls-round-trip-32-thread",
        "TLS: round trip, 32 B, off the main thread",
        is_text=True,
        tls=True,
        thread=True,
    ),
    **_round_trips("tls-round-trip-16k", "TLS: round trip, 16 KiB", size=16 * KIB, tls=True),
    "tls-receive-16k": Metric("TLS: receive binary, 16 KiB", "receive", size=16 * KIB, tls=True),
    "tls-receive-1m": Metric("TLS: receive binary, 1 MiB", "receive", "MB/s", size=MIB, tls=True),
    "tls-send-16k": Metric("TLS: send binary, 16 KiB", "send", size=16 * KIB, tls=True),
    "tls-send-1m": Metric("TLS: send binary, 1 MiB", "send", "MB/s", size=MIB, tls=True),
    "deflate-receive-1k": Metric(
        "compressed: receive JSON, 1 KiB", "receive", size=KIB, is_text=True, deflate=True
    ),
    "deflate-send-1k": Metric("compressed: send JSON, 1 KiB", "send", size=KIB, is_text=True, deflate=True),
    "connect": _time("connect, ws", "connect"),
    "tls-connect": _time("connect, wss", "connect", tls=True),
    "import": Metric("import", "import_time", "ms", False),
    "import-modules": Metric("modules imported", "import_modules", "", False, in_chart=False),
    "import-memory": Metric("memory of the import", "import_memory", "MiB", False, in_chart=False),
    "idle-memory": Metric("memory of an idle connection", "idle_memory", "KiB", False, in_chart=False),
    "idle-threads": Metric("threads of an idle connection", "idle_threads", "", False, in_chart=False),
    "idle-open": Metric("open 200 connections", "idle_open", "ms", False, in_chart=False),
    "broadcast": Metric("a message to each of 200", "broadcast", "ms", False, in_chart=False),
}


def json_texts(size: int, count: int = 64) -> list[str]:
    """Different texts, as feeds send them; together they are longer than the window of compression."""
    texts, seed = [], 12345
    for _ in range(count):
        text = '{"channel":"book","levels":['
        while len(text) < size:
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            side = "bid" if seed >> 8 & 1 else "ask"
            text += f'{{"price":{seed % 89989}.{seed % 97:02d},"size":{seed % 499},"side":"{side}"}},'
        texts.append(text[:size])
    return texts


def payload(metric: Metric) -> str | bytes:
    """The message that is sent and received over and over."""
    text = ("0123456789abcdefghijklmnopqrstuvwxyz" * (metric.size // 36 + 1))[: metric.size]
    return text if metric.is_text else text.encode()


def payloads(metric: Metric) -> list[str | bytes]:
    """The messages in turn: always the same one, unless compression would then be too good."""
    if metric.deflate and metric.size > 100:
        return list(json_texts(metric.size))
    return [payload(metric)]
