"""`syncws._retry`: what is tried again, and after how long."""

from __future__ import annotations

import datetime
import email.utils
import random
import socket
import ssl

import pytest

from syncws import ConnectionClosed, ConnectionLost, HandshakeError, Loss, default_policy
from syncws._retry import LONGEST_RETRY_AFTER, RetryState

NOW = datetime.datetime.now(datetime.timezone.utc)


def refused(status: int | None, *retry_after: str) -> HandshakeError:
    headers = (("Server", "x"), *(("retry-after", value) for value in retry_after))
    return HandshakeError("refused", status, headers)


def closed(code: int, cause: Exception | None = None) -> ConnectionClosed:
    error = ConnectionClosed(code, "", code != 1006)
    error.__cause__ = cause
    return error


RETRIED: list[Exception] = [
    *(refused(status) for status in (408, 425, 429, 500, 502, 503, 504, 599)),
    *(closed(code) for code in (1001, 1005, 1006, 1011, 1012, 1013, 1014, 3000, 3999)),
    ConnectionLost("lost"),
    ConnectionRefusedError(111, "refused"),
    ConnectionResetError(104, "reset"),
    TimeoutError("open_timeout"),
    OSError(113, "no route to host"),
    socket.gaierror(socket.EAI_AGAIN, "temporary failure in name resolution"),
    socket.gaierror(socket.EAI_NONAME, "name not known"),
    ssl.SSLError(1, "alert internal error"),
    ssl.SSLEOFError(8, "EOF"),
]

FATAL: list[Exception] = [
    *(refused(status) for status in (101, 200, 204, 301, 302, 400, 401, 403, 404, 410, 426, 451, 600)),
    refused(None),
    *(refused(status, "1") for status in (401, 403, 404)),  # Retry-After makes no refusal a temporary one
    *(closed(code) for code in (1000, 1008, 4000, 4001, 4999)),
    ssl.SSLCertVerificationError(1, "certificate verify failed"),
    ssl.CertificateError("hostname mismatch"),
    ValueError("a mistake of the caller's"),
    TypeError("a mistake of the caller's"),
    KeyError("what the callable given as headers raised"),
]


@pytest.mark.parametrize("error", RETRIED, ids=repr)
@pytest.mark.parametrize("failures", [1, 2, 100])
def test_default_policy_tries_again_after(error: Exception, failures: int) -> None:
    delay = default_policy(Loss(error, failures))
    assert delay is not None
    assert 0 <= delay <= 60


@pytest.mark.parametrize("error", FATAL, ids=repr)
@pytest.mark.parametrize("failures", [1, 2, 100])
def test_default_policy_stops_after(error: Exception, failures: int) -> None:
    assert default_policy(Loss(error, failures)) is None


@pytest.mark.parametrize(
    ("failures", "shortest", "longest"),
    [
        (1, 0, 5),
        (2, 5, 10),
        (3, 10, 20),
        (4, 20, 40),
        (5, 30, 60),
        (6, 30, 60),
        (20, 30, 60),
        (10**6, 30, 60),
    ],
)
def test_the_wait_is_random_and_doubles_from_5_to_60_seconds(
    failures: int, shortest: float, longest: float
) -> None:
    delays = [default_policy(Loss(ConnectionLost(""), failures)) for _ in range(400)]
    low, high = min(map(float, map(str, delays))), max(map(float, map(str, delays)))
    assert shortest <= low < high <= longest
    tenth = (longest - shortest) / 10
    assert low < shortest + tenth
    assert high > longest - tenth


def at(seconds: float) -> str:
    return email.utils.format_datetime(NOW + datetime.timedelta(seconds=seconds), usegmt=True)


# The header, and the shortest and longest wait that may come of it at the first failure.
RETRY_AFTER: list[tuple[tuple[str, ...], float, float]] = [
    ((), 0, 5),
    (("0",), 0, 5),
    (("7",), 7, 7),
    (("120",), 120, 120),
    (("0000120",), 120, 120),
    (("120", "240"), 120, 120),
    (("3600",), 3600, 3600),
    (("3601",), 3600, 3600),
    (("9" * 30,), 3600, 3600),
    (("9" * 400,), 3600, 3600),
    ((at(1000),), 100, 1000),
    ((at(1e6),), 3600, 3600),
    ((at(-1000),), 0, 5),
    (("Fri, 31 Dec 9999 23:59:59 GMT",), 3600, 3600),
    (("Fri, 31 Dec 1999 23:59:59 GMT",), 0, 5),
    (("Friday, 31-Dec-99 23:59:59 GMT",), 0, 5),
    ((at(1000).replace("GMT", "-0000"),), 100, 1000),
    (("",), 0, 5),
    (("soon",), 0, 5),
    (("-5",), 0, 5),
    (("1.5",), 0, 5),
    (("1e3",), 0, 5),
    (("٣٠٠",), 0, 300),
    (("Wed, 21 Oct 2015 99:99:99 GMT",), 0, 5),
    (("Wed, 21 Oct 99999999999999999999 07:28:00 GMT",), 0, 5),
    (("Wed, 99999999999999999999 Oct 2015 07:28:00 GMT",), 0, 5),
    (("Wed, 21 Oct 2015 07:28:00 +99999999999999",), 0, 5),
]


@pytest.mark.parametrize(("values", "shortest", "longest"), RETRY_AFTER)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_makes_the_wait_longer_but_not_endless(
    status: int, values: tuple[str, ...], shortest: float, longest: float
) -> None:
    delay = default_policy(Loss(refused(status, *values), 1))
    assert delay is not None
    assert shortest <= delay <= longest


def test_retry_after_does_not_make_the_wait_shorter() -> None:
    for _ in range(50):
        delay = default_policy(Loss(refused(503, "1"), 10))
        assert delay is not None
        assert delay >= 30


def test_no_retry_after_makes_the_policy_raise() -> None:
    choose = random.Random(20)
    letters = "0123456789:,-+. ()\t;GMTabZWd\xa0\xff"
    for _ in range(5000):
        text = list(at(1000))
        for _ in range(choose.randint(1, 6)):
            place = choose.randrange(len(text) + 1)
            text[place : place + choose.randrange(3)] = choose.choice(letters) * choose.choice((1, 1, 12))
        delay = default_policy(Loss(refused(503, "".join(text)), 1))
        assert delay is not None
        assert 0 <= delay <= LONGEST_RETRY_AFTER


def test_history_counts_failures_in_a_row_and_begins_anew_after_60_stable_seconds() -> None:
    losses: list[Loss] = []

    def policy(loss: Loss) -> float | None:
        losses.append(loss)
        return None if loss.failures == 3 else loss.failures / 10

    retry_state = RetryState(policy)
    errors = [KeyError(n) for n in range(7)]
    seconds = [0.0, 59.9, 0.0, 60.0, 0.0, 1e6, 0.5]
    decisions = [retry_state.next_delay(error, each) for error, each in zip(errors, seconds, strict=True)]
    assert decisions == [0.1, 0.2, None, 0.1, 0.2, 0.1, 0.2]
    assert [loss.error for loss in losses] == errors
    assert [loss.open_seconds for loss in losses] == seconds
