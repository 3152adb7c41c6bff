"""What setup.cfg, pyproject.toml, tox.ini and the README say of the same things agrees."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def read_ini(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / name, "utf-8")
    return parser


def classifiers() -> list[str]:
    lines = read_ini("setup.cfg")["metadata"]["classifiers"].split("\n")
    return [line.removeprefix("Programming Language :: Python :: ") for line in lines if line]


def environments() -> list[str]:
    """The interpreters that tox runs all tests on, such as "py310", "py313t" and "pypy311"."""
    names = read_ini("tox.ini")["tox"]["env_list"].replace(",", " ").split()
    return [name for name in names if re.fullmatch(r"py(py)?\d+t?", name)]


def version(environment: str) -> str:
    """The version of Python that an environment is of: "3.10" for "py310"."""
    digits = re.sub(r"\D", "", environment)
    return f"{digits[0]}.{digits[1:]}"


def versions() -> list[str]:
    """The versions of CPython that tox runs, in order."""
    found = {version(name) for name in environments() if not name.startswith("pypy")}
    return sorted(found, key=lambda text: int(text.partition(".")[2]))


def test_classifiers_name_the_versions_that_tox_runs() -> None:
    assert [name for name in classifiers() if re.fullmatch(r"3\.\d+", name)] == versions()
    assert {name for name in environments() if not name.endswith("t")} >= {
        "py" + name.replace(".", "") for name in versions()
    }


def test_classifiers_name_the_kinds_of_interpreters_that_tox_runs() -> None:
    kinds = {name.rpartition(" :: ")[2] for name in classifiers() if name.startswith("Implementation")}
    assert kinds == {"PyPy" if name.startswith("pypy") else "CPython" for name in environments()}
    free_threaded = any(name.startswith("Free Threading") for name in classifiers())
    assert free_threaded == any(name.endswith("t") for name in environments())


def test_readme_names_the_interpreters_that_tox_runs() -> None:
    first, *_, last = versions()
    said = [f"CPython {first} to {last}"]
    said += [f"free-threaded CPython {version(name)}" for name in environments() if name.endswith("t")]
    said += [f"PyPy {version(name)}" for name in environments() if name.startswith("pypy")]
    paragraph = " ".join(README.partition("\n\n")[2].partition("\n\n")[0].split())
    for words in said:
        assert words in paragraph


def test_the_oldest_python_is_the_one_that_the_tools_check_for() -> None:
    oldest = versions()[0]
    assert read_ini("setup.cfg")["options"]["python_requires"] == f">={oldest}"
    assert f'target-version = "py{oldest.replace(".", "")}"' in PYPROJECT
    assert re.findall(r'^python_?[vV]ersion = "(.*)"', PYPROJECT, re.MULTILINE) == [oldest, oldest]


def test_documents_and_code_have_the_same_length_of_lines() -> None:
    found = re.search(r"^line-length = (\d+)", PYPROJECT, re.MULTILINE)
    assert found is not None
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "compliance" / "README.md"]:
        prose = re.sub(r"^ *```.*?^ *```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for line in prose.splitlines():
            assert len(line) <= int(found[1]) or line.startswith("|"), f"{path.name}: {line}"
