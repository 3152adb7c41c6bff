"""The arguments of connections that are made again and again; some are asked for before each attempt.

Owns: the caller's arguments. Runs on: the caller's thread, and that of each attempt. Must not import:
anything with I/O or threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..._protocol.handshake import check_protocols
from .option_checks import check_plain
from .options import Options, check_arguments

if TYPE_CHECKING:
    from .option_types import HeadersLike

Protocols = str | Iterable[str]


class FreshArguments:
    """The arguments of one call; `url`, `protocols` and `headers` may be callables, called before each
    attempt.

    A token that expires may stand in any of the three.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        protocols: Protocols | Callable[[], Protocols],
        headers: HeadersLike | Callable[[], HeadersLike] | None,
        options: dict[str, Any],
    ) -> None:
        for name, given in (("url", url), ("protocols", protocols), ("headers", headers)):
            check_plain(name, given)
        self._url = url
        # An iterator would be used up by the first attempt.
        self._protocols = protocols if callable(protocols) else check_protocols(protocols)
        self._headers = headers
        self._options = options

    def check(self) -> str:
        """Check the arguments that are no callables. Returns the URL for logs, "" when it is a callable.

        Raises as `check_arguments` does.
        """
        known = {"headers": None if callable(self._headers) else self._headers, **self._options}
        if callable(self._url):
            Options.from_keywords(**known)
            return ""
        return check_arguments(self._url, (), known)[0].public

    def ask(self) -> tuple[str, Protocols, dict[str, Any]]:
        """The URL, the subprotocols and the options of the next attempt. Errors of callables are passed
        on."""
        url = self._url() if callable(self._url) else self._url
        protocols = self._protocols() if callable(self._protocols) else self._protocols
        headers = self._headers() if callable(self._headers) else self._headers
        return url, protocols, {"headers": headers, **self._options}
