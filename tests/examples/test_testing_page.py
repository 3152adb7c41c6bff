"""The page about testing is true: each of its blocks that holds a test is run as a file of its own."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.certificates import needs_certificate
from tests.support.pages import python_blocks, run_as_tests

SENT = '{"op": "subscribe", "channel": "trades"}'
MESSAGES = [
    {"type": "send", "time": 1, "opcode": 1, "data": SENT},
    {"type": "receive", "time": 2, "opcode": 1, "data": '{"ok": true}'},
]
SESSION = {
    "request": {"url": "wss://feed.example.com/v1"},
    "response": {"status": 101},
    "_webSocketMessages": MESSAGES,
}


@needs_certificate
def test_every_block_with_a_test_passes(tmp_path: Path) -> None:
    blocks = [block for block in python_blocks("testing.md") if "def test_" in block]
    # The two for Flask and Celery are run where those are installed, in tests/embedding.
    plain = [block for block in blocks if "from flask" not in block and "from celery" not in block]
    assert (len(blocks), len(plain)) == (8, 6)
    (tmp_path / "session.har").write_text(json.dumps({"log": {"entries": [SESSION]}}), "utf-8")
    assert "7 passed" in run_as_tests(plain, tmp_path)
