"""Streams a text file line by line to an echo server and compares every line that comes back."""

import argparse
import ssl
import threading
import time

from syncws import WebSocket

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("url")
parser.add_argument("file")
parser.add_argument("--ca", help="PEM file of a private certificate authority")
args = parser.parse_args()
with open(args.file, encoding="utf-8", newline="") as file:
    lines = file.readlines()

settled = threading.Event()  # open, or closed without having been open
received = changed = 0


def on_message(event):
    global received, changed
    changed += event.data != lines[received]
    received += 1
    if received == len(lines):
        event.target.close()  # every echo is here


def on_close(event):
    print("closed:", event.code, event.reason)
    settled.set()


with WebSocket(
    args.url,
    onopen=lambda event: settled.set(),
    onmessage=on_message,
    onerror=lambda event: print("error:", event.message),
    onclose=on_close,
    ssl_context=ssl.create_default_context(cafile=args.ca),  # without --ca: the system's authorities
) as ws:
    settled.wait()
    for line in lines:
        while ws.bufferedAmount > 1_000_000 and ws.readyState == WebSocket.OPEN:
            time.sleep(0.001)  # the network is slower than the file
        if ws.readyState != WebSocket.OPEN:
            break  # closed early: send() would drop the line
        ws.send(line)
    if lines:
        ws.join(timeout=60)  # on_message, the server or a failure closes it

print(f"{received} of {len(lines)} lines came back, {changed} of them changed")
raise SystemExit(received != len(lines) or changed > 0)
