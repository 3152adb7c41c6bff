"""Opens connections by either API, and returns the result."""

from __future__ import annotations

import ssl
import time
from typing import Any

import pytest

import syncws
from syncws import WebSocketError
from tests.support.clients import Client
from tests.support.waiting import AT_ONCE


class Dialer:
    """Opens connections by one API, trusting the servers and proxies of this run."""

    def __init__(self, api: str, context: ssl.SSLContext | None) -> None:
        self._api = api
        self._context = context

    def talk(self, url: str, **options: Any) -> None:
        """Open, send and receive, close."""
        options = {**({} if self._context is None else {"ssl_context": self._context}), **options}
        large = b"x" * 300_000
        if self._api == "blocking":
            with syncws.connect(url, **options) as connection:
                connection.send("hello")
                assert connection.recv(AT_ONCE) == "hello"
                connection.send(large)
                assert connection.recv(AT_ONCE) == large
            return
        with Client(url, **options) as client:
            ws = client.wait_open()
            ws.send("hello")
            assert client.receive() == "hello"
            ws.send(large)
            assert client.receive() == large
        assert client.wait_closed().wasClean

    def fail(self, url: str, **options: Any) -> BaseException:
        """The error of an opening that must fail, within its time."""
        options = {**({} if self._context is None else {"ssl_context": self._context}), **options}
        begun = time.monotonic()
        try:
            if self._api == "blocking":
                with pytest.raises((OSError, WebSocketError)) as caught:
                    syncws.connect(url, **options)
                return caught.value
            return Client(url, **options).wait_failed()
        finally:
            assert time.monotonic() - begun < AT_ONCE
