"""A real browser, driven over the DevTools protocol: JSON over a WebSocket of this package."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import syncws
from tests.support.waiting import SECONDS

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    """The browser's program; None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab.

    Attributes:
        browser_url: the URL of the browser's DevTools.
        target: what the DevTools call this tab.
        problems: the errors on the page's console, and the resources that it failed to load.
    """

    def __init__(self, connection: syncws.Connection) -> None:
        self.browser_url = connection.url
        self._connection = connection
        self._ids = itertools.count(1)
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.target: str = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command."""
        number = next(self._ids)
        command = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        self._connection.send(json.dumps(command))
        while (message := self._receive()).get("id") != number:
            pass
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(SECONDS))
        self._events.append(message)
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.problems.append(str(parameters["entry"]))
            case "Runtime.consoleAPICalled" if parameters["type"] == "error":
                self.problems.append(str(parameters["args"]))
            case "Network.loadingFailed":
                self.problems.append(str(parameters))
        return message

    def open(self, url: str) -> None:
        """Load a page, with all its resources."""
        self._events.clear()
        self.problems.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._receive()

    def open_tools(self, query: str = "") -> None:
        """Show the front end of the DevTools, which is a page like any other."""
        address = re.sub(r"^ws(://[^/]+)/.*", r"http\1", self.browser_url)
        self.call("Page.navigate", url=f"{address}/devtools/devtools_app.html{query}")
        self.wait_until("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """Evaluate until it is true."""
        until = time.monotonic() + SECONDS
        while not self.evaluate(expression):
            assert time.monotonic() < until, f"did not become true: {expression}"

    def resize(self, width: int, height: int) -> None:
        """Show the page as on a screen of so many CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )


@contextlib.contextmanager
def browser(program: str) -> Iterator[Page]:
    """One page in a browser of its own, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="syncws-", ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                found = (re.search(r"DevTools listening on (ws://\S+)", line) for line in process.stderr)
                url = next(match[1] for match in found if match)
                with syncws.connect(url, max_size=None, compression=None) as connection:
                    yield Page(connection)
            finally:
                process.kill()
