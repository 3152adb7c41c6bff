"""Cookies from and to the caller's jar, by the rules of `http.cookiejar`, which need not be imported here.

Owns: nothing; the jar is the caller's, and locks itself. Runs on: the thread that opens the connection. Must
not import: anything with I/O or threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .._headers import Headers
    from .url import URL


class CookieJar(Protocol):
    """The part of `http.cookiejar.CookieJar` that this module uses."""

    def add_cookie_header(self, request: Any) -> None:
        """Add the cookies for a request to it."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Store the cookies that a response sets."""


class _Request:
    """The part of a `urllib.request.Request` that a jar uses.

    A jar knows only the schemes of HTTP, so a URL is given to it with one of these: to a cookie, ws: and
    http: are the same (RFC 6265 5.4).
    """

    unverifiable = False

    def __init__(self, url: URL) -> None:
        self.type = "https" if url.secure else "http"
        self.host = url.host_header
        self.origin_req_host = url.hostname
        self._url = f"{self.type}://{url.host_header}{url.resource}"
        self.fields: list[tuple[str, str]] = []

    def get_full_url(self) -> str:
        return self._url

    def get_header(self, name: str, default: str | None = None) -> str | None:
        return next((value for other, value in self.fields if other == name), default)

    def has_header(self, name: str) -> bool:
        return self.get_header(name) is not None

    def add_unredirected_header(self, name: str, value: str) -> None:
        self.fields.append((name, value))


class _Response:
    """The part of a response of `urllib.request` that a jar uses."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def info(self) -> _Response:
        return self

    def get_all(self, name: str, default: Any = None) -> Any:
        return self._headers.get_all(name) or default


def cookie_fields(jar: CookieJar | None, url: URL) -> list[tuple[str, str]]:
    """The fields that send the jar's cookies for a URL."""
    if jar is None:
        return []
    request = _Request(url)
    jar.add_cookie_header(request)
    return request.fields


def store_cookies(jar: CookieJar | None, url: URL, headers: Headers) -> None:
    """Store in the jar the cookies that an answer sets, as far as its policy lets it."""
    if jar is not None and "Set-Cookie" in headers:
        jar.extract_cookies(_Response(headers), _Request(url))
