"""The logger ``syncws``, for errors that no caller and no listener gets.

Owns: the logger, and the fields of its records. Runs on: any thread. Must not import: anything of the
package but `_handler_errors`.

Records about one connection carry ``connection`` (such as ``syncws-3``, with which its threads' names begin)
and ``url``.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping

from ._handler_errors import pass_on

_logger = logging.getLogger("syncws")

#: The fields of a record besides its message: `extra` of the logging module.
Fields = Mapping[str, object]


def is_logged(level: int) -> bool:
    """Whether records of this level go anywhere."""
    return _logger.isEnabledFor(level)


def log(level: int, fields: Fields, message: str, *arguments: object, exc_info: bool = False) -> None:
    """Log a message.

    If logging itself fails (a filter of the program may raise), `threading.excepthook` is called with that
    exception and, as its context, the one that was being logged. The thread goes on, since others wait for
    it.
    """
    try:
        _logger.log(level, message, *arguments, extra=fields, exc_info=exc_info)
    except Exception as error:
        pass_on(error)
        hook = threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
        threading.excepthook(hook)


def log_warning(fields: Fields, message: str, *arguments: object) -> None:
    """Log a warning."""
    log(logging.WARNING, fields, message, *arguments)


def log_exception(fields: Fields, message: str, *arguments: object) -> None:
    """Log the exception that is being handled, with its traceback."""
    log(logging.ERROR, fields, message, *arguments, exc_info=True)
