"""Translations: from options of wscat, websocat and curl to ours, from the library's words to ours.

Owns: the tables. Runs on: the main thread. Must not import: sockets, the engine.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Options of wscat, websocat and curl, and our option that does the same.
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
    "-d": "-m TEXT",
    "--data": "-m TEXT",
    "--data-binary": "--file FILE",
    "-i": "-v",
    "--include": "-v",
    "-I": "--check",
    "--head": "--check",
    "-A": "-H 'User-Agent: NAME'",
    "--user-agent": "-H 'User-Agent: NAME'",
    "--output": "--save DIR, or > FILE",
    "--proxy-user": "--proxy http://USER:PASSWORD@HOST:PORT",
    "-E": "-n 0",
    "--exit-on-eof": "-n 0",
}

# Options of theirs without a counterpart here, and the reason.
NO_OPTION = {
    "--slash": "/ping and /close need none",
    "--passphrase": "it is asked for at the terminal",
    "--no-close": "a Close frame is always sent",
    "-X": "the request is always GET",
    "--request": "the request is always GET",
    **dict.fromkeys(("--tlsv1.2", "--tlsv1.3"), "TLS 1.2 is the least"),
}

# Errors of the library advise an argument; on the command line that is an option.
_OPTIONS = (
    (re.compile(r"\brequire_protocol=False\b"), "--any-subprotocol"),
    (re.compile(r"\ballow_blocked_port=True\b"), "--allow-blocked-port"),
    # In wscat, -x is followed by the message to send.
    (re.compile(r"the proxy \S+: cannot resolve .*", re.DOTALL), r"\g<0> (-x names a proxy; -m TEXT sends)"),
    (re.compile(r"\bca='file\.pem' or in an ssl_context\b"), "--ca file.pem"),
    (re.compile(r"\bserver_hostname= says\b"), "--server-name says"),
    (re.compile(r"\bmax_size=(?=\d)"), "--max-size "),
    (re.compile(r"\bmax_redirects=(?=\d)"), "--redirects "),
    (re.compile(r"\bwithout max_redirects=(?=\))"), "without --redirects N"),
    (re.compile(r": cert=(?=\))"), ": --cert FILE"),
    (re.compile(r"\bproxy='(?=http://user:password@host:port'\))"), "--proxy '"),
    (re.compile(r"\b(ping|close)_timeout=(?=\d)"), r"--\1-timeout "),
    # A time-out that an error names may be the rest of --timeout.
    (re.compile(r"\bopen_timeout=(?=\d)"), ""),
)


def unknown(given: Iterable[str], known: Iterable[str], wanted: str) -> str:
    """The error for arguments that the parser has left over; `known` are the names of its options."""
    name = next(iter(given)).partition("=")[0]  # The value may be a secret.
    if not name.startswith("-"):
        return f"{wanted} is wanted, and there is more"
    if name in NO_OPTION:
        return f"there is no option {name} ({NO_OPTION[name]})"
    meant = ELSEWHERE.get(name) or next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), "")
    return f"there is no option {name}" + (f" (did you mean {meant}?)" if meant else "")


def in_options(text: str) -> str:
    """The text of an error, in the words of the command line."""
    for words, option in _OPTIONS:
        text = words.sub(option, text)
    return text
