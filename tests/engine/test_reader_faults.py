"""`_engine.reading.reader`: a fault of the reader thread ends its connection, and is logged after that."""

from __future__ import annotations

import logging
import traceback

import pytest

import syncws
from syncws._protocol.decoder import Decoder
from syncws.testing import LoopbackServer
from tests.support.leftovers import wait_for_no_threads


@pytest.mark.parametrize("error", [MemoryError(), ValueError("a fault"), SystemExit()], ids=repr)
def test_a_fault_is_told_then_logged_with_its_traceback(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[bool] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(connection.readyState == connection.CLOSED)

    def feed(decoder: Decoder, data: bytes) -> None:
        raise error

    handler = Handler()
    with LoopbackServer() as server:
        connection = syncws.connect(server.url)
        monkeypatch.setattr(Decoder, "feed", feed)
        logging.getLogger("syncws").addHandler(handler)
        try:
            connection.send("an echo")
            with pytest.raises(syncws.ConnectionClosed) as caught:
                connection.recv()
            wait_for_no_threads()
        finally:
            logging.getLogger("syncws").removeHandler(handler)
    assert (caught.value.code, caught.value.__cause__) == (1006, error)
    assert told == [True], "others may wait for the outcome in a frame that holds the lock of logging"
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[1] is error
    assert "feed" in [frame.name for frame in traceback.extract_tb(record.exc_info[2])]
    assert "a fault of syncws itself" in record.getMessage()
