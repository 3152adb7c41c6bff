"""The types of the options, which signatures name.

Owns: nothing. Runs on: the caller's thread. Must not import: any large module; `import syncws` imports this
one, but not the modules that check the options.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..._later import Later

if TYPE_CHECKING:
    import socket as socket
    import ssl as ssl
    from http import cookiejar as cookiejar

    from .. import trace_record as trace_record
else:
    # Annotations name these modules; they are imported only when an annotation is evaluated.
    ssl, socket, cookiejar = Later("ssl"), Later("socket"), Later("http.cookiejar")
    trace_record = Later("syncws._engine.trace_record")

#: The type of `headers=`.
HeadersLike: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
#: The type of `max_queue=`: bytes, (bytes, messages), or None for no limit.
QueueLimit: TypeAlias = int | tuple[int | None, int | None] | None
#: The type of `ca=`, and of each part of `cert=`.
FilePath: TypeAlias = str | os.PathLike[str]
#: The type of `unix=`.
UnixPath: TypeAlias = str | bytes | os.PathLike[str]
#: The type of `socket_options=`: (level, name, value), as for `socket.setsockopt`.
SocketOptions: TypeAlias = Sequence[tuple[int, int, int | bytes]]
#: The type of `dispatch=`: it schedules a callable of no arguments on the user's own thread.
Dispatch = Callable[[Callable[[], None]], object]

#: High enough that a burst is taken off the network in large reads, low enough that a consumer that
#: stands still costs a few MiB.
DEFAULT_QUEUE = (4 * 2**20, 16384)
