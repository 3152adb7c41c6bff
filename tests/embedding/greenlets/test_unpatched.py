"""A program that is not patched is not touched, also when it imports gevent or eventlet."""

from __future__ import annotations

import textwrap

from syncws.testing import LoopbackServer
from tests.embedding.greenlets.programs import skip_without
from tests.support.programs import run_silently

USE = """
    import sys, threading, warnings

    library, url = sys.argv[1:3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet warns that it is deprecated
        __import__(library)
        __import__({"gevent": "gevent.monkey", "eventlet": "eventlet.patcher"}[library])

    import select, selectors, socket, ssl, time
    modules = (select, selectors, socket, ssl, threading, time)
    before = [dict(vars(module)) for module in modules]

    import syncws

    idents = set()

    def on_message(event):
        idents.add(threading.get_native_id())
        event.target.close()

    ws = syncws.WebSocket(url, onopen=lambda event: event.target.send("hello"), onmessage=on_message)
    with syncws.connect(url) as connection:
        connection.send("hello")
        assert connection.recv(20) == "hello"
        readers = {thread.native_id for thread in threading.enumerate() if thread.name.endswith("-reader")}
        idents |= readers
    ws.join(20)
    # The reader of the one connection may be the thread that was the worker of the other: it takes that over.
    assert idents and threading.get_native_id() not in idents, "reader and worker are threads of the system"

    for module, names in zip(modules, before):
        now = vars(module)
        changed = [name for name in names if now.get(name) is not names[name] and not name.startswith("__")]
        assert not changed, (module, changed)
    if library == "gevent":
        from gevent import monkey
        patched = [module.__name__ for module in modules if monkey.is_module_patched(module.__name__)]
    else:
        from eventlet import patcher
        patched = [module.__name__ for module in modules if patcher.is_monkey_patched(module)]
    assert not patched, patched
"""

IMPORT = """
    import sys
    import syncws
    import syncws._transport.tls
    assert not [name for name in sys.modules if name.partition(".")[0] in ("gevent", "eventlet", "greenlet")]
"""


def test_nothing_is_patched_and_the_threads_are_real(library: str) -> None:
    skip_without(library)
    with LoopbackServer() as server:
        run_silently("-c", textwrap.dedent(USE), library, server.url)


def test_neither_library_is_imported() -> None:
    run_silently("-c", textwrap.dedent(IMPORT))
