"""Builds what is released, installs each into an environment of its own, and has it send and receive.

    python -m tests.repository.packages FOLDER

Three kinds: the sdist, a wheel with the extension for this platform, and a wheel of pure Python, which serves
all others. The sdist must install with a compiler, where it brings the extension, and without one.
"""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Run by the installed package, outside of the checkout.
TRIAL = """
import sys
import syncws
from syncws.testing import LoopbackServer

expected = None if sys.argv[1] == "None" else sys.argv[1]
assert syncws.__file__.startswith(sys.prefix), syncws.__file__
assert syncws.speedups == expected, (syncws.speedups, expected)
with LoopbackServer() as server:
    with syncws.connect(f"ws://127.0.0.1:{server.port}/") as connection:
        for size in (0, 1, 125, 126, 5000, 65536, 1_000_000):
            for message in ("x" * size, b"y" * size):
                connection.send(message)
                assert connection.recv(60) == message
print("tried", syncws.__version__, "with", syncws.speedups)
"""


def run(*command: object, **variables: str) -> None:
    print("+", *(f"{name}={value}" for name, value in variables.items()), *command, flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "SYNCWS_SPEEDUPS"}
    subprocess.run([str(part) for part in command], check=True, env=environment | variables)


def try_out(package: Path, folder: Path, expected: str | None, **variables: str) -> None:
    """Install `package` into a new environment in `folder`, without any other, and run the trial there."""
    run(sys.executable, "-m", "venv", "--clear", folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", package, **variables)
    subprocess.run([python, "-I", "-c", TRIAL, str(expected)], check=True, cwd=folder)


def check_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "syncws/_protocol/_speedups.c", "syncws/_protocol/_speedups.pyi"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyd", ".o"))]


def check_wheel(wheel: Path, tag: str, binaries: int) -> None:
    """Hold that the wheel has the tag, and all modules, and so many binaries."""
    assert re.fullmatch(rf"syncws-[\w.]+-{tag}\.whl", wheel.name), wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert len([name for name in names if name.endswith((".so", ".pyd"))]) == binaries, wheel.name
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "syncws").rglob("*.py")}
    assert modules | {"syncws/py.typed", "syncws/_protocol/_speedups.pyi"} <= names
    assert not [name for name in names if name.endswith(".c")]


def check_links(wheel: Path) -> None:
    """Hold that the README's links lead to files of this checkout from wherever the package is listed."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    assert {"Documentation", "Source", "Changelog", "Issues"} <= urls.keys()
    links = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert len(links) > 20
    for link in links:
        where = re.fullmatch(rf"{re.escape(urls['Source'])}/(?:blob|raw)/{metadata['Version']}/(.+)", link)
        assert where is not None and (ROOT / where[1]).exists(), link


def check_same_again(wheels: list[Path], sdist: Path, folder: Path, **variables: str) -> None:
    """Hold that another build, for which pip takes another folder, gives the same wheels to the byte."""
    for speedups in ("", "0"):
        chosen = {"SYNCWS_SPEEDUPS": speedups} if speedups else {}
        run(*pip_wheel(sdist, folder), **variables, **chosen)
    for wheel in wheels:
        assert wheel.read_bytes() == (folder / wheel.name).read_bytes(), f"{wheel.name} differs"


def pip_wheel(sdist: Path, folder: Path) -> list[object]:
    return [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, sdist]


def main(folder: Path) -> None:
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    again = folder / "packages-again"
    again.mkdir(exist_ok=True)
    for old in [*packages.iterdir(), *again.iterdir()]:
        old.unlink()
    when = {"SOURCE_DATE_EPOCH": "1700000000"}
    # Built from the sdist both times, as installers do.
    run(sys.executable, "-m", "build", "--sdist", "--outdir", packages, ROOT)
    (sdist,) = packages.glob("*.tar.gz")
    check_sdist(sdist)
    run(*pip_wheel(sdist, packages), **when)
    (fast,) = packages.glob("*.whl")
    check_wheel(fast, r"cp310-abi3-\w+", 1)
    run(*pip_wheel(sdist, packages), SYNCWS_SPEEDUPS="0", **when)
    (pure,) = set(packages.glob("*.whl")) - {fast}
    check_wheel(pure, "py3-none-any", 0)
    check_links(pure)
    check_same_again([fast, pure], sdist, again, **when)
    run(sys.executable, "-m", "twine", "check", "--strict", *packages.iterdir())
    try_out(fast, folder / "wheel", "c")
    try_out(pure, folder / "pure-wheel", None)
    try_out(sdist, folder / "sdist", "c", PIP_NO_CACHE_DIR="1")
    try_out(sdist, folder / "sdist-without-extension", None, PIP_NO_CACHE_DIR="1", SYNCWS_SPEEDUPS="0")
    if os.name == "posix":
        try_out(sdist, folder / "sdist-without-compiler", None, PIP_NO_CACHE_DIR="1", CC="false")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
