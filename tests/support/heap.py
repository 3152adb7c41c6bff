"""Whether this interpreter's memory comes from glibc's heap, and how much of it the system makes anew."""

from __future__ import annotations

import platform
import sys
import sysconfig

from tests.support.programs import run_silently

IS_GLIBC = (
    sys.implementation.name == "cpython"
    and platform.libc_ver()[0] == "glibc"
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
)
WHY_NOT = "only CPython with the interpreter's lock takes its memory from glibc's heap"

_MEASURE = """
import resource

def measure():
    once()
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    size = once()
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun
    print(pages * resource.getpagesize() / size)

measure()
"""


def share_made_anew(program: str) -> float:
    """The share of memory that the system has to make anew, at a second call of `once`.

    `program` defines `once()`, which uses memory for a while and returns how many bytes it was. It runs in a
    process of its own, since one large block that is freed changes the whole process.
    """
    return float(run_silently("-c", program + _MEASURE))
