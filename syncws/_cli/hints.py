"""Translations: from options of wscat, websocat and curl to ours, from the library's words to ours.

Owns: the tables. Runs on: the main thread. Must not import: sockets, the engine.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from .._exceptions import SecurityErr

# What people know from wscat, websocat and curl, and what does the same here.
ELSEWHERE = {
    "-c": "the URL alone",
    "--connect": "the URL alone",
    "--execute": "-m TEXT",
    "--no-check": "--insecure",
    "--no-color": "--color never",
    "--location": "-L 10",
    "--max-redirects": "-L N",
    "-P": "--show-control",
    "--show-ping-pong": "--show-control",
    "--host": "-H 'Host: NAME'",
    "--server-mode": "syncws echo --port PORT",
    "--one-message": "-1",
    "--max-messages": "-n N",
    "--protocol": "-s NAME",
    "--ping-interval": "--ping SECONDS",
    "--print-ping-rtts": "--show-control, or --check",
    "--basic-auth": "--auth USER:PASSWORD",
    "--buffer-size": "--max-size BYTES",
    "-B": "--max-size BYTES",
    "--tls-domain": "--server-name NAME",
    "--socks5": "--proxy socks5h://HOST:PORT",
    "--null-terminated": "--null",
    "--cacert": "--ca FILE",
    "--user": "--auth USER:PASSWORD",
    "--cookie": "--cookies FILE, or -H 'Cookie: NAME=VALUE'",
    "--cookie-jar": "--cookies FILE",
    "--connect-timeout": "--open-timeout SECONDS",
    "--max-time": "--timeout SECONDS",
    "--unix-socket": "--unix PATH",
}

# Errors of the library advise an argument; on the command line that is an option.
_OPTIONS = (
    (re.compile(r"\brequire_protocol=False\b"), "--any-subprotocol"),
    (re.compile(r"\bca='file\.pem' or in an ssl_context\b"), "--ca file.pem"),
    (re.compile(r"\bserver_hostname= says\b"), "--server-name says"),
    (re.compile(r"\bmax_size=(?=\d)"), "--max-size "),
    (re.compile(r"\bmax_redirects=(?=\d)"), "--redirects "),
    (re.compile(r"\b(ping|close)_timeout=(?=\d)"), r"--\1-timeout "),
    # A time-out that an error names may be the rest of --timeout.
    (re.compile(r"\bopen_timeout=(?=\d)"), ""),
)


def unknown(given: Iterable[str], known: Iterable[str]) -> str:
    """The error for arguments that the parser has left over; `known` are the names of its options."""
    name = next(iter(given)).partition("=")[0]  # the value may be a secret
    if not name.startswith("-"):
        return "one URL is wanted, and there is more"
    meant = ELSEWHERE.get(name) or next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), "")
    return f"there is no option {name}" + (f" (did you mean {meant}?)" if meant else "")


def in_options(text: str, error: BaseException | None = None) -> str:
    """The text of an error, in the words of the command line."""
    for words, option in _OPTIONS:
        text = words.sub(option, text)
    return f"{text}; --allow-blocked-port allows it" if isinstance(error, SecurityErr) else text
