"""The optional C extension and the long description; all else about the package is in setup.cfg.

With `SYNCWS_SPEEDUPS=0` in the environment it is left out, and where it cannot be compiled the package is
built without it.
"""

import configparser
import os
import re
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).resolve().parent


def long_description() -> str:
    """The README. Where a package is listed, no files lie beside it, so its links name them in full."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(HERE / "setup.cfg", "utf-8")
    (source,) = re.findall(r"^Source = (.*)$", config["metadata"]["project_urls"], re.MULTILINE)
    (version,) = re.findall(r'__version__ = "(.*)"', (HERE / "syncws" / "_version.py").read_text("utf-8"))

    def in_full(link: re.Match[str]) -> str:
        kind = "raw" if link[1] == "!" else "blob"  # GitHub leads from a "blob" that is a folder to its list.
        return f"{link[1]}[{link[2]}]({source}/{kind}/{version}/{link[3]})"

    readme = (HERE / "README.md").read_text("utf-8")
    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)", in_full, readme)


# Free-threaded builds have no limited API. PyPy compiles the package's Python code itself, and calls of C are
# slow there.
wanted = os.environ.get("SYNCWS_SPEEDUPS") != "0" and sys.implementation.name == "cpython"
limited = wanted and not sysconfig.get_config_var("Py_GIL_DISABLED")

# Debugging symbols name the folder of the build: without them two wheels of one commit are the same to the
# byte. Whoever sets CFLAGS has flags of their own.
without_symbols = ["-g0"] if os.name == "posix" and "CFLAGS" not in os.environ else []

setup(
    long_description=long_description(),
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
