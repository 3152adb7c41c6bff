"""``syncws echo``: a server on this machine that sends every message back, to try a client with.

Owns: the server. Runs on: the main thread waits, the server has threads of its own. Must not import: the
engine.
"""

from __future__ import annotations

import contextlib
import threading

from ..testing import LoopbackServer
from ..testing.certificates import can_make_certificates
from . import values
from .arguments import Parser
from .console import Console
from .statuses import Status, describe


def echo_parser(prog: str = "syncws") -> Parser:
    parser = Parser(
        prog=f"{prog} echo",
        usage=f"{prog} echo [options]",
        description="An echo server on this machine, for trying; not for a network.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-p", "--port", type=values.port, default=8765, metavar="PORT", help="8765; 0: a free one"
    )
    parser.add_argument("--tls", action="store_true", help="wss, with a certificate that is made just now")
    return parser


def run_echo(given: list[str], prog: str) -> int:
    """Serve until a signal ends it."""
    parser = echo_parser(prog)
    parsed = parser.parse_args(given)
    console = Console()
    with contextlib.ExitStack() as stack:
        if parsed.tls and not can_make_certificates():
            console.say("--tls needs trustme or openssl to make a certificate", "bad")
            return Status.USAGE
        try:
            server = LoopbackServer(port=parsed.port, tls=parsed.tls, recording_limit=0)
        except OSError as error:
            console.say(f"cannot listen on port {parsed.port}: {describe(error)}", "bad")
            return Status.NETWORK
        stack.callback(server.stop)
        ca = f"--ca {server.ca_file} " if parsed.tls else ""
        console.put_line(f"echoing on {server.url} (Ctrl-C ends it); try: {prog} {ca}{server.url}")
        threading.Event().wait()
    return Status.DONE
