"""Serves prices on loopback, loses every client but each third: python3 -m examples.market_server [PORT]

It is the server for `market_data.py`; do not put it on a network.
"""

import itertools
import json
import random
import sys
import threading

from syncws.testing import LoopbackServer

visits = itertools.count(1)


def serve(peer):
    peer.accept()
    symbols = json.loads(peer.recv())["subscribe"]
    for _ in range(5):
        for symbol in symbols:
            peer.send(json.dumps({"symbol": symbol, "price": round(random.uniform(90, 110), 2)}))
        peer.closing.wait(0.02)
    if next(visits) % 3 == 0:
        peer.close(1000, "closing time")
    else:
        peer.cut()  # the link is lost: the connection ends without a Close frame


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8766
    with LoopbackServer(serve, port=port, recording_limit=0) as server:
        print(f"prices on {server.url}, Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
