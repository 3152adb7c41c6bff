"""An echo server on loopback for trying things out: python3 -m examples.echo_server [PORT]

It is the server of `python3 -m syncws demo` and of the tests; do not put it on a network.
"""

import sys
import threading

from syncws.testing import LoopbackServer

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    with LoopbackServer(port=port, recording_limit=0) as server:
        print(f"echoing on {server.url}, Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
