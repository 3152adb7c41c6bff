"""Modules that are imported when they are first used.

Owns: which threads are importing one. Runs on: the caller's thread. Must not import: anything of the package.

Many programs import `syncws` and do not connect, or not yet. So only the classes, the signatures and the
exceptions are imported at once, and the engine comes with the first connection.

The constructor of that connection imports all of it, on the caller's thread. A thread of ours that imported
something might do so while another thread forks: the child would find that module half imported for ever.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

_imported: set[str] = set()
_importing: set[int] = set()  # the identifiers of the threads that are importing a module


class Later:
    """Stands for a module, which is imported when one of its attributes is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if self._name not in _imported:
            self._import()
        return getattr(sys.modules[self._name], name)

    def _import(self) -> None:
        thread = threading.get_ident()
        if thread in _importing:
            # Python would return the module while it is only half imported.
            raise RuntimeError(
                "a signal handler or a finalizer used syncws in the middle of its import for the first "
                "connection; `from syncws import Connection, ReconnectingWebSocket` imports all beforehand"
            )
        _importing.add(thread)
        try:
            __import__(self._name)
        finally:
            _importing.discard(thread)
        _imported.add(self._name)
