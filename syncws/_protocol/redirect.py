"""The target of a redirect, and the fields that the next request keeps (RFC 9110 15.4, Fetch 4.4).

Owns: the rules, no state. Runs on: any thread. Must not import: anything with I/O or threads.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .._exceptions import SyntaxErr
from .._quoting import is_credential_field
from .handshake import HandshakeRequest, make_key
from .url import URL, parse_url

# No name of a protocol is longer than this, so a longer text may be a token.
_LONGEST_PROTOCOL = 40

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class RedirectError(Exception):
    """The redirect is not to be followed; the text says why."""


def follow(request: HandshakeRequest, location: str) -> HandshakeRequest:
    """The next request.

    Credentials stay with the origin that they were given for: the URL's user and password, `auth`, every
    caller's field whose name is that of a credential, and a subprotocol that may carry one, are not sent to
    another one.

    Raises `RedirectError` for a location that is no URL of ours, and for one without TLS after one with TLS.
    """
    url = _resolve(request.url, location)
    if request.url.secure and not url.secure:
        raise RedirectError("it leads from wss: to ws:, where everybody on the way could read along")
    if url.origin == request.url.origin:
        if url.credentials is None:
            url = replace(url, username=request.url.username, password=request.url.password)
        return replace(request, url=url, key=make_key())
    kept = tuple((name, value) for name, value in request.headers if not is_credential_field(name))
    # The caller's Host field is for the first server alone.
    kept = tuple((name, value) for name, value in kept if name.lower() != "host")
    protocols = tuple(name for name in request.protocols if not _may_be_token(name))
    return replace(request, url=url, key=make_key(), headers=kept, auth=None, protocols=protocols)


def _may_be_token(protocol: str) -> bool:
    """Whether a subprotocol may carry a credential: by its words, as with Kubernetes, or since it is a token
    itself."""
    return is_credential_field(protocol) or len(protocol) > _LONGEST_PROTOCOL


def _resolve(base: URL, location: str) -> URL:
    """The URL of a Location field, which may be relative (RFC 3986 4.2)."""
    location = location.partition("#")[0].strip()
    if not location:
        raise RedirectError("it leads nowhere")
    if _SCHEME.match(location):
        text = location
    elif location.startswith("//"):
        text = f"{base.scheme}:{location}"
    elif location.startswith("/"):
        text = base.origin + location
    elif location.startswith("?"):
        text = f"{base.origin}{base.path}{location}"
    else:
        text = f"{base.origin}{base.path.rpartition('/')[0]}/{location}"
    try:
        return parse_url(text)
    except SyntaxErr as error:
        raise RedirectError(str(error)) from None
