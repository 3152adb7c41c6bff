"""Faults of what callers do in the place of our threads: reading by lease, sending inline."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_engine"

LEASE = ("engine/test_read_lease.py",)
INLINE = ("engine/test_inline_send.py",)
PRIMITIVES = ("engine/test_primitives.py",)

MUTANTS = (
    Mutant(
        "the turn at reading is taken back while a consumer is in the call",
        "            if not self._token.in_call:\n                self._token.held = False",
        "            if True:\n                self._token.held = False",
        LEASE,
    ),
    Mutant(
        "a consumer goes on though the turn was taken back",
        "            if not self._token.in_call:\n                self._token.held = False\n",
        "            if not self._token.in_call:\n",
        LEASE,
    ),
    Mutant(
        "the reader takes the turn of a consumer that waits",
        "            if not self._token.held:\n                self._reader_has = True",
        "            if True:\n                self._reader_has = True",
        LEASE,
    ),
    Mutant(
        "what is read is announced to the reader after the read",
        "                self.needs_reader = True\n                self.chunks += call",
        "                self.chunks += call\n                self.needs_reader = True",
        LEASE,
    ),
    Mutant(
        "bytes that no consumer has made a message of are not the decoder's",
        "                lease.unfed = (lease.unfed & (not mine)) | (mine & (read.left > 0))\n"
        "                lease.needs_reader = (lease.needs_reader & (not mine)) | (mine & read.for_reader)\n"
        "        finally:",
        "                lease.unfed = False\n"
        "                lease.needs_reader = (lease.needs_reader & (not mine)) | (mine & read.for_reader)\n"
        "        finally:",
        LEASE,
    ),
    Mutant(
        "the reader is not told of bytes that are for it",
        "                lease.needs_reader = (lease.needs_reader & (not mine)) | (mine & read.for_reader)\n"
        "        finally:",
        "                lease.needs_reader = False\n        finally:",
        LEASE,
    ),
    Mutant(
        "the rest of what was read by lease is not put back",
        "                lease.chunks = read.chunks[mine]\n                lease.unfed",
        "                lease.chunks = []\n                lease.unfed",
        LEASE,
    ),
    Mutant(
        "the rest is put back though the reader has taken it",
        "                read.chunks[0] = lease.chunks\n                lease.chunks = read.chunks[mine]\n"
        "                lease.unfed",
        "                lease.chunks = read.chunks[1]\n                lease.unfed",
        LEASE,
    ),
    Mutant(
        "what was read by lease becomes messages though the reader has taken it",
        "                mine = read.token.held\n                self.messages += puts[mine]",
        "                mine = True\n                self.messages += puts[mine]",
        LEASE,
    ),
    Mutant(
        "what the worker has read becomes events though the reader has taken it",
        "            mine = read.token.held\n            self._entries += entries[mine]",
        "            mine = True\n            self._entries += entries[mine]",
        LEASE,
    ),
    Mutant(
        "two consumers read at a time",
        "lends = (not self._reader_has) & (not self._token.held) & (not self.needs_reader)",
        "lends = (not self._reader_has) & (not self.needs_reader)",
        LEASE,
    ),
    Mutant(
        "a consumer reads while the reader is to look at what is there",
        "lends = (not self._reader_has) & (not self._token.held) & (not self.needs_reader)",
        "lends = (not self._reader_has) & (not self._token.held)",
        LEASE,
    ),
    Mutant(
        "a consumer reads while the reader does",
        "lends = (not self._reader_has) & (not self._token.held) & (not self.needs_reader)",
        "lends = (not self._token.held) & (not self.needs_reader)",
        LEASE,
    ),
    Mutant(
        "a consumer that a handler has cut off wakes nobody",
        "            if is_cut:\n                self.wake_soon()",
        "            if False:\n                self.wake_soon()",
        LEASE,
    ),
    Mutant(
        "the token of a consumer is left behind",
        "            if is_cut:\n                self.wake_soon()\n            tokens.pop(token, None)",
        "            if is_cut:\n                self.wake_soon()",
        LEASE,
    ),
    Mutant(
        "an error of a consumer's read is forgotten",
        "            self.error = error\n            return False",
        "            return False",
        LEASE,
    ),
    Mutant(
        "a consumer for whom nothing came keeps the turn from the reader",
        "                if self.needs_reader or self.unfed or self.reader_looks:\n"
        "                    self.wake()",
        "                if self.needs_reader:\n                    self.wake()",
        LEASE,
    ),
    Mutant(
        "bytes that were fed before are counted again",
        "            self.counted = size\n            self.recent = recent",
        "            self.counted = 0\n            self.recent = recent",
        LEASE,
    ),
    Mutant(
        "messages are counted that were not read by lease",
        "                lease.messages_received += read.count * mine\n",
        "                lease.messages_received += read.count\n",
        LEASE,
    ),
    Mutant(
        "a frame over the limit is waited for by lease",
        "    return length <= limit and len(data) < start + length",
        "    return len(data) < start + length",
        LEASE,
    ),
    Mutant(
        "a length in too many bytes is waited for by lease",
        "        if length < 126:\n            return False\n",
        "",
        LEASE,
    ),
    Mutant(
        "what the reader must look at costs each request",
        "            self._refusals = REFUSED_AFTER",
        "            pass",
        LEASE,
    ),
    Mutant(
        "in a forked child a consumer reads the parent's link",
        '        """In a forked child: nobody reads."""\n        self._reader_has = True\n',
        '        """In a forked child: nobody reads."""\n',
        LEASE,
    ),
    Mutant(
        "the reader does not look at once at bytes that are for it",
        "must_read = timeout == 0 or lease.needs_reader or not self._may_lend",
        "must_read = timeout == 0 or not self._may_lend",
        LEASE,
    ),
    Mutant(
        "a consumer reads what another one streams",
        "            and not self._consumer.wants_parts\n",
        "",
        LEASE,
    ),
    Mutant(
        "a message after close() is read by lease",
        "            and not self._output.close_called\n            and self._output.error is None",
        "            and self._output.error is None",
        LEASE,
    ),
    Mutant(
        "the socket is freed while a consumer reads it",
        "        while not self._lease.take():\n            time.sleep(SHORTEST_LOOK)\n"
        "        self._stream.close()",
        "        self._lease.take()\n        self._stream.close()",
        LEASE,
    ),
    Mutant(
        "an error that a consumer has met is not the reader's",
        "        error = lease.error\n        if error is not None:",
        "        error = lease.error\n        if False:",
        LEASE,
    ),
    # Sending inline.
    Mutant(
        "a message that the kernel took in part counts as sent",
        "        done = token.held & (sent == whole)",
        "        done = token.held & bool(sent)",
        INLINE,
    ),
    Mutant(
        "a message that was taken from its sender counts as sent by it",
        "        done = token.held & (sent == whole)",
        "        done = sent == whole",
        INLINE,
    ),
    Mutant(
        "a sender writes after its token was taken",
        "        if LOOKS_IN_ORDER:\n            token.in_call = token.held\n        else:\n"
        "            with queue.leaf:",
        "        if LOOKS_IN_ORDER:\n            token.in_call = True\n        else:\n"
        "            with queue.leaf:",
        INLINE,
    ),
    Mutant(
        "what was sent in part is sent again from its beginning",
        "                stream.send(inline.frame[sent:])",
        "                stream.send(inline.frame)",
        INLINE,
    ),
    Mutant(
        "the rest of what was sent in part is not sent",
        "                stream.send(inline.frame[sent:])",
        "                pass",
        INLINE,
    ),
    Mutant(
        "a message of which the kernel took nothing is lost",
        "            stream.send(self._encoder.frames([inline.message]))\n        self.messages_sent += 1",
        "            pass\n        self.messages_sent += 1",
        INLINE,
    ),
    Mutant(
        "the writer sends what is settled once more",
        "        if inline.settled:\n            return\n",
        "",
        INLINE,
    ),
    Mutant(
        "the writer does not mark what it has finished as settled",
        "        self._queue.sent += inline.size\n        inline.settled = True\n",
        "        self._queue.sent += inline.size\n",
        INLINE,
    ),
    Mutant(
        "bytes that a sender had handed over are not counted by the writer",
        "            (sent,) = inline.sent\n            stream.handed += sent\n",
        "            (sent,) = inline.sent\n",
        INLINE,
    ),
    Mutant(
        "what a sender left undone is overtaken",
        "        self._finish_inline(stream)\n        self._take_notes()\n        stream.flush()\n"
        "        did = self._send_controls(stream)\n",
        "        self._take_notes()\n        stream.flush()\n        did = self._send_controls(stream)\n"
        "        self._finish_inline(stream)\n",
        INLINE,
    ),
    Mutant(
        "the bytes of a message that the writer finished are kept",
        "        inline.settled = True\n        inline.let_go()",
        "        inline.settled = True",
        INLINE,
    ),
    Mutant(
        "the bytes of a message that was sent inline are kept",
        "    if done:\n        token.let_go()",
        "    if False:\n        token.let_go()",
        INLINE,
    ),
    Mutant(
        "the writer writes while a sender does",
        "                if not self.inline.last.held:",
        "                if True:",
        INLINE,
    ),
    Mutant(
        "two senders write at a time",
        "                lends &= inline.last.settled & (not inline.last.held)",
        "                lends &= inline.last.settled",
        INLINE,
    ),
    Mutant(
        "a sender writes before what another one left undone",
        "                lends &= inline.last.settled & (not inline.last.held)",
        "                lends &= not inline.last.held",
        INLINE,
    ),
    Mutant(
        "a message is sent inline inside one in fragments",
        "lends = wake & may_lend & (not waits) & (inline.stream is stream)",
        "lends = wake & may_lend & (inline.stream is stream)",
        INLINE,
    ),
    Mutant(
        "a sender writes to a stream that has ended",
        "lends = wake & may_lend & (not waits) & (inline.stream is stream)",
        "lends = wake & may_lend & (not waits)",
        INLINE,
    ),
    Mutant(
        "the connection ends while a sender is in its call",
        "            if not inline.in_call:\n                ended = True",
        "            if True:\n                ended = True",
        INLINE,
    ),
    Mutant(
        "at the end a sender's token stays its own",
        "                ended = True\n                inline.held = False\n",
        "                ended = True\n",
        INLINE,
    ),
    Mutant(
        "what a sender had sent before the end counts as unsent",
        "                if counts and stream is not None:",
        "                if False:",
        INLINE,
    ),
    Mutant(
        "what the kernel took in part counts as sent at the end",
        "counts = not inline.settled and inline.sent == inline.whole and self.turn != WRITING",
        "counts = not inline.settled and self.turn != WRITING",
        INLINE,
    ),
    Mutant(
        "every message of a burst is written by its sender",
        "        return self.has_received or time.monotonic() - self.sent_at > APART_SECONDS",
        "        return True",
        INLINE,
    ),
    Mutant(
        "what came before the last message makes the next one stand apart",
        "    inline.has_received = False\n",
        "",
        INLINE,
    ),
    Mutant(
        "a compressed message is sent inline as it is",
        "type(encoder) is Encoder and not encoder.compresses:",
        "type(encoder) is Encoder:",
        INLINE,
    ),
    Mutant(
        "a message goes past TLS",
        "if is_allowed() and type(stream) is Stream and type(encoder)",
        "if is_allowed() and type(encoder)",
        INLINE,
    ),
    Mutant(
        "a writer that was called meanwhile is not called again",
        "        calls_writer = (queue.turn != IDLE) | (not token.settled)",
        "        calls_writer = not token.settled",
        INLINE,
    ),
    Mutant(
        "no writer is called for what a sender left undone",
        "        calls_writer = (queue.turn != IDLE) | (not token.settled)",
        "        calls_writer = queue.turn != IDLE",
        INLINE,
    ),
    Mutant(
        "a sender's token is left behind",
        "        if may_lend:\n            tokens.pop(token, None)",
        "        if False:\n            tokens.pop(token, None)",
        INLINE,
    ),
    # Tokens.
    Mutant(
        "a token that is given back wakes nobody",
        "            self.in_call = self.held = False\n        finally:\n            self._wake()",
        "            self.in_call = self.held = False\n        finally:\n            pass",
        PRIMITIVES,
    ),
    Mutant(
        "a thread that waits gives back the tokens of others",
        "        if token.thread == here:",
        "        if True:",
        PRIMITIVES,
    ),
    Mutant(
        "a thread that waits keeps its tokens",
        "        give_back_tokens()\n"
        "        until = None if timeout is None else time.monotonic() + timeout\n"
        "        leaf = self._leaf",
        "        until = None if timeout is None else time.monotonic() + timeout\n        leaf = self._leaf",
        PRIMITIVES,
    ),
    Mutant(
        "a thread that waits for a flag keeps its tokens",
        "        give_back_tokens()\n"
        "        until = None if timeout is None else time.monotonic() + timeout\n"
        "        while not self._set:",
        "        until = None if timeout is None else time.monotonic() + timeout\n"
        "        while not self._set:",
        PRIMITIVES,
    ),
    Mutant(
        "in a forked child a token is still held",
        "    for token in list(tokens):\n        token.held = False\n    tokens.clear()",
        "    tokens.clear()",
        PRIMITIVES,
    ),
)
