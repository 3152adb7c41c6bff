"""The optional C extension; all else about the package is in setup.cfg.

With `SYNCWS_SPEEDUPS=0` in the environment it is left out, and where it cannot be compiled the package is
built without it.
"""

import os
import sys
import sysconfig

from setuptools import Extension, setup

# Free-threaded builds have no limited API. PyPy compiles the package's Python code itself, and calls of C are
# slow there.
wanted = os.environ.get("SYNCWS_SPEEDUPS") != "0" and sys.implementation.name == "cpython"
limited = wanted and not sysconfig.get_config_var("Py_GIL_DISABLED")

# Debugging symbols name the folder of the build: without them two wheels of one commit are the same to the
# byte. Whoever sets CFLAGS has flags of their own.
without_symbols = ["-g0"] if os.name == "posix" and "CFLAGS" not in os.environ else []

setup(
    ext_modules=[
        Extension(
            "syncws._protocol._speedups",
            ["syncws/_protocol/_speedups.c"],
            define_macros=[("Py_LIMITED_API", "0x030A0000")] if limited else [],
            extra_compile_args=without_symbols,
            py_limited_api=limited,
            optional=True,
        )
    ]
    if wanted
    else [],
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if limited else {},
)
