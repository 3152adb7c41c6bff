"""Faults of `syncws._protocol`: the body of a refusal, proxies, redirects, cookies and zones."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_protocol"

BODY = ("protocol/test_body.py",)
PROXY = ("protocol/test_proxy.py",)
REDIRECT = ("protocol/test_redirect.py",)
COOKIES = ("protocol/test_cookies.py",)
URL = ("protocol/test_url.py",)

MUTANTS = (
    # The body of a refusal.
    Mutant("a 304 has a body", "in (204, 304) or", "in (204,) or", BODY),
    Mutant(
        "a length goes before chunks",
        "        self._left = None if codings else _content_length(response)",
        "        self._left = _content_length(response)",
        BODY,
    ),
    Mutant("a chunk of a body may be followed by anything", "            self.done = bool(line)\n", "", BODY),
    Mutant("a body has no limit", "data[: MAX_BODY - len(self.body)]", "data[:]", BODY),
    Mutant(
        "a line of a chunked body has no end",
        "            self.done = len(self._buffer) > _MAX_LINE\n",
        "",
        BODY,
    ),
    Mutant(
        "two lengths that contradict each other are one",
        "    if len(lengths) != 1:",
        "    if not lengths:",
        BODY,
    ),
    # Proxies.
    Mutant(
        "upper case goes before lower case",
        "            proxies.pop(name[:-6].lower(), None)",
        "            continue",
        PROXY,
    ),
    Mutant(
        "a request's header chooses the proxy", '        proxies.pop("http", None)\n', "        pass\n", PROXY
    ),
    Mutant("this machine is reached through a proxy", " or is_loopback(url.hostname)", "", PROXY),
    Mutant(
        "a domain's end is enough for no_proxy", 'host.endswith(f".{name}")', "host.endswith(name)", PROXY
    ),
    Mutant("a port in no_proxy does not matter", "port_there != port:", "False:", PROXY),
    Mutant(
        "no_proxy is ASCII",
        '_in_ascii(name.removeprefix("*").strip("."))',
        'name.removeprefix("*").strip(".")',
        PROXY,
    ),
    Mutant("networks in no_proxy are addresses", " >> (bits - kept) == base", " == base", PROXY),
    Mutant(
        "an error for a proxy's URL shows its password",
        "{quote(public_part(text.strip()))} is no URL",
        "{quote(text.strip())} is no URL",
        PROXY,
    ),
    # Redirects and cookies.
    Mutant(
        "a redirect leads out of TLS",
        "    if request.url.secure and not url.secure:",
        "    if False:",
        REDIRECT,
    ),
    Mutant("credentials go to another origin", ", headers=kept, auth=None,", ", headers=kept,", REDIRECT),
    Mutant("a token in a subprotocol goes to another origin", "if not _may_be_token(name))", ")", REDIRECT),
    Mutant("tokens of headers go to another origin", "if not is_credential_field(name))", ")", REDIRECT),
    Mutant(
        "the key is used again",
        "        return replace(request, url=url, key=make_key())",
        "        return replace(request, url=url)",
        REDIRECT,
    ),
    Mutant(
        "secure cookies go out without TLS",
        'self.type = "https" if url.secure else "http"',
        'self.type = "https"',
        COOKIES,
    ),
    # Zones.
    Mutant("every address may have a zone", "pieces[0] >> 6 != 0xFE80 >> 6 or", "", URL),
    Mutant(
        "the zone goes into the Host field",
        '        return f"{host}]" if percent else host',
        "        return self.host",
        URL,
    ),
)
