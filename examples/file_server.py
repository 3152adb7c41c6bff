"""Takes files at /upload and serves one at /download: python3 -m examples.file_server FILE [PORT]

It is the server for `upload.py` and `download.py`; do not put it on a network.
"""

import sys
import threading

from syncws.testing import LoopbackServer

CONTINUATION, BINARY, CONTROL = 0, 2, 8  # opcodes; control frames have 8 and more


def serve(peer):
    if peer.accept().target == "/upload":
        size, last = 0, False
        while not last:
            frame = peer.recv_frame()
            if frame.opcode < CONTROL:
                size, last = size + len(frame.payload), frame.fin
        peer.send(f"{size} bytes received")
    else:
        with open(sys.argv[1], "rb") as file:
            peer.send_frame(BINARY, file.read(65536), fin=False)
            while chunk := file.read(65536):
                peer.send_frame(CONTINUATION, chunk, fin=False)
            peer.send_frame(CONTINUATION)
    peer.recv()  # until the client's Close, which is answered


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8767
    with LoopbackServer(serve, port=port, recording_limit=0) as server:
        print(f"files on {server.url}, Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
