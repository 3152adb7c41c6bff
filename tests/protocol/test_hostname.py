"""`syncws._protocol.host.check_hostname`: the names that a certificate can be checked for."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from syncws._protocol.host import check_hostname

GOOD = {
    "example.com": "example.com",
    "EXAMPLE.com.": "example.com.",
    "under_score.example": "under_score.example",
    "bücher.example": "xn--bcher-kva.example",
    "localhost": "localhost",
    "127.0.0.1": "127.0.0.1",
    "::1": "::1",
    "2001:DB8:0:0::1": "2001:db8::1",
    "a" * 63 + ".b": "a" * 63 + ".b",
}

BAD = [
    *("", ".", ".example.com", "a..b", "a\0b", "a b", "a\nb", "a\r", "\x7f", "a/b", "user@host", "host:443"),
    *("[::1]", "fe80::1%eth0", "a%41b", "https://host", "1.2.3.4.5", "256.1.1.1", "a" * 64, "a." * 140 + "b"),
    *("\ud800", "a\u200d"),
]


@pytest.mark.parametrize("name", GOOD)
def test_name_that_a_certificate_can_be_for_is_taken_in_its_ascii_form(name: str) -> None:
    assert check_hostname(name) == GOOD[name]
    context = ssl.create_default_context()
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=check_hostname(name))


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_name_that_no_certificate_can_be_for_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="server_hostname") as caught:
        check_hostname(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [b"example.com", 5, None])
def test_name_that_is_no_text_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError, match="server_hostname"):
        check_hostname(name)
