"""A WebSocket in an asyncio program: its events are called back in the event loop, and no lock is needed.

python3 -m examples.asyncio_bridge ws://127.0.0.1:8765/
"""

import asyncio
import sys

from syncws import WebSocket


class Bridge:
    """A connection whose messages can be awaited."""

    def __init__(self, url, **options):
        loop = asyncio.get_running_loop()
        self.opened = loop.create_future()
        self.messages = asyncio.Queue()
        # Each batch of callbacks is scheduled in the loop, and the next one only when that is done: so
        # the order is kept, and a loop that is busy slows the server down instead of filling the queue.
        self.ws = WebSocket(
            url,
            onopen=self._on_open,
            onmessage=lambda event: self.messages.put_nowait(event.data),
            onerror=self._on_error,
            onclose=lambda event: self.messages.put_nowait(None),
            dispatch=loop.call_soon_threadsafe,
            **options,
        )

    def _on_open(self, event):
        self.opened.set_result(None)

    def _on_error(self, event):
        if not self.opened.done():
            self.opened.set_exception(event.error)

    async def __aiter__(self):
        while (message := await self.messages.get()) is not None:
            yield message


async def main(url):
    bridge = Bridge(url)
    await bridge.opened
    for number in range(3):
        bridge.ws.send(f"message {number}")
    count = 0
    async for message in bridge:
        print("received", message, "in the thread of the event loop")
        count += 1
        if count == 3:
            bridge.ws.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    asyncio.run(main(sys.argv[1]))
