"""What the front end of Chromium's DevTools exports, as its network panel does, is replayed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import syncws
from syncws.testing import LoopbackServer, Peer
from tests.support.chromium import Page
from tests.support.waiting import SECONDS

# A session of a page: a message of each kind, to which it waits for the answer.
VISIT = """
new Promise(resolve => {
  const ws = new WebSocket(%s, ["feed.v2", "feed.v1"]);
  const sent = ["subscribe \u20ac", new Uint8Array([0, 255])];
  ws.onopen = ws.onmessage = () => sent.length ? ws.send(sent.shift()) : ws.close(1000, "enough");
  ws.onclose = event => resolve([event.code, event.wasClean, ws.protocol]);
})
"""

# The front end's own connection to the page carries this, behind the commands by which it listens.
EVALUATE = """
(async () => {
  const sdk = await import('./core/sdk/sdk.js');
  const target = sdk.TargetManager.TargetManager.instance().primaryPageTarget();
  const answer = await target.runtimeAgent().invoke_evaluate(
    {expression: %s, awaitPromise: true, returnByValue: true});
  return answer.result.value;
})()
"""

IS_ATTACHED = """
import('./core/sdk/sdk.js').then(sdk =>
  !!sdk.TargetManager.TargetManager.instance().primaryPageTarget()?.model(sdk.NetworkManager.NetworkManager))
"""

IS_COMPLETE = """
import('./models/logs/logs.js').then(logs =>
  logs.NetworkLog.NetworkLog.instance().requests().some(request =>
    request.finished && request.frames().length === %d))
"""

EXPORT = """
(async () => {
  const [common, har, logs] = await Promise.all(
    ['./core/common/common.js', './models/har/har.js', './models/logs/logs.js'].map(path => import(path)));
  const stream = new common.StringOutputStream.StringOutputStream();
  const requests = logs.NetworkLog.NetworkLog.instance().requests();
  await har.Writer.Writer.write(stream, requests, {sanitize: %s}, new common.Progress.Progress());
  return stream.data();
})()
"""


def answer(peer: Peer) -> None:
    peer.accept()
    for message in peer:
        peer.send(f"answer to {message}" if isinstance(message, str) else b"answer to " + message)


def test_what_chromium_exported_is_replayed(page: Page, tmp_path: Path) -> None:
    host = re.sub(r"^ws://([^/]+)/.*", r"\1", page.browser_url)
    with (
        syncws.connect(page.browser_url, max_size=None, compression=None) as connection,
        LoopbackServer(answer, protocols=["feed.v1"]) as server,
    ):
        visited = Page(connection)
        page.open_tools(f"?ws={host}/devtools/page/{visited.target}")
        page.wait_until(IS_ATTACHED)
        visit = VISIT % json.dumps(server.url_for("/feed?room=1"))
        assert page.evaluate(EVALUATE % json.dumps(visit)) == [1000, True, "feed.v1"]
        page.wait_until(IS_COMPLETE % 4)
        exported = [page.evaluate(EXPORT % sanitize) for sanitize in ("true", "false")]
    path = tmp_path / "session.har"
    for text in exported:
        path.write_text(text, "utf-8")
        with LoopbackServer() as server:
            server.replay(path)
            url = server.url_for("/feed?room=1")
            with syncws.connect(url, protocols=["feed.v2", "feed.v1"]) as connection:
                assert connection.protocol == "feed.v1"
                connection.send("subscribe \u20ac")
                assert connection.recv(SECONDS) == "answer to subscribe \u20ac"
                connection.send(b"\0\xff")
                assert connection.recv(SECONDS) == b"answer to \0\xff"
