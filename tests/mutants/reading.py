"""Faults of the reader: its loop, its clock, its end."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_engine"

LINK = ("engine/test_open_link.py", "engine/test_open_link_closing.py")
READ_SIZE = ("engine/test_read_size.py",)
READER = ("engine/test_reader.py", "engine/test_reader_faults.py")

MUTANTS = (
    Mutant(
        "a deadline that has passed is obeyed without a last look",
        "            if self._input.last_look(now):",
        "            if True:",
        LINK,
    ),
    Mutant(
        "a last look takes the time that a server likes",
        "        return self.exhausted or now - self.overdue_since >= LAST_LOOK_SECONDS",
        "        return self.exhausted",
        LINK,
    ),
    Mutant(
        "a pause of our own counts against the pong",
        "                self._keepalive.pause(self._output.ping_sent_at)",
        "                pass",
        LINK,
    ),
    Mutant(
        "a pause counts against nothing while the output stands still",
        "                if not source.progress.is_pending:\n                    # The pong",
        "                if True:\n                    # The pong",
        LINK,
    ),
    Mutant(
        "what the network takes is not looked at in a pause",
        "                source.progress.look(self._clock())\n"
        "                if not source.progress.is_pending:",
        "                if not source.progress.is_pending:",
        LINK,
    ),
    Mutant(
        "bytes that arrive are no sign of life",
        "        if source.has_activity():\n            self._keepalive.activity()\n        if messages:",
        "        if messages:",
        LINK,
    ),
    Mutant(
        "progress of the output is no sign of life",
        "            moments = self._output.ping_sent_at, progress.handed_at, progress.at",
        "            moments = self._output.ping_sent_at, progress.handed_at, 0.0",
        LINK,
    ),
    Mutant(
        "progress does not put off the deadlines of closing",
        "            self._do(closing.progressed(self._progress_at()))",
        "            pass",
        LINK,
    ),
    Mutant(
        "a server that stopped reading lives by what is sent after its Close",
        "        if self._closing.close_sent_at is not None:\n            return progress.at\n",
        "",
        LINK,
    ),
    Mutant(
        "messages that come after close() are kept",
        "        return self._closing.takes_messages and not self._output.close_called",
        "        return self._closing.takes_messages",
        LINK,
    ),
    Mutant(
        "a ping is not answered",
        "                    self._output.send_pong(payload)",
        "                    pass",
        LINK,
    ),
    Mutant(
        "a message in fragments goes on after the server's Close is here",
        "            self._output.server_closed()\n",
        "",
        LINK,
    ),
    Mutant(
        "an error of writing that nothing follows is not told",
        "            if stream.drained and write_error is not None:",
        "            if False:",
        LINK,
    ),
    Mutant(
        "a fault of the writer goes unnoticed",
        "        if error is not None and not isinstance(error, OSError):",
        "        if False:",
        LINK,
    ),
    Mutant(
        "the application's time-out of close() is not kept",
        "        for cut_at, cut_error in notes.cuts:\n"
        "            self._do(closing.cut_wanted(cut_at, cut_error))\n",
        "",
        LINK,
    ),
    Mutant(
        "the read size never shrinks",
        "        elif received < self.bytes // 8:",
        "        elif False:",
        READ_SIZE,
    ),
    Mutant(
        "a read that was filled has no memory to be used again",
        "                self.bytes *= 2\n                keep_freed_memory()\n",
        "                self.bytes *= 2\n",
        READ_SIZE,
    ),
    Mutant(
        "a paused reader looks often",
        "        self.pause = min(pause * 2, LONGEST_PAUSE)\n",
        "",
        LINK,
    ),
    Mutant(
        "a call that begins to stream does not get what is there",
        "self._decoder.has_more or self._wants_parts_now):",
        "self._decoder.has_more):",
        LINK,
    ),
    # The reader.
    Mutant(
        "the outcome is told while the writer is in the stream",
        "        self._output.stop()\n        if link is not None:\n            link.close()",
        "        if link is not None:\n            link.close()",
        READER,
    ),
    Mutant(
        "a fault at the end keeps others waiting",
        "                except BaseException as error:  # Other threads wait for the next steps.\n"
        "                    fault = error",
        "                except BaseException as error:  # Other threads wait for the next steps.\n"
        "                    fault = error\n                    break",
        READER,
    ),
    Mutant(
        "the wake-up's descriptor is left open",
        "(self._end_link, self._tell_end, self._publish, self._notes.close_poller)",
        "(self._end_link, self._tell_end, self._publish)",
        READER,
    ),
    Mutant(
        "pings are freed after the end is told",
        "        self._pings.end()\n        try:\n            self._consumer.put_record(closed)\n"
        "        finally:",
        "        try:\n            self._consumer.put_record(closed)\n            self._pings.end()\n"
        "        finally:",
        READER,
    ),
    Mutant(
        "an opening that nobody wants any more goes on",
        "        if self._output.close_called:\n            raise WebSocketError(CLOSED_EARLY)",
        "        pass",
        READER,
    ),
)
