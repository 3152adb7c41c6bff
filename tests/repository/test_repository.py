"""The repository says each thing once, and what it says twice agrees."""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from syncws._engine.options.options import Options
from syncws._version import __version__

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = sorted((ROOT / "syncws").rglob("*.py"))
SOURCES = sorted(path for folder in ("syncws", "tests", "examples") for path in (ROOT / folder).rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

# In these folders a test is a program of a user: it sees what the public API shows and what its server saw.
# The layout of frames is no secret of any layer: the server's scripts are written in it.
PUBLIC_FOLDERS = ["websocket", "connection", "reconnecting", "process", "hostile", "peers", "embedding"]
PUBLIC_FOLDERS += ["examples", "har", "reach", "site"]
PUBLIC_TESTS = [path for folder in PUBLIC_FOLDERS for path in sorted((ROOT / "tests" / folder).rglob("*.py"))]
PRIVATE = re.compile(r'[\w.\])]+\._[a-z][\w.]*|from syncws import _\w+|\(\w+, "_[a-z]\w+"')

# Private names that these tests need all the same.
PRIVATE_NAMES_THAT_TESTS_NEED = {
    # A time of the package, which the test makes longer, so that no busy machine can use it up.
    "tests/websocket/test_first_events.py": ["syncws._engine.consumer.dispatcher.FIRST_EVENT_SECONDS"],
    "tests/hostile/test_refusal_bodies.py": [
        "syncws._engine.opening.answer.BODY_SECONDS",
        "syncws._engine.opening.answer.FRAMED_BODY_SECONDS",
    ],
    # A time that is made so long that a test would not end if it were waited for.
    "tests/hostile/test_closing.py": ["syncws._protocol.closing.CATCH_UP_SECONDS"],
    # A minute that is made 0 s, so that no test takes that long.
    "tests/reconnecting/test_reconnector.py": ["syncws._retry.STABLE_SECONDS"],
    # These are tests of one module, whose names the package does not hand out.
    "tests/reconnecting/test_retry.py": ["syncws._retry"],
    "tests/embedding/web/test_uwsgi.py": ["syncws._engine.process"],
    "tests/har/test_recorder.py": ["from syncws import _har_entry"],
    "tests/reach/test_trust.py": ["syncws._transport.trust"],
    "tests/websocket/test_event_handlers.py": ["syncws._event_target", "target._registrations"],
    # One place decides what may be quoted: secrets go through each layer, and also past the API.
    "tests/reach/secret_cases.py": ["syncws._headers", "syncws._protocol.cookies", "syncws._protocol.url"],
    "tests/reach/test_secrets_in_arguments.py": [
        "syncws._engine.options.options",
        "syncws._protocol.handshake",
    ],
    # A call that a thread of the test interrupts where it waits in the package, and a handler in C.
    "tests/connection/test_handler_errors.py": ["syncws._handler_errors", "sys._current_frames"],
    # Bytes that the script has read by itself go on as the server's.
    "tests/transport/test_tls_duplex.py": ["peer._buffer"],
    # The list of options, which the package does not hand out.
    "tests/websocket/test_constructor.py": ["syncws._engine.options.options"],
    # Importing TLS must import neither library of greenlets.
    "tests/embedding/greenlets/test_unpatched.py": ["syncws._transport.tls"],
}

# Parts of other modules, and records: they have no test file of their own, but are tested in this one.
TESTED_WITH = {
    "_protocol/assembly.py": "tests/protocol/test_decoder_buffer.py",
    "_protocol/codec.py": "tests/property/test_speedups.py",
    "_transport/socks.py": "tests/reach/test_proxies.py",
    "_engine/opening/answer.py": "tests/engine/test_opening.py",
    "_engine/reading/control_events.py": "tests/engine/test_event_queue.py",
    "_engine/consumer/dispatching.py": "tests/engine/test_dispatcher.py",
    "_engine/options/fresh_arguments.py": "tests/reconnecting/test_fresh_arguments.py",
    "_engine/opening/handover.py": "tests/engine/test_caller_opening.py",
    "_engine/reading/input_state.py": "tests/engine/test_open_link.py",
    "_engine/opening/open_stream.py": "tests/engine/test_opening.py",
    "_engine/options/option_checks.py": "tests/engine/test_options.py",
    "_engine/options/option_types.py": "tests/engine/test_signatures.py",
    "_engine/reading/output.py": "tests/engine/test_open_link.py",
    "_engine/reading/reader_notes.py": "tests/engine/test_reader.py",
    "_engine/reading/records.py": "tests/engine/test_reader.py",
    "_engine/opening/route.py": "tests/engine/test_opening.py",
    "_engine/stats.py": "tests/connection/test_stats.py",
    "_engine/consumer/stream_calls.py": "tests/engine/test_inbox.py",
    "_engine/consumer/streamed_message.py": "tests/engine/test_inbox.py",
    "_engine/threads.py": "tests/engine/test_engine.py",
    "_engine/trace_record.py": "tests/connection/test_trace.py",
    "_engine/tracer.py": "tests/connection/test_trace.py",
    "_engine/options/unknown_options.py": "tests/engine/test_signatures.py",
    "_engine/writing/writer_turn.py": "tests/engine/test_send_queue.py",
}

MODULE_LINES = 400
FUNCTION_LINES = 60
CLASS_ATTRIBUTES = 15


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def tracked() -> list[Path]:
    """The files that are in git, or will be with the next commit."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    paths = [ROOT / entry for entry in listing.decode().split("\0") if entry]
    return [path for path in paths if path.is_file()]


def installed() -> importlib.metadata.Distribution:
    """The installed distribution; not the .egg-info that a build leaves in the checkout."""
    for found in importlib.metadata.distributions(name="syncws"):
        files = {str(file) for file in found.files or ()}
        if any(file.endswith(".dist-info/METADATA") for file in files) and "syncws/__init__.py" in files:
            return found
    pytest.skip("syncws is not installed, or installed as editable")


def test_version_agrees_with_the_metadata() -> None:
    assert installed().version == __version__


def test_installed_package_has_every_file_of_the_checkout() -> None:
    in_wheel = {str(file) for file in installed().files or () if str(file).startswith("syncws/")}
    typed = [ROOT / "syncws" / "py.typed", ROOT / "syncws" / "_protocol" / "_speedups.pyi"]
    in_checkout = {name(path) for path in [*PACKAGE, *typed]}
    compiled = {
        file for file in in_wheel if re.fullmatch(r"syncws/_protocol/_speedups\.[\w.-]+\.(so|pyd)", file)
    }
    assert {file for file in in_wheel if "__pycache__" not in file} - compiled == in_checkout
    # Without the second the package may have been built where there is no compiler.
    wanted = os.environ.get("SYNCWS_SPEEDUPS")
    assert len(compiled) <= 1 if wanted is None else len(compiled) == (wanted != "0")


def test_metadata_asks_for_no_other_package_but_in_extras() -> None:
    assert all("extra ==" in wanted for wanted in installed().requires or ())


def test_readme_first_commands_are_the_demo_and_the_tests() -> None:
    commands = blocks(ROOT / "README.md", "sh")[0].splitlines()
    assert len(commands) == 2
    assert commands[0] == "python3 -m syncws demo"
    assert commands[1].endswith("tox")


def test_test_command_is_the_same_everywhere() -> None:
    command = blocks(ROOT / "README.md", "sh")[0].splitlines()[1]
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == command
    assert blocks(ROOT / "CONTRIBUTING.md", "sh")[0].splitlines() == [command]


def test_contributing_draws_the_modules_that_there_are() -> None:
    drawn: set[str] = set()
    folders: list[tuple[int, str]] = []  # the folders that a line stands in, with their indents
    for line in blocks(ROOT / "CONTRIBUTING.md", "text")[0].splitlines()[1:]:
        indent = len(line) - len(line.lstrip())
        folders = [(outer, folder) for outer, folder in folders if outer < indent]
        if begins := re.match(r" +(\w+/)", line):
            folders.append((indent, begins[1]))
        place = "".join(folder for _, folder in folders)
        drawn |= {f"syncws/{place}{module}" for module in re.findall(r"\b\w+\.py\b", line)}
    drawn = {module.replace("_cli/__main__", "__main__") for module in drawn}
    there = {name(path) for path in PACKAGE}
    there -= {module for module in there if module.count("/") > 1 and module.endswith("/__init__.py")}
    assert drawn == there


def test_each_module_of_a_layer_has_tests_under_its_name_or_is_listed_with_them() -> None:
    listed = {ROOT / "syncws" / module: ROOT / tests for module, tests in TESTED_WITH.items()}
    for layer in ("protocol", "transport", "engine"):
        for path in (ROOT / "syncws" / f"_{layer}").rglob("*.py"):
            own = [*(ROOT / "tests" / layer).rglob(f"test_{path.stem}*.py")]
            assert own or path.stem == "__init__" or listed[path].is_file(), name(path)
            assert not (own and path in listed), name(path)
    assert all(path.is_file() for path in listed)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_python_blocks_compile(document: Path) -> None:
    for number, block in enumerate(blocks(document, "python"), 1):
        compile(block, f"{document.name}, block {number}", "exec")


def test_reference_names_every_option() -> None:
    page = (ROOT / "docs" / "reference" / "options.md").read_text("utf-8")
    for option in dataclasses.fields(Options):
        assert f"`{option.name}`" in page or f"`{option.name}=" in page, option.name


def test_readme_is_one_screen_and_little_more() -> None:
    assert (ROOT / "README.md").read_text("utf-8").count("\n") <= 100


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_addresses_in_documents_are_loopback_or_examples(document: Path) -> None:
    for url in re.findall(r"\b(?:https?|wss?)://[^\s`\"')>]+", document.read_text("utf-8")):
        host = urlsplit(url).hostname or ""
        assert re.fullmatch(r"127\.0\.0\.1|::1|localhost|h|host.*|(.+\.)?example(\.com|\.org)?", host), url


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_in_documents_lead_to_a_file_or_a_heading(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text("utf-8")):
        path, _, heading = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
            assert heading in anchors, link


def test_tracked_files_name_no_place_of_one_machine() -> None:
    homes = "|".join(["work", "root", "home", "Users"])  # joined here, so that this file passes
    machine = re.compile(rf"(?<![\w.:/\-])/(?:{homes})/[\w.]|\.pyenv[/\\]|[A-Z]:\\Users\\")
    for path in tracked():
        found = machine.search(path.read_text("utf-8", errors="replace"))
        assert not found, f"{name(path)}: {found}"


def test_tracked_files_hold_no_mark_of_an_unfinished_merge() -> None:
    mark = re.compile(r"^(<{7}|>{7}|\|{7}) ", re.MULTILINE)
    for path in tracked():
        found = mark.search(path.read_text("utf-8", errors="replace"))
        assert not found, f"{name(path)}: {found}"


def test_tracked_files_hold_no_certificate_or_key() -> None:
    begin = re.compile("-----" + r"BEGIN [A-Z ]*(CERTIFICATE|PRIVATE KEY)-----\s+[A-Za-z0-9+/]{20}")
    for path in tracked():
        assert path.suffix not in {".pem", ".key", ".crt", ".p12", ".pfx"}, name(path)
        assert not begin.search(path.read_text("utf-8", errors="replace")), name(path)


def test_all_folders_of_tests_are_run_by_default_but_those_with_an_environment_of_their_own() -> None:
    chosen = re.search(r"^testpaths = \[(.*?)\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.M | re.S)
    assert chosen is not None
    here = {path.relative_to(ROOT).parts[1] for path in (ROOT / "tests").rglob("test_*.py")}
    here -= {"embedding", "signals"}
    assert {f"tests/{part}" for part in here} == set(re.findall(r'"(.*?)"', chosen[1]))


@pytest.mark.parametrize("path", [path for path in SOURCES if path.is_relative_to(ROOT / "tests")], ids=name)
def test_tests_can_be_collected_where_trustme_cannot_be_installed(path: Path) -> None:
    if "embedding" not in path.parts:  # what those tests need has no build there either
        for node in ast.parse(path.read_text("utf-8")).body:
            assert not isinstance(node, ast.Import) or node.names[0].name != "trustme"


@pytest.mark.parametrize("path", PUBLIC_TESTS, ids=name)
def test_tests_of_whole_connections_read_no_private_names(path: Path) -> None:
    text = path.read_text("utf-8")
    allowed = {"syncws._protocol.frames", "os._exit", *PRIVATE_NAMES_THAT_TESTS_NEED.get(name(path), ())}
    assert not {part for part in PRIVATE.findall(text) if not part.startswith("self._")} - allowed


@pytest.mark.parametrize("layer", ["protocol", "transport", "engine"])
def test_tests_of_a_layer_read_private_names_of_that_layer_alone(layer: str) -> None:
    theirs = {path for path in PACKAGE if path.is_relative_to(ROOT / "syncws" / f"_{layer}")}
    inside = private_attributes(theirs)
    foreign = private_attributes(set(PACKAGE) - theirs) - inside
    tests = [path for path in SOURCES if path.is_relative_to(ROOT / "tests" / layer)]
    assert inside
    assert tests
    for path in tests:
        text = path.read_text("utf-8")
        # A fake of the test's own may have a private name as well.
        read = set(re.findall(r"(?<!self)(?<!syncws)\.(_[a-z]\w*)", text)) - private_attributes({path})
        needed = {each.rpartition(".")[2] for each in PRIVATE_NAMES_THAT_TESTS_NEED.get(name(path), ())}
        assert not read & foreign - needed, (name(path), read & foreign)


def private_attributes(paths: set[Path]) -> set[str]:
    """The private attributes and methods of the classes of these modules, and their private variables."""
    found = set()
    for path in paths:
        text = path.read_text("utf-8")
        found |= set(re.findall(r"\bself\.(_[a-z]\w*)(?:: [^=\n]+)? = ", text))
        found |= set(re.findall(r"^(?:    def )?(_[a-z]\w*)", text, re.MULTILINE))
    return found


def test_private_names_that_tests_need_are_still_read() -> None:
    for path, names in PRIVATE_NAMES_THAT_TESTS_NEED.items():
        for needed in names:
            assert needed in (ROOT / path).read_text("utf-8"), (path, needed)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_module_opens_with_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("path", PACKAGE, ids=name)
def test_module_and_its_functions_are_short(path: Path) -> None:
    text = path.read_text("utf-8")
    length = text.count("\n")
    assert length <= MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # Neither the signature counts nor the docstring: both are there to be long.
            begin = node.body[min(len(node.body) - 1, ast.get_docstring(node) is not None)]
            assert (node.end_lineno or 0) - begin.lineno < FUNCTION_LINES, node.name


def attributes_by_class(text: str) -> dict[str, set[str]]:
    """The names that the methods of each class assign on `self`; the fields of a record are none of these."""
    return {
        of.name: {
            node.attr
            for node in ast.walk(of)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            if isinstance(node.value, ast.Name) and node.value.id == "self"
        }
        for of in ast.walk(ast.parse(text))
        if isinstance(of, ast.ClassDef)
    }


@pytest.mark.parametrize("path", PACKAGE, ids=name)
def test_a_class_has_few_attributes(path: Path) -> None:
    found = attributes_by_class(path.read_text("utf-8"))
    assert not {of: sorted(names) for of, names in found.items() if len(names) > CLASS_ATTRIBUTES}


def test_each_form_of_assigning_an_attribute_is_counted() -> None:
    text = """
class Record:
    field: int = 0

class Counted:
    def __init__(self, other):
        self.a = self.b = other.x
        self.c: int = 0
        self.d, [self.e, *self.f] = other
        other.y = self.read
    def again(self):
        self.a += 1
        for self.g in self.b:
            pass
        with self.c as self.h:
            pass
"""
    assert attributes_by_class(text) == {"Record": set(), "Counted": set("abcdefgh")}


@pytest.mark.parametrize("path", PACKAGE, ids=name)
def test_each_exclusion_from_coverage_has_its_reason(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        assert "pragma: no cover" not in line or re.search(r"pragma: no cover - \w.+", line), line
