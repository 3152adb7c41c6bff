"""Faults of the modules of `syncws` itself that need no connection: when to come back, listeners."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "."

RETRY = ("reconnecting/test_retry.py",)
SECRETS = (
    "reach/test_secrets_in_arguments.py",
    "reach/test_secrets_in_answers.py",
    "reach/test_secrets_in_close_texts.py",
    "reach/test_secrets_on_the_way.py",
    "protocol/test_url.py",
    "protocol/test_headers.py",
)
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
        "if entry.removed:\n                        continue\n                    if entry.once and not",
        "if entry.once and not",
        EVENTS,
    ),
    Mutant(
        "a listener may be added twice",
        "if entry is not handler and not entry.removed and entry.callback == callback:",
        "if False:",
        EVENTS,
    ),
    Mutant(
        "a handler that replaces another one goes to the end",
        "        if entry is not None:\n            entry.replace(callback)\n        else:",
        "        if entry is not None:\n"
        "            del self._handlers[type]\n            self._drop(type, entry)\n"
        "        if True:",
        EVENTS,
    ),
    Mutant(
        "an async def is taken for a listener",
        "if any(inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call) for call in calls):",
        "if False:",
        ("engine/test_signatures.py",),
    ),
    Mutant(
        "an error shows the password of a URL",
        '    return f"{start}{HIDDEN}@{after}{end}" if at else f"{head}{end}"',
        '    return f"{head}{end}"',
        SECRETS,
    ),
    Mutant(
        "an error shows a credential that a server sends back",
        "            text = text.replace(secret, HIDDEN)",
        "            pass",
        SECRETS,
    ),
    Mutant(
        "a repr shows the values of all header fields",
        "return repr(value) if _is_harmless(name.lower(), value) else HIDDEN",
        "return repr(value)",
        SECRETS,
    ),
    Mutant(
        "a trace shows the values of all fields of the request",
        "elif lowered not in _OURS and not _is_harmless(lowered, value):",
        "elif False:",
        SECRETS,
    ),
    Mutant(
        "a trace shows the query of the request",
        "{public_part(resource)}",
        "{resource}",
        SECRETS,
    ),
    Mutant(
        "a trace shows what the answer repeats of the request's secrets",
        "value = secrets.hide(value)",
        "pass",
        SECRETS,
    ),
    Mutant(
        "a trace shows the cookies that an answer sets",
        "hidden = is_credential_field(name)",
        "hidden = False",
        SECRETS,
    ),
)
