"""Fifty connections at once in one program that gevent has patched: a greenlet each, and not a thread.

python3 -m examples.gevent_clients ws://127.0.0.1:8765/
"""

import gevent.monkey

gevent.monkey.patch_all()  # before all other imports, so that waiting in them lets other greenlets run

import sys  # noqa: E402

import gevent  # noqa: E402

import syncws  # noqa: E402


def talk(number):
    with syncws.connect(sys.argv[1]) as connection:
        for word in ("hello", "how are you", "goodbye"):
            connection.send(f"{word}, says {number}")
            said = connection.recv(timeout=10)
            if said != f"{word}, says {number}":
                return False
    return True


def tick():
    while True:
        ticks.append(len(ticks))
        gevent.sleep(0.001)


if len(sys.argv) != 2:
    raise SystemExit(__doc__)
ticks = []
ticker = gevent.spawn(tick)  # it runs while the others wait for the network
clients = [gevent.spawn(talk, number) for number in range(50)]
gevent.joinall(clients, raise_error=True)
ticker.kill()
echoed = sum(client.value for client in clients)
print(f"{echoed} of {len(clients)} clients heard their own words")
print("other greenlets ran meanwhile" if len(ticks) > 1 else "nothing else ran meanwhile")
