"""The client under test: an echo client with either API of syncws.

    python compliance/client.py API URL AGENT [CA]

Asks the fuzzing server at URL for its number of cases, runs them one after the other, and has the reports
written. Prints a line for each case that takes over a second, and says when it is done.
"""

from __future__ import annotations

import ssl
import sys
import time
from pathlib import Path
from typing import Any

# From the checkout, with nothing installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import syncws

# The largest messages of the suite are 16 MiB; a case of the compression groups runs for minutes.
OPTIONS = {"max_size": 64 * 2**20}
SECONDS_PER_CASE = 600


def talk_by_callbacks(url: str, echo: bool, **options: Any) -> list[str | bytes]:
    received: list[str | bytes] = []

    def on_message(event: syncws.MessageEvent) -> None:
        if echo:
            ws.send(event.data)
        else:
            received.append(event.data)

    ws = syncws.WebSocket(url, onmessage=on_message, **options)
    ws.join(SECONDS_PER_CASE)
    return received


def talk_by_blocking(url: str, echo: bool, **options: Any) -> list[str | bytes]:
    received: list[str | bytes] = []
    with syncws.connect(url, **options) as connection:
        try:
            while True:
                message = connection.recv(SECONDS_PER_CASE)
                if echo:
                    connection.send(message)
                else:
                    received.append(message)
        except syncws.ConnectionClosed:
            return received


def main() -> None:
    api, url, agent = sys.argv[1:4]
    talk = {"callback": talk_by_callbacks, "blocking": talk_by_blocking}[api]
    options: dict[str, Any] = dict(OPTIONS)
    if len(sys.argv) > 4:
        options["ssl_context"] = ssl.create_default_context(cafile=sys.argv[4])
    count = int(talk(f"{url}/getCaseCount", echo=False, **options)[0])
    for number in range(1, count + 1):
        began = time.monotonic()
        talk(f"{url}/runCase?case={number}&agent={agent}", echo=True, **options)
        seconds = time.monotonic() - began
        if seconds > 1:
            print(f"case {number} of {count} took {seconds:.1f} s", flush=True)
    talk(f"{url}/updateReports?agent={agent}", echo=False, **options)
    print(f"{count} cases done", flush=True)


if __name__ == "__main__":
    main()
