"""Every option of the command line, as one table.

Owns: the table. Runs on: the main thread. Must not import: the connection.

An option that sets a keyword of `syncws.connect` names it in `keyword`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import values

SENT = "what is sent"
PRINTED = "what is printed"
DONE = "when it is done"
REQUEST = "the request"
TLS = "TLS"
WAY = "the way to the server"
LINK = "the connection"
LOOKING = "looking into it"
GROUPS = (SENT, PRINTED, DONE, REQUEST, TLS, WAY, LINK, LOOKING)

# Values whose completion is the name of a file.
FILES = ("FILE", "PATH")
FOLDERS = ("DIR",)


@dataclass(frozen=True)
class Flag:
    """One option: its names, its arguments for `argparse`, and the keyword of `connect` that it sets.

    A `direct` one is passed to `connect` as it is.
    """

    group: str
    names: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    keyword: str = ""
    direct: bool = False


def _flag(group: str, *names: str, keyword: str = "", direct: bool = False, **settings: Any) -> Flag:
    if direct:
        settings["dest"] = keyword
    return Flag(group, names, settings, keyword, direct)


def _switch(group: str, *names: str, keyword: str = "", **settings: Any) -> Flag:
    settings.setdefault("action", "store_true")
    return _flag(group, *names, keyword=keyword, **settings)


FLAGS = (
    _flag(
        SENT, "-m", "--message", action="append", metavar="TEXT", help="send this, not stdin; may be repeated"
    ),
    _flag(
        SENT,
        "-f",
        "--file",
        action="append",
        metavar="FILE",
        help="send a file as one binary message, of any size; may be repeated; - is the whole of stdin",
    ),
    _switch(SENT, "-t", "--text", help="send the files of --file as text"),
    _switch(
        SENT,
        "-b",
        "--binary",
        action="store_const",
        dest="encoding",
        const="binary",
        help="send each line as a binary message, whatever bytes it has",
    ),
    _switch(
        SENT,
        "--hex",
        action="store_const",
        dest="encoding",
        const="hex",
        help="lines are hexadecimal digits of binary messages, and binary messages are printed so",
    ),
    _switch(
        SENT,
        "--base64",
        action="store_const",
        dest="encoding",
        const="base64",
        help="the same in base64",
    ),
    _switch(SENT, "-0", "--null", help="messages end with a zero byte, in and out: they may hold line ends"),
    _switch(
        SENT,
        "-l",
        "--listen",
        help="send nothing but what --message gives and leave stdin alone, until the server closes; with "
        "--reconnect each connection begins with these messages",
    ),
    _switch(
        PRINTED,
        "-j",
        "--jsonl",
        help="one JSON object for each event: time, kind, type, size, data (binary in base64)",
    ),
    _switch(PRINTED, "--pretty", help="messages that are JSON are printed over several lines"),
    _flag(
        PRINTED,
        "--save",
        metavar="DIR",
        help="each message becomes a file in this folder, which is made if need be, and its name is printed",
    ),
    _flag(
        PRINTED,
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="auto: on a terminal, unless NO_COLOR is set",
    ),
    _switch(
        PRINTED, "-q", "--quiet", help="nothing on stderr, and no line of --check: the exit status tells"
    ),
    _flag(
        DONE,
        "-n",
        "--count",
        type=values.count,
        metavar="N",
        help="end after N messages (0: when all is sent), however many lines there were",
    ),
    _switch(DONE, "-1", "--one", action="store_const", dest="count", const=1, help="the same as -n 1"),
    _flag(
        DONE,
        "-e",
        "--expect",
        type=values.pattern,
        metavar="REGEX",
        help="end after the first text message in which this is found",
    ),
    _flag(
        DONE,
        "-w",
        "--wait",
        type=values.seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long to wait for answers once all is sent (10)",
    ),
    _flag(
        DONE,
        "--timeout",
        type=values.seconds,
        metavar="SECONDS",
        help="end after this time in all, connecting included",
    ),
    _flag(
        REQUEST,
        "-H",
        "--header",
        type=values.headers,
        action="append",
        metavar="'NAME: VALUE'",
        help="a header; may be repeated; @FILE reads them from a file, out of sight of other users",
    ),
    _flag(
        REQUEST,
        "-s",
        "--subprotocol",
        action="append",
        metavar="NAME",
        help="ask for a subprotocol; may be repeated",
    ),
    _flag(REQUEST, "-o", "--origin", keyword="origin", direct=True, help="the Origin header"),
    _flag(
        REQUEST,
        "-u",
        "--auth",
        metavar="USER[:PASSWORD]",
        help="Basic authorization; without a password it is asked for",
    ),
    _flag(
        REQUEST,
        "--cookies",
        keyword="cookies",
        metavar="FILE",
        help="send the cookies of this file (Netscape's format), and store in it what the server sets",
    ),
    _flag(
        REQUEST,
        "-L",
        "--redirects",
        keyword="max_redirects",
        direct=True,
        type=values.count,
        metavar="N",
        help="follow up to N redirects",
    ),
    _switch(
        REQUEST,
        "--any-subprotocol",
        keyword="require_protocol",
        help="go on where the server selects no subprotocol",
    ),
    _switch(
        REQUEST,
        "--allow-blocked-port",
        keyword="allow_blocked_port",
        direct=True,
        help="allow a port that browsers block",
    ),
    _flag(TLS, "--ca", metavar="PATH", help="a file or folder of authorities, in the place of the system's"),
    _flag(TLS, "--cert", metavar="FILE", help="a client's certificate (PEM)"),
    _flag(TLS, "--key", metavar="FILE", help="its key, if that is in another file"),
    _flag(
        TLS,
        "--server-name",
        keyword="server_hostname",
        direct=True,
        metavar="NAME",
        help="the name that the certificate must be for",
    ),
    _switch(TLS, "-k", "--insecure", help="do not verify the certificate: anybody may read and answer"),
    _flag(
        WAY,
        "-x",
        "--proxy",
        keyword="proxy",
        metavar="URL",
        help="a proxy, or none; the default is that of the environment",
    ),
    _flag(WAY, "--unix", keyword="unix", direct=True, metavar="PATH", help="connect to a Unix socket"),
    _switch(
        WAY,
        "-4",
        "--ipv4",
        keyword="family",
        action="store_const",
        dest="family",
        const=4,
        help="IPv4 alone",
    ),
    _switch(
        WAY,
        "-6",
        "--ipv6",
        keyword="family",
        action="store_const",
        dest="family",
        const=6,
        help="IPv6 alone",
    ),
    _flag(
        WAY,
        "--connect-to",
        type=values.host_and_port,
        metavar="HOST:PORT",
        help="connect there; the request and the certificate are still for the URL's host",
    ),
    _flag(
        WAY,
        "--resolve",
        type=values.resolution,
        action="append",
        metavar="HOST:PORT:ADDRESS",
        help="the address of this host and port, in the place of the name service's",
    ),
    _flag(
        LINK,
        "--ping",
        keyword="ping_interval",
        direct=True,
        type=values.seconds,
        default=20.0,
        metavar="SECONDS",
        help="between pings that keep the link alive (20; none or 0: no pings)",
    ),
    _flag(
        LINK,
        "--ping-timeout",
        keyword="ping_timeout",
        direct=True,
        type=values.seconds,
        default=20.0,
        metavar="SECONDS",
        help="without a sign of life the link counts as lost (20)",
    ),
    _flag(
        LINK,
        "--open-timeout",
        keyword="open_timeout",
        direct=True,
        type=values.seconds,
        default=10.0,
        metavar="SECONDS",
        help="for name, TCP, TLS and the handshake together (10)",
    ),
    _flag(
        LINK,
        "--close-timeout",
        keyword="close_timeout",
        direct=True,
        type=values.seconds,
        default=3.0,
        metavar="SECONDS",
        help="for the server's Close, once all is sent (3)",
    ),
    _flag(
        LINK,
        "--max-size",
        keyword="max_size",
        direct=True,
        type=values.size,
        default=16 * 2**20,
        metavar="BYTES",
        help="the largest message that is taken (16M)",
    ),
    _switch(LINK, "--no-compression", help="do not offer permessage-deflate"),
    _switch(LINK, "-r", "--reconnect", help="come back after a loss, with growing pauses"),
    _flag(
        LINK,
        "--max-pause",
        type=values.seconds,
        default=60.0,
        metavar="SECONDS",
        help="with --reconnect: the longest pause between two attempts (60)",
    ),
    _switch(
        LOOKING,
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="the steps and the heads, secrets masked; twice: the frames too",
    ),
    _switch(LOOKING, "--timings", help="at the end, how long each step took"),
    _switch(
        LOOKING,
        "--show-control",
        keyword="trace",
        help="show the pings and pongs that arrive",
    ),
    _flag(
        LOOKING,
        "--har",
        keyword="trace",
        metavar="FILE",
        help="record the connection for the network view of a browser",
    ),
    _switch(
        LOOKING, "--check", help="connect, ping, close; one line and a status, for monitoring; sends nothing"
    ),
)
