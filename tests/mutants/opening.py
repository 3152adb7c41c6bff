"""Faults of the opening: options, the route, answers and redirects."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_engine"

OPENING = ("engine/test_opening.py",)
OPTIONS = ("engine/test_options.py",)
PROXIES = ("reach/test_proxies.py",)
TRUST = ("reach/test_trust.py",)

MUTANTS = (
    Mutant(
        "a signal right before a wait for the network is noticed after the wait",
        "        return max(0.0, next_wait(min(ends, default=None)))",
        "        return max(0.0, min(ends) - time.monotonic()) if ends else None",
        ("engine/test_caller_opening.py",),
    ),
    Mutant(
        "TLS is not looked at for HTTP/2", "        self._check_alpn(self.tls.alpn, tried, who)\n", "", TRUST
    ),
    Mutant("a proxy's TLS counts as the server's", "            self.tls = None\n", "", OPENING),
    Mutant(
        "what a proxy says behind its head is lost",
        "            if rest:\n                message",
        "            if False:\n                message",
        PROXIES,
    ),
    Mutant(
        "every status of a proxy is good",
        "        if 200 <= response.status < 300:",
        "        if True:",
        PROXIES,
    ),
    Mutant(
        "a proxy's reason is not told", "{hint}{quote_body(body, self._opening.secrets)}", "{hint}", PROXIES
    ),
    Mutant("redirects have no limit", "        if self._redirects_left and", "        if", OPENING),
    Mutant(
        "a loop of redirects goes on",
        "            if str(request.url) in self._visited:",
        "            if False:",
        OPENING,
    ),
    Mutant(
        "a redirect may lead to a blocked port",
        "                check_port(request.url)\n",
        "                pass\n",
        OPENING,
    ),
    Mutant(
        "the socket of the caller is left open",
        "                self._options.sock.close()\n",
        "                pass\n",
        OPENING,
    ),
    Mutant(
        "a link is ended sooner than by a ping",
        "max(options.ping_interval + options.ping_timeout, options.close_timeout)",
        "options.ping_timeout",
        OPENING,
    ),
    Mutant(
        "family means nothing", "        family = _FAMILIES[options.family]", "        family = 0", OPENING
    ),
    Mutant(
        "what a server sends back is shown", "printable(self.secrets.hide(said))", "printable(said)", OPENING
    ),
    Mutant(
        "the environment's proxy is asked for a socket of the caller's",
        "    if options.sock is not None or options.unix is not None or options.proxy is None:",
        "    if options.proxy is None:",
        OPENING,
    ),
    Mutant(
        "options that contradict each other are taken",
        "            if one in given and other in given:",
        "            if False:",
        OPTIONS,
    ),
    Mutant(
        "a source may be a name",
        "    if address[0] and parse_address(address[0]) is None:",
        "    if False:",
        OPTIONS,
    ),
)
