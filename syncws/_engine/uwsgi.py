"""uWSGI: whether it lets the threads of an application run.

Owns: one question and its error. Runs on: the caller's thread. Must not import: anything of the package.
"""

from __future__ import annotations

import sys


def check_threads() -> None:
    """Raise `RuntimeError` inside a uWSGI that gives threads no time; do nothing anywhere else.

    Without this a connection would hang: up to uWSGI 2.0.25 threads stand still between two requests, unless
    there is ``--enable-threads``.
    """
    # The server puts its module there before it imports an application, and no other process has one.
    # Not `uwsgi.opt`, which says what was asked for: --threads implies it, and later versions always do it.
    if getattr(sys.modules.get("uwsgi"), "has_threads", 1):
        return
    # With --gevent-monkey-patch a thread is a greenlet, which needs no time of its own.
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return
    raise RuntimeError("uWSGI was started without --enable-threads: the threads of a connection cannot run")
