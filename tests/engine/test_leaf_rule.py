"""Inside a leaf there are only operators, assignments and branches, so that no signal handler runs there.

CPython runs handlers after calls, of C functions too, and at jumps backwards; up to 3.11 it runs finalizers
when a container is made. One test reads the source, the other traces all threads in an exchange.
"""

from __future__ import annotations

import ast
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import syncws
from syncws._engine import primitives
from tests.signals.server import Server
from tests.support.waiting import SECONDS

PACKAGE = Path(syncws.__file__).parent
ENGINE = PACKAGE / "_engine"
# Functions whose leaf may hold what the rule forbids: "file:function", and why.
EXCEPTIONS: dict[str, str] = {}

# On CPython 3.10 a handler may run where a branch is taken as well. Leaves that hold one all the same, and
# why.
BRANCHES: dict[str, str] = dict.fromkeys(
    [
        *[f"send_queue.py:{name}" for name in ("cut_fragments", "refuse")],
        *[f"writer_turn.py:{name}" for name in ("end_inline", "finish", "rest", "schedule", "stop")],
        *[f"writer_turn.py:{name}" for name in ("take_turn", "yield_turn")],
        *[f"read_lease.py:{name}" for name in ("take", "take_if_free")],
        "inbox.py:_set_wake_below",
        "writer_pool.py:_should_exit",
    ],
    "runs on threads of ours, where no handler does",
)


_STATEMENTS = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete, ast.If,
               ast.Pass, ast.Return, ast.Break, ast.Continue)  # fmt: skip
_EXPRESSIONS = (ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Constant, ast.BinOp, ast.UnaryOp,
                ast.BoolOp, ast.Compare, ast.IfExp, ast.NamedExpr)  # fmt: skip


def is_leaf(expression: ast.expr) -> bool:
    name = expression.attr if isinstance(expression, ast.Attribute) else getattr(expression, "id", "")
    return name in ("leaf", "_leaf") or name.endswith("_leaf")


def faults(node: ast.AST) -> Iterator[str]:
    """What the rule forbids in a statement or an expression inside a leaf."""
    if isinstance(node, (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)):
        return
    if isinstance(node, ast.stmt):
        allowed = isinstance(node, _STATEMENTS)
        if isinstance(node, ast.Delete):
            allowed = all(isinstance(target, ast.Subscript) for target in node.targets)
    elif isinstance(node, ast.Tuple) and not node.elts:
        allowed = True  # one object, made once
    else:
        allowed = isinstance(node, _EXPRESSIONS)
    if not allowed:
        yield f"line {getattr(node, 'lineno', '?')}: {ast.unparse(node).splitlines()[0]}"
        return
    for child in ast.iter_child_nodes(node):
        yield from faults(child)


def leaves(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.With]]:
    """Each leaf, and the function that it stands in."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.With) and any(is_leaf(item.context_expr) for item in node.items):
            yield function, node
        inside = node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
        yield from leaves(node, inside)


def has_branch(leaf: ast.With) -> bool:
    return any(
        isinstance(node, (ast.If, ast.IfExp, ast.BoolOp)) for line in leaf.body for node in ast.walk(line)
    )


def faults_of(source: str, file: str = "") -> list[str]:
    found = []
    for function, leaf in leaves(ast.parse(source)):
        if f"{file}:{function}" in EXCEPTIONS:
            continue
        if len(leaf.items) > 1 or leaf.items[0].optional_vars is not None:
            found.append(f"{file}:{function}: line {leaf.lineno}: a leaf is taken by itself")
        found += [f"{file}:{function}: {fault}" for line in leaf.body for fault in faults(line)]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_a_leaf_holds_only_operators_assignments_and_branches(path: Path) -> None:
    assert not faults_of(path.read_text("utf-8"), path.name)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_a_leaf_that_a_caller_takes_holds_no_branch(path: Path) -> None:
    found = {
        f"{path.name}:{function}"
        for function, leaf in leaves(ast.parse(path.read_text("utf-8")))
        if has_branch(leaf)
    }
    assert found == {name for name in BRANCHES if name.startswith(f"{path.name}:")}


@pytest.mark.parametrize("body", ["if a:\n    b = 1", "a = b if c else d", "a = b and c", "a = b or c"])
def test_each_kind_of_branch_is_found(body: str) -> None:
    ((_, leaf),) = leaves(ast.parse(within(body)))
    assert has_branch(leaf)


def test_arithmetic_with_what_is_true_is_no_branch() -> None:
    ((_, leaf),) = leaves(ast.parse(within("a = (b == c) & (not d)\nself.e += f[a]\nself.g *= 1 - a")))
    assert not has_branch(leaf)


def test_each_exception_from_the_rule_is_still_needed() -> None:
    for name in EXCEPTIONS:
        file, _, function = name.partition(":")
        here = [
            leaf for found, leaf in leaves(ast.parse((ENGINE / file).read_text("utf-8"))) if found == function
        ]
        assert [fault for leaf in here for line in leaf.body for fault in faults(line)], name


LAWFUL = """
    self.queued += size
    self.notes = self.notes + note
    item = self.items[0]
    del self.items[0]
    first = a if b is None or not c else d
    if self.size > limit and size in known:
        full = True
    else:
        self.table[key] = ()
    pass
