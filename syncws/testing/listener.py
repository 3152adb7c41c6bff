"""A listening socket on loopback and the thread that accepts from it.

Owns: the listener, from its creation until `stop`. Runs on: one daemon thread. Must not import: anything of
the package.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable

# How many seconds to wait after a failed accept(): without a free descriptor it would fail again at once.
_PAUSE = 0.05


class Listener:
    """Accepts connections and hands each to ``serve``, which must not block.

    Attributes:
        host: the address, IPv4 loopback.
        port: the port, chosen by the system where 0 was asked for.
    """

    def __init__(
        self,
        serve: Callable[[socket.socket], None],
        *,
        host: str,
        port: int,
        receive_buffer: int | None = None,
    ) -> None:
        if not host.startswith("127."):
            raise ValueError(f"host {host!r} is not an IPv4 loopback address")
        self._serve = serve
        self._stopped = threading.Event()
        self.host: str = host
        # Every descriptor is made here, so that without free ones this constructor fails, not the thread.
        with contextlib.ExitStack() as resources:
            self._socket = resources.enter_context(socket.create_server((host, port), backlog=1024))
            self._socket.setblocking(False)
            # Accepted connections inherit this option.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer is not None:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.port: int = self._socket.getsockname()[1]
            # On Linux alone, shutdown() of a listening socket wakes accept(). The end of a socket pair does
            # so anywhere.
            self._wake, woken = map(resources.enter_context, socket.socketpair())
            self._selector = resources.enter_context(selectors.DefaultSelector())
            self._selector.register(self._socket, selectors.EVENT_READ)
            self._selector.register(woken, selectors.EVENT_READ)
            self.thread: threading.Thread = threading.Thread(
                target=self._run, name="syncws-loopback", daemon=True
            )
            self.thread.start()
            self._resources = resources.pop_all()

    def _run(self) -> None:
        while self._selector.select() and not self._stopped.is_set():
            try:
                connection = self._socket.accept()[0]
            except (BlockingIOError, ConnectionAbortedError):
                continue  # The client has gone again.
            except OSError:  # No descriptor or no memory is left, which may change.
                self._stopped.wait(_PAUSE)
                continue
            connection.settimeout(None)  # On BSD a connection inherits the listener's non-blocking mode.
            self._serve(connection)

    def stop(self, timeout: float) -> None:
        """Stop accepting and free the port; the thread ends within ``timeout`` seconds."""
        self._stopped.set()
        self._wake.close()
        self.thread.join(timeout)
        self._resources.close()
