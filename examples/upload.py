"""Uploads a file as one message, in flat memory, with a progress bar.

python3 -m examples.upload ws://127.0.0.1:8767/upload FILE
"""

import os
import sys

import syncws

CHUNK = 64 * 1024
WIDTH = 40


def show(sent, size):
    done = sent / size if size else 1.0
    print(f"\r[{'#' * int(done * WIDTH):<{WIDTH}}] {done:4.0%}", end="", file=sys.stderr, flush=True)


def chunks(file, size, connection):
    yield file.read(CHUNK)
    while chunk := file.read(CHUNK):
        yield chunk
        show(file.tell() - connection.bufferedAmount, size)  # bytes read, minus those that wait to be sent


if len(sys.argv) != 3:
    raise SystemExit(__doc__)
url, path = sys.argv[1:]
with syncws.connect(url) as connection, open(path, "rb") as file:
    size = os.fstat(file.fileno()).st_size
    connection.send(chunks(file, size, connection))
    connection.flush()
    show(size, size)
    print(file=sys.stderr)
    print("the server says:", connection.recv(timeout=60))
