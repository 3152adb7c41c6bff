"""The arguments of connections that are made again and again, of which some are asked for each time.

Owns: what the caller gave. Runs on: the caller's thread, and that of each attempt. Must not import: anything
with I/O or threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .._protocol.handshake import check_protocols
from .option_checks import check_plain
from .options import Options, check_arguments

if TYPE_CHECKING:
    from .option_types import HeadersLike

Protocols = str | Iterable[str]


class FreshArguments:
    """`url`, `protocols` and `headers` may each be a callable, which is asked before each attempt.

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
        # An iterator is good for one attempt alone.
        self._protocols = protocols if callable(protocols) else check_protocols(protocols)
        self._headers = headers
        self._options = options

    def check(self) -> str:
        """Check all that need not be asked for; the URL as logs show it, "" when it is to be asked for.

        Raises as `check_arguments` does.
        """
        known = {"headers": None if callable(self._headers) else self._headers, **self._options}
        if callable(self._url):
            Options.from_keywords(**known)
            return ""
        return check_arguments(self._url, (), known)[0].public

    def ask(self) -> tuple[str, Protocols, dict[str, Any]]:
        """The URL, the subprotocols and the options of the next attempt; raises what a callable raises."""
        url = self._url() if callable(self._url) else self._url
        protocols = self._protocols() if callable(self._protocols) else self._protocols
        headers = self._headers() if callable(self._headers) else self._headers
        return url, protocols, {"headers": headers, **self._options}
