"""A chat in ten lines: what is typed goes out, what arrives is printed; the end of the input leaves.

python3 -m examples.chat ws://127.0.0.1:8765/
"""

import sys
import threading

import syncws


def show(connection):
    for message in connection:
        print(message, flush=True)


with syncws.connect(sys.argv[1]) as connection:
    printer = threading.Thread(target=show, args=(connection,))
    printer.start()
    for line in sys.stdin:
        connection.send(line.rstrip("\n"))
printer.join()
