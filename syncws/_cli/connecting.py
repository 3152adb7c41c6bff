"""From the command line to the arguments of `syncws.connect`.

Owns: nothing that lasts. Runs on: the main thread. Must not import: the engine.
"""

from __future__ import annotations

import base64
import dataclasses
import difflib
import errno
import getpass
import os
from typing import TYPE_CHECKING

from .._protocol.url import parse_url
from .arguments import COMMANDS, direct_options

if TYPE_CHECKING:
    import argparse
    import ssl
    from http.cookiejar import MozillaCookieJar


class UsageError(Exception):
    """The command line, or a file that it names, is wrong; the text says how."""


class Target:
    """The arguments for `connect` and `reconnect`.

    Attributes:
        url, protocols, options: the arguments.
        warnings: the texts that the user should read.
        cookies: the jar that is saved at the end; None without --cookies.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Raises `UsageError`, and for a bad URL `SyntaxErr`."""
        self.warnings: list[str] = []
        self.url = checked_url(arguments.url)
        self.cookies: MozillaCookieJar | None = None
        self.protocols = tuple(arguments.subprotocol or ())
        self.options = direct_options(arguments)
        self._headers = [pair for pairs in arguments.header or () for pair in pairs]
        if self.options.get("ping_interval") == 0:
            self.options["ping_interval"] = None
        for name in ("ping_timeout", "open_timeout", "close_timeout"):
            if self.options.get(name) == 0:
                raise UsageError(f"--{name.replace('_', '-')} must be greater than 0, or none")
        if arguments.no_compression:
            self.options["compression"] = None
        if arguments.any_subprotocol:
            self.options["require_protocol"] = False
        if arguments.proxy is not None:
            self.options["proxy"] = None if arguments.proxy == "none" else arguments.proxy
        if arguments.family is not None:
            self.options["family"] = arguments.family
        if arguments.cookies is not None:
            self.cookies = self.options["cookies"] = _cookie_jar(arguments.cookies)
        if arguments.auth is not None:
            self._authorize(arguments.auth)
        self._redirect(arguments)
        context = self._context(arguments)
        if context is not None:
            self.options["ssl_context"] = context
        if self._headers:
            self.options["headers"] = self._headers

    def _authorize(self, auth: str) -> None:
        user, colon, password = auth.partition(":")
        if not colon:
            try:
                password = getpass.getpass(f"Password of {user}: ")
            except EOFError:
                raise UsageError("--auth: no password was given") from None
        token = base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode()
        self._headers.append(("Authorization", f"Basic {token}"))

    def _redirect(self, arguments: argparse.Namespace) -> None:
        """Put another host in the place of the URL's; the Host header and the certificate's name stay."""
        parsed = parse_url(self.url)
        own = parsed.hostname, parsed.effective_port
        host, port = own
        if arguments.resolve:
            found = [address for *where, address in arguments.resolve if (where[0].lower(), where[1]) == own]
            if not found:
                raise UsageError(f"--resolve: none is for {own[0]}:{own[1]}, where the URL leads")
            host = found[0]
        if arguments.connect_to:
            host, port = arguments.connect_to
        if (host, port) == own:
            return
        bracketed = f"[{host}]" if ":" in host else host
        self.url = str(dataclasses.replace(parsed, host=bracketed, port=port))
        if not any(name.lower() == "host" for name, _ in self._headers):
            self._headers.append(("Host", parsed.host_header))
        if parsed.secure:
            self.options.setdefault("server_hostname", parsed.hostname)

    def _context(self, arguments: argparse.Namespace) -> ssl.SSLContext | None:
        if not (arguments.ca or arguments.cert or arguments.key or arguments.insecure):
            return None
        import ssl

        if arguments.key and not arguments.cert:
            raise UsageError("--key goes with --cert")
        folder = arguments.ca if arguments.ca and os.path.isdir(arguments.ca) else None
        try:
            context = ssl.create_default_context(cafile=None if folder else arguments.ca, capath=folder)
        except (OSError, ValueError) as error:
            if not arguments.ca:
                raise UsageError(f"SSLKEYLOGFILE in the environment: {_reason(error)}") from None
            raise _unusable("--ca", (arguments.ca,), "certificate", error) from None
        if arguments.cert:
            files = arguments.cert, arguments.key or arguments.cert
            try:
                context.load_cert_chain(*files)
            except (OSError, ValueError) as error:
                raise _unusable("--cert", files, "certificate with its key", error) from None
        if arguments.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.warnings.append(
                "the certificate is not verified (--insecure): anybody on the way may read and answer"
            )
        return context


def _cookie_jar(path: str) -> MozillaCookieJar:
    """The cookies of a file in Netscape's format. The file need not exist yet."""
    from http import cookiejar  # This import stands here, since it imports much that only this option needs.

    jar = cookiejar.MozillaCookieJar(path)
    try:
        jar.load(ignore_discard=True)
    except FileNotFoundError:
        pass
    except cookiejar.LoadError:
        raise UsageError(f"--cookies: {path} is not in Netscape's format") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"--cookies: {path} cannot be read: {_reason(error)}") from None
    return jar


def checked_url(text: str) -> str:
    """The URL as the standard writes it. Raises `UsageError`, which says what was probably meant."""
    scheme, colon, _ = text.partition(":")
    if "://" in text or (colon and scheme.lower() in ("ws", "wss", "http", "https")):
        return str(parse_url(text))
    guess = f"ws://{'localhost' if text.startswith(':') else ''}{text}"
    try:
        parse_url(guess)
        usable = not set("@?") & set(text)  # A text that may hold a secret is not repeated.
    except ValueError:
        usable = False
    hint = f"did you mean {guess}?" if usable else "such as wss://host/path"
    if command := difflib.get_close_matches(text, COMMANDS, n=1, cutoff=0.75):
        hint = f"did you mean the command {command[0]}?"
    if text.isdecimal():
        hint = f"a server is: syncws echo --port {text}"
    raise UsageError(f"a URL that begins with ws:// or wss:// is wanted ({hint})")


def _unusable(option: str, files: tuple[str, ...], content: str, error: Exception) -> UsageError:
    """The error for `files` of an option that cannot be read, or are not in PEM."""
    import ssl

    missing = [file for file in files if not os.path.exists(file)]
    if missing:
        return UsageError(f"{option}: {missing[0]} cannot be read: {os.strerror(errno.ENOENT)}")
    if isinstance(error, ssl.SSLError):
        names = " and ".join(dict.fromkeys(files))
        return UsageError(f"{option}: there is no {content}, as PEM, in {names} ({_reason(error)})")
    return UsageError(f"{option}: {files[0]} cannot be read: {_reason(error)}")


def _reason(error: Exception) -> str:
    # A file without a certificate is "[X509] no certificate or crl found (_ssl.c:4150)" and the like. On PyPy
    # some errors have a number only.
    number = getattr(error, "errno", None)
    text = getattr(error, "strerror", None) or str(error)
    if number and text.strip() == f"[Errno {number}]":
        text = os.strerror(number)
    text = text.partition(" (_ssl.c")[0]
    return text.partition("] ")[2] or text
