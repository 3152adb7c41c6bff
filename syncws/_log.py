"""The logger ``syncws``: quiet unless something is wrong that nobody else can be told of.

Owns: the logger, and the fields of its records. Runs on: any thread. Must not import: anything of the
package.

Records about one connection carry ``connection`` (such as ``syncws-3``, with which its threads' names begin)
and ``url``.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping

logger = logging.getLogger("syncws")

#: What a record carries besides its message: `extra` of the logging module.
Fields = Mapping[str, object]


def log_exception(fields: Fields, message: str, *arguments: object) -> None:
    """Log the exception that is being handled, with its traceback.

    Where logging itself fails, `threading.excepthook` is told of both; the thread goes on, as others wait
    for it.
    """
    try:
        logger.exception(message, *arguments, extra=fields)
    except Exception:
        hook = threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
        threading.excepthook(hook)
