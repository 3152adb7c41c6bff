"""Sends one message to an echo server: python3 -m examples.echo_client ws://127.0.0.1:8765/"""

import sys

from syncws import WebSocket


def on_message(event):
    print("received", event.data)
    event.target.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    ws = WebSocket(sys.argv[1], onopen=lambda event: event.target.send("hello"), onmessage=on_message)
    ws.join()
