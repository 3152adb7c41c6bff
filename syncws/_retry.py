"""When to try again after a connection was lost or could not be made (RFC 6455 7.2.3).

Owns: the default policy. Runs on: whichever thread reconnects. Must not import: sockets, threads, the
callback API, the blocking API.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ._engine.options.option_checks import check_plain
from ._exceptions import ConnectionClosed, HandshakeError
from ._headers import Headers
from ._log import Fields, log

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 60.0
STABLE_SECONDS = 60.0
# A server may ask for a longer pause than ours, but only up to this.
LONGEST_RETRY_AFTER = 3600.0

# HTTP statuses of a refusal that may not last.
_TEMPORARY_STATUSES = frozenset({408, 425, 429, *range(500, 600)})


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss or a failed attempt, for a policy to decide upon.

    Attributes:
        error: the exception that `connect` raised, or a `ConnectionClosed` for a connection that was open, or
            the exception of the callable given as `headers`.
        failures: how many losses in a row there were, this one included; a connection that stayed open
            for 60 s starts the count again.
        open_seconds: how long the connection was open; 0 when it could not be made.
    """

    error: Exception
    failures: int
    open_seconds: float = 0.0


#: Decides after each loss: seconds to wait before the next attempt, or None to stop.
RetryPolicy: TypeAlias = Callable[[Loss], float | None]


def default_policy(loss: Loss) -> float | None:
    """Seconds to wait before the next attempt, or None where trying again would not help.

    Retried: failures of DNS and of the network, time-outs, 408, 425, 429 and 5xx answers (after
    `Retry-After`, if given), links that were lost, servers that went away. Not retried: other refusals,
    answers that do not speak WebSocket, certificates that do not verify, closes with 1000, 1008 and 4000 to
    4999 (the application's own codes), and mistakes of the caller.

    The first wait is a random time up to 5 s, so that the clients of a server that restarts do not all
    come back at once; later ones double up to 60 s, less a random part of up to a half.
    """
    if not _is_retryable(loss.error):
        return None
    if loss.failures <= 1:
        delay = random.uniform(0, FIRST_SECONDS)
    else:
        longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(loss.failures - 1, 16))
        delay = random.uniform(longest / 2, longest)
    if isinstance(loss.error, HandshakeError):
        delay = max(delay, _retry_after(loss.error.headers))
    return delay


def _is_retryable(error: Exception) -> bool:
    if isinstance(error, HandshakeError):
        return error.status in _TEMPORARY_STATUSES
    if isinstance(error, ConnectionClosed):
        return error.code not in (1000, 1008) and not 4000 <= error.code <= 4999
    # A certificate will not verify the next time either. The class is known by its name, so that this module
    # need not import ssl.
    if any(kind.__name__ == "SSLCertVerificationError" for kind in type(error).__mro__):
        return False
    return isinstance(error, OSError)


def _retry_after(headers: Headers) -> float:
    """The seconds of a Retry-After header (RFC 9110 10.2.3): a number, or a date; 0 without one."""
    values = headers.get_all("Retry-After")
    if not values:
        return 0.0
    if values[0].isdecimal():
        return min(float(values[0]), LONGEST_RETRY_AFTER)
    # This import stands here, since the email package is large and refusals with a date are rare.
    import datetime
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(values[0])
    except (ValueError, OverflowError):  # A date with a number too large for it is no date.
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.timezone.utc)
    seconds = (date - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)


class RetryState:
    """Counts the losses in a row."""

    def __init__(self, policy: RetryPolicy) -> None:
        """Raises `TypeError` for a policy that cannot be called, or that is an ``async def``."""
        if not callable(policy):
            raise TypeError(f"policy must be callable, not {policy!r}")
        check_plain("policy", policy)
        self._policy = policy
        self._failures = 0

    def next_delay(self, error: Exception, open_seconds: float) -> float | None:
        """Ask the policy. Returns the seconds to wait, or None to stop."""
        if open_seconds >= STABLE_SECONDS:
            self._failures = 0
        self._failures += 1
        delay = self._policy(Loss(error, self._failures, open_seconds))
        # False is 0, which means no pause, where the policy most likely meant None.
        if isinstance(delay, bool) or not (delay is None or hasattr(delay, "__float__")):
            raise TypeError(f"policy must return a number of seconds or None, not {delay!r}")
        return None if delay is None else float(delay)


def log_loss(fields: Fields, error: Exception, retry_in: float | None) -> None:
    """Log a loss or a failed attempt, and what comes next: a quiet end as information, else a warning."""
    then = "no further attempt" if retry_in is None else f"next attempt in {retry_in:.1f} s"
    if not isinstance(error, ConnectionClosed):
        log(logging.WARNING, fields, "%s; %s", error, then)  # The text of this error names the URL.
        return
    is_quiet = retry_in is None and error.code == 1000
    level, what = (logging.INFO, "closed") if is_quiet else (logging.WARNING, "lost")
    said = str(error).partition(": ")[2]  # This is the code, the reason and the cause.
    url = fields["url"]
    where = "" if str(url) in said else f"{url}: "  # Most causes name the URL.
    log(level, fields, "%s%s (%s); %s", where, what, said, then)
