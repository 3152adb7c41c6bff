"""A recorded file is imported by the front end of Chromium's DevTools, as its network panel does."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import syncws
from syncws.har import Recorder
from syncws.testing import LoopbackServer
from tests.support.chromium import Page
from tests.support.waiting import SECONDS

IMPORT = """
(async () => {
  const har = await import('./models/har/har.js');
  const root = new har.HARFormat.HARRoot(JSON.parse(%s));
  const requests = har.Importer.Importer.requestsFromHARLog(root.log);
  return JSON.stringify(requests.map(request => ({
    url: request.url(), status: request.statusCode, kind: request.resourceType().name(),
    address: request.remoteAddress(), duration: request.duration,
    messages: request.frames().map(frame => [frame.type, frame.opCode, frame.text]),
  })));
})()
"""


def test_chromium_imports_what_was_recorded(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "session.har"
    with LoopbackServer() as server, Recorder(path) as recorder:
        with syncws.connect(server.url_for("/feed"), trace=recorder) as connection:
            for message in ("hello \u20ac", b"\0\xff"):
                connection.send(message)
                connection.recv(SECONDS)
    page.open_tools()
    text = json.dumps(path.read_text("utf-8"))
    (request,) = json.loads(page.evaluate(IMPORT % json.dumps(json.loads(text))))
    binary = base64.b64encode(b"\0\xff").decode()
    assert request["url"].endswith("/feed")
    assert (request["status"], request["kind"]) == (101, "websocket")
    assert request["duration"] > 0
    assert request["messages"] == [
        ["send", 1, "hello \u20ac"],
        ["receive", 1, "hello \u20ac"],
        ["send", 2, binary],
        ["receive", 2, binary],
    ]
