"""Faults of closing, deadlines and keepalive, as `syncws._protocol` decides them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_protocol"

CLOSING = ("protocol/test_closing.py", "protocol/test_closing_deadlines.py")
KEEPALIVE = ("protocol/test_keepalive.py", "protocol/test_keepalive_progress.py")

MUTANTS = (
    Mutant(
        "the server's Close waits for TCP's end",
        "            self._settle(Outcome(code, frame.reason, was_clean=True), now)\n"
        "            return Do.NOTHING",
        "            self.outcome = Outcome(code, frame.reason, was_clean=True)\n"
        "            return Do.NOTHING",
        CLOSING,
    ),
    Mutant(
        "TCP's end has as long as a Close",
        "            return moved_at + min(self._timeout, TCP_END_SECONDS)",
        "            return moved_at + self._timeout",
        CLOSING,
    ),
    Mutant(
        "TCP's end has a second where close_timeout is less",
        "            return moved_at + min(self._timeout, TCP_END_SECONDS)",
        "            return moved_at + TCP_END_SECONDS",
        CLOSING,
    ),
    Mutant(
        "what is queued behind the server's Close has as long as a Close",
        "            standstill = min(self._timeout, STANDSTILL_SECONDS)",
        "            standstill = self._timeout",
        CLOSING,
    ),
    Mutant(
        "what is queued behind the server's Close has two seconds in all",
        "            stood_since = max(self._close_received_at, self._progress_at)",
        "            stood_since = self._close_received_at",
        CLOSING,
    ),
    Mutant(
        "our answer has no time where the standstill is over",
        "            return max(stood_since + standstill, self._since + min(standstill, ANSWER_SECONDS))",
        "            return stood_since + standstill",
        CLOSING,
    ),
    Mutant(
        "a fault waits longer than half a second for answers",
        "return min(self._fail_by, self._since + CATCH_UP_SECONDS) if",
        "return self._fail_by if",
        CLOSING,
    ),
    Mutant(
        "a fault's Close has as long as a Close",
        "        self._fail_by = now + min(self._timeout, LINGER_SECONDS)",
        "        self._fail_by = now + self._timeout",
        CLOSING,
    ),
    Mutant(
        "a fault's Close has a second where close_timeout is less",
        "        self._fail_by = now + min(self._timeout, LINGER_SECONDS)",
        "        self._fail_by = now + LINGER_SECONDS",
        CLOSING,
    ),
    Mutant(
        "progress is not waited for while our Close waits",
        "        return self.state in (State.DRAINING, State.CLOSE_SENT, State.ANSWERING, State.SETTLED)",
        "        return self.state in (State.CLOSE_SENT, State.ANSWERING, State.SETTLED)",
        CLOSING,
    ),
    Mutant(
        "a fault takes the place of the server's code",
        "            return self._cut()  # The code and reason of the server's Close stay the outcome.",
        "            return self._lose(error)",
        CLOSING,
    ),
    Mutant(
        "a fault after our Close waits",
        "        if self.state in (State.CONNECTING, State.CLOSE_SENT):\n"
        "            return self._lose(error)",
        "        if self.state is State.CONNECTING:\n            return self._lose(error)",
        CLOSING,
    ),
    Mutant(
        "a fault while we close waits for answers",
        "        return self._send_last_close() if closing_ourselves else Do.NOTHING",
        "        return Do.NOTHING",
        CLOSING,
    ),
    Mutant(
        "our answer waits for an application that a dead server does not hear",
        "            # The server reads no answers any longer, so our Close need not wait for them.\n"
        "            self._answer(now)\n            return Do.QUEUE_CLOSE",
        "            return Do.NOTHING",
        CLOSING,
    ),
    Mutant(
        "the end of TCP before our answer has left ends the connection",
        "        self._input_ended = True\n        if self.state is State.CLOSE_RECEIVED:",
        "        self._input_ended = True\n        if self.state is State.ANSWERING:\n"
        "            return self._cut()\n        if self.state is State.CLOSE_RECEIVED:",
        CLOSING,
    ),
    Mutant(
        "the server's end of TCP is waited for though it has come",
        "        if self._input_ended:\n            self._end()",
        "        pass",
        CLOSING,
    ),
    Mutant(
        "a time-out of close() changes an outcome that is settled",
        "and now >= self._cut_at and self.state is not State.SETTLED:",
        "and now >= self._cut_at:",
        CLOSING,
    ),
    Mutant(
        "a loss takes the place of the server's code",
        "        if self.state in (State.OPEN, State.DRAINING, State.CLOSE_SENT, State.CONNECTING):\n"
        "            return self._lose(error)",
        "        if self.state is not State.CLOSED:\n            return self._lose(error)",
        CLOSING,
    ),
    Mutant(
        "a pause of our own forgets a ping that cannot leave",
        "        if self._ping_requested_at is not None and left_at >= self._ping_requested_at:\n"
        "            self.activity()",
        "        self.activity()",
        KEEPALIVE,
    ),
    Mutant(
        "a byte that arrives does not answer a ping",
        "        self._ping_requested_at = self._ping_sent_at = None\n\n    def pause",
        "        pass\n\n    def pause",
        KEEPALIVE,
    ),
    Mutant(
        "a ping that is stuck is forgiven for good",
        "            since = max(self._ping_requested_at, progress_at)",
        "            return None",
        KEEPALIVE,
    ),
    Mutant(
        "pings bunch up",
        "        self._ping_at = now + self._interval\n",
        "",
        KEEPALIVE,
    ),
)
