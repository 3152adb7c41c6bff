"""Serves the Flask example with waitress: python3 -m examples.flask_app.waitress_server [PORT]"""

import signal
import sys

import waitress

from examples.flask_app.app import app


def end(number, frame):
    # waitress leaves SIGTERM to the system, which ends a process without a goodbye. SystemExit it knows: it
    # lets the requests in hand finish, and then Python closes the WebSocket as at every exit.
    raise SystemExit


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    server = waitress.create_server(app, host="127.0.0.1", port=port, threads=8)
    print(f"serving on http://127.0.0.1:{server.effective_port}/", flush=True)
    server.run()
