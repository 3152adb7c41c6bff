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

_logger = logging.getLogger("syncws")

#: What a record carries besides its message: `extra` of the logging module.
Fields = Mapping[str, object]


def log(level: int, fields: Fields, message: str, *arguments: object, exc_info: bool = False) -> None:
    """Log a message.

    Where logging itself fails, as a filter of the program's may, `threading.excepthook` is told of that, and
    of the exception that was to be logged; the thread goes on, as others wait for it.
    """
    try:
        _logger.log(level, message, *arguments, extra=fields, exc_info=exc_info)
    except Exception:
        hook = threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
        threading.excepthook(hook)


def log_exception(fields: Fields, message: str, *arguments: object) -> None:
    """Log the exception that is being handled, with its traceback."""
    log(logging.ERROR, fields, message, *arguments, exc_info=True)
