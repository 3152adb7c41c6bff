"""`syncws.Headers`: a mapping that compares names without case and keeps the order."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping

import pytest

from syncws._headers import Headers

FIELDS = [("Server", "x"), ("Set-Cookie", "a=1"), ("X-One", "1"), ("set-cookie", "b=2"), ("x-one", "2, 3")]


def test_names_are_compared_without_case() -> None:
    headers = Headers(FIELDS)
    assert headers["server"] == headers["SERVER"] == headers.get("sErVeR") == "x"
    assert "SERVER" in headers and "Serve" not in headers
    assert 5 not in headers  # type: ignore[comparison-overlap]
    assert headers.get("None") is None
    assert headers.get("None", "other") == "other"
    with pytest.raises(KeyError):
        headers["None"]


def test_values_of_a_field_that_came_several_times_are_joined_and_can_be_had_one_by_one() -> None:
    headers = Headers(FIELDS)
    assert headers["X-One"] == "1, 2, 3"
    assert headers.get_all("x-ONE") == ["1", "2, 3"]
    assert headers.get_all("SET-COOKIE") == ["a=1", "b=2"]
    assert headers.get_all("None") == []


def test_iteration_gives_each_name_once_in_order_as_it_came_first() -> None:
    headers = Headers(FIELDS)
    assert list(headers) == list(headers.keys()) == ["Server", "Set-Cookie", "X-One"]
    assert len(headers) == 3
    assert dict(headers) == {"Server": "x", "Set-Cookie": "a=1, b=2", "X-One": "1, 2, 3"}
    assert headers.multi_items() == FIELDS


def test_it_is_a_mapping_that_nobody_changes() -> None:
    headers = Headers(FIELDS)
    assert isinstance(headers, Mapping)
    headers.get_all("X-One").append("4")
    headers.multi_items().clear()
    assert headers == Headers(FIELDS)
    with pytest.raises(TypeError):
        headers["X"] = "y"  # type: ignore[index]
    assert not hasattr(headers, "__dict__")


def test_it_is_made_of_pairs_of_a_mapping_or_of_another_one() -> None:
    assert Headers() == {} and not Headers()
    assert Headers({"A": "b"}) == Headers([("a", "b")]) == Headers(Headers(iter([("A", "b")])))
    assert Headers(Headers(FIELDS)).multi_items() == FIELDS


def test_equal_are_those_with_the_same_values_whatever_the_case_of_names() -> None:
    assert Headers(FIELDS) == Headers([(name.upper(), value) for name, value in FIELDS])
    assert hash(Headers(FIELDS)) == hash(Headers([(name.upper(), value) for name, value in FIELDS]))
    assert Headers([("A", "b")]) == {"a": "b"}
    assert Headers([("a", "b")]) == {"A": "b"}
    assert Headers([("A", "b")]) != Headers([("A", "B")])
    assert Headers([("A", "b"), ("A", "c")]) != Headers([("A", "c"), ("A", "b")])
    assert Headers([("A", "b")]) != {"A": "b", "C": "d"}
    assert Headers([("A", "b")]) != {5: "b"}
    assert Headers([("A", "b")]) != [("A", "b")]


def test_copies_are_equal() -> None:
    headers = Headers(FIELDS)
    for made in (copy.copy(headers), copy.deepcopy(headers), pickle.loads(pickle.dumps(headers))):
        assert made == headers
        assert made.multi_items() == FIELDS


def test_repr_shows_values_that_are_no_secret_and_the_names_of_the_others() -> None:
    fields = [
        ("Server", "nginx"),
        ("Set-Cookie", "s3cret"),
        ("X-Api-Key", "s3cret"),
        ("Location", "/?s3cret"),
    ]
    shown = repr(Headers(fields))
    assert shown == "Headers({'Server': 'nginx', 'Set-Cookie': ..., 'X-Api-Key': ..., 'Location': ...})"