"""
UNLAWFUL = ["f()", "x = f()", "x.append(y)", "for a in b: pass", "while a: pass", "raise E", "assert a",
            "x = []", "x = {}", "x += (y,)", "x = [*y]", "x = {1: y}", "x = {y}", "x = [a for a in b]",
            "x = (a for a in b)", "x = f'{y}'", "x = lambda: 1", "x = yield", "x, y = z", "del x.y",
            "return f()", "global x", "with other: pass", "with self.leaf: pass", "import m",
            "x = a if f() else b", "if a:\n    f()"]  # fmt: skip


def within(body: str, lock: str = "self._leaf") -> str:
    return f"def g():\n    with {lock}:\n" + textwrap.indent(textwrap.dedent(body).strip(), " " * 8)


def test_what_the_rule_allows_passes() -> None:
    assert not faults_of(within(LAWFUL))
    assert not faults_of(within("f()", "self.lock"))  # another kind of lock


@pytest.mark.parametrize("body", [*UNLAWFUL, "try:\n    pass\nfinally:\n    pass"])
@pytest.mark.parametrize("lock", ["self._leaf", "leaf", "self.queue_leaf"])
def test_what_the_rule_forbids_is_found(body: str, lock: str) -> None:
    assert faults_of(within(body, lock))


def test_a_leaf_that_is_taken_with_another_lock_is_found() -> None:
    assert faults_of("with leaf, other: pass")


class Watch:
    """A profile function: notes each call between the end of a leaf's `__enter__` and its `__exit__`."""

    def __init__(self) -> None:
        self._code = primitives.Leaf().__enter__.__code__
        self._holding = threading.local()
        self.entered = 0
        self.faults: list[str] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "return" and frame.f_code is self._code:
            self.entered += 1
            self._holding.frame = frame.f_back
        elif event in ("call", "c_call") and getattr(self._holding, "frame", None) is not None:
            holder, self._holding.frame = self._holding.frame, None
            if event != "c_call" or argument.__name__ not in ("__exit__", "release"):
                what = frame.f_code.co_name if event == "call" else argument.__name__
                where = f"{holder.f_code.co_filename}:{holder.f_lineno}:{holder.f_code.co_name}"
                self.faults.append(f"{where}: {what}")


def exchange(server: Server) -> None:
    with syncws.connect(server.url + "/", compression=None) as connection:
        session = server.sessions[-1]
        session.push(50)
        for number in range(50):
            connection.send(f"{number}|")
            connection.recv(SECONDS)
        connection.send(["50|", "more"])
        connection.flush(SECONDS)
        connection.ping(SECONDS)
        with pytest.raises(TimeoutError):
            connection.recv(0.01)
    opened = threading.Event()
    with syncws.WebSocket(server.url + "/", onopen=lambda event: opened.set(), compression=None) as ws:
        assert opened.wait(SECONDS)
        ws.send("0|")


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="the events of C functions differ there")
def test_nothing_is_called_while_a_leaf_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    # A profile function sees only an `__enter__` that is written in Python.
    monkeypatch.setattr(primitives, "LOOKS_AFTER_ENTER", True)
    watch = Watch()
    with_all = getattr(threading, "setprofile_all_threads", threading.setprofile)
    server = Server()
    before = sys.getprofile()
    with_all(watch)
    sys.setprofile(watch)
    try:
        exchange(server)
    finally:
        with_all(None)
        sys.setprofile(before)
    server.stop()
    assert not watch.faults
    assert watch.entered > 100
