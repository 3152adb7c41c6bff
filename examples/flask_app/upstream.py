"""Acknowledges ids and pushes news on loopback: python3 -m examples.flask_app.upstream [PORT]

It is the server for the Flask, Django and Celery examples; do not put it on a network.
"""

import itertools
import json
import sys
import threading

from syncws.testing import LoopbackServer, PeerClosed

visits = itertools.count(1)


def serve(peer):
    number = next(visits)
    peer.accept()
    print(f"connection {number} is open", flush=True)
    peer.send(json.dumps({"news": f"welcome, connection {number}"}))
    try:
        while True:
            id = json.loads(peer.recv())["id"]
            print(f"connection {number} sent {id}", flush=True)
            peer.send(json.dumps({"ack": id}))
    except PeerClosed as closed:
        print(f"connection {number} closed with {closed.code}", flush=True)
        raise


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8768
    with LoopbackServer(serve, port=port, recording_limit=0) as server:
        print(f"acknowledging on {server.url}, Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
