"""What the tests of memory share: the client, which runs in a process of its own, and its limit."""

from __future__ import annotations

import subprocess

from syncws.testing import Peer
from tests.support.programs import spawn

# Above idle, with max_size at its default of 16 MiB.
LIMIT_KB = 60 * 1024


def run_client(api: str, url: str, options: str, *flags: str) -> subprocess.Popen[str]:
    return spawn("-m", "tests.hostile.memory_client", api, url, options, *flags)


def greet(peer: Peer) -> None:
    """What goes before each attack: the client is open, warm, and has noted its memory."""
    peer.accept(extensions="permessage-deflate")
    peer.send("hello")
    assert peer.recv() == "begin"
