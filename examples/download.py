"""Receives one message of any size into a file, in flat memory.

python3 -m examples.download ws://127.0.0.1:8767/download FILE
"""

import os
import sys

import syncws

if len(sys.argv) != 3:
    raise SystemExit(__doc__)
url, path = sys.argv[1:]
unfinished = path + ".part"
size = 0
# max_size bounds a message even when it comes in parts, so that no server can fill the disk unasked.
with syncws.connect(url, max_size=None) as connection, open(unfinished, "wb") as file:
    for part in connection.recv_streaming(timeout=60):
        data = part.encode() if isinstance(part, str) else part
        size += file.write(data)
os.replace(unfinished, path)
print(f"{size} bytes in {path}")
