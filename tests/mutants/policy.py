"""Faults of the modules of `syncws` itself that need no connection: when to come back, listeners."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "."

RETRY = ("reconnecting/test_retry.py",)
EVENTS = ("websocket/test_event_target.py", "websocket/test_listeners.py")

MUTANTS = (
    Mutant(
        "all clients of a server that restarts come back at once",
        "delay = random.uniform(0, FIRST_SECONDS)",
        "delay = FIRST_SECONDS",
        RETRY,
    ),
    Mutant(
        "later pauses may be short",
        "delay = random.uniform(longest / 2, longest)",
        "delay = random.uniform(0, longest)",
        RETRY,
    ),
    Mutant(
        "a certificate that does not verify is tried again",
        'if any(kind.__name__ == "SSLCertVerificationError" for kind in type(error).__mro__):',
        "if False:",
        RETRY,
    ),
    Mutant(
        "Retry-After is not obeyed",
        "delay = max(delay, _retry_after(loss.error.headers))",
        "pass",
        RETRY,
    ),
    Mutant(
        "a server may make a client wait for ever",
        "return min(float(values[0]), LONGEST_RETRY_AFTER)",
        "return float(values[0])",
        RETRY,
    ),
    Mutant(
        "a connection that was stable does not start the count again",
        "        if open_seconds >= STABLE_SECONDS:",
        "        if False:",
        RETRY,
    ),
    Mutant(
        "a listener that is removed during a dispatch is called",
        "if entry.removed:\n                        continue\n                    if entry.once:",
        "if entry.once:",
        EVENTS,
    ),
    Mutant(
        "a listener may be added twice",
        "entry.callback == callback and entry is not self._handlers.get(type) for entry in present",
        "False for entry in present",
        EVENTS,
    ),
    Mutant(
        "a handler that replaces another one goes to the end",
        "                entry.replace(callback)",
        "                self._drop(type, entry)\n"
        "                entry = self._handlers[type] = _Registration(callback, once=False)\n"
        "                self._registrations[type] = (*self._registrations.get(type, ()), entry)",
        EVENTS,
    ),
    Mutant(
        "an async def is taken for a listener",
        "if any(inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call) for call in calls):",
        "if False:",
        ("engine/test_signatures.py",),
    ),
)
