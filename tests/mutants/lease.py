"""Faults of reading by lease, in the reader's place, and of tokens."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_engine"

LEASE = (
    "engine/test_read_lease.py",
    "engine/test_read_lease_steps.py",
    "engine/test_read_lease_instructions.py",
    "engine/test_read_lease_in_engine.py",
)
TLS = ("engine/test_lent_tls.py",)
LINK = ("engine/test_open_link.py",)
PRIMITIVES = tuple(f"engine/test_primitives{part}.py" for part in ("", "_mailboxes", "_forks"))

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
        "without the interpreter's lock, a consumer reads after the turn was taken back",
        "            with self._leaf:\n                token.in_call = token.held",
        "            token.in_call = token.held",
        LEASE,
    ),
    Mutant(
        "without the interpreter's lock, a consumer decrypts after the turn was taken back",
        "        with self._leaf:\n            token.in_call = token.held\n        if not",
        "        token.in_call = token.held\n        if not",
        TLS,
    ),
    Mutant(
        "what a handler raises while a consumer waits is the socket's",
        "            if not poller.poll(min(seconds, LEASE_SECONDS) * 1000.0):\n                return False",
        "            try:\n"
        "                if not poller.poll(min(seconds, LEASE_SECONDS) * 1000.0):\n"
        "                    return False\n"
        "            except OSError:\n                return False",
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
        "            leased.needs_reader = True\n"
        "            try:  # This holds one operator only, in which no handler runs.\n"
        "                leased.chunks += call",
        "            try:\n                leased.chunks += call\n                leased.needs_reader = True",
        LEASE,
    ),
    Mutant(
        "bytes that no consumer has made a message of are not the decoder's",
        "                leased.unfed = (leased.unfed & (not mine)) | (mine & (read.left > 0))\n"
        "                leased.needs_reader = (leased.needs_reader & (not mine))"
        " | (mine & read.for_reader)\n"
        "        finally:",
        "                leased.unfed = False\n"
        "                leased.needs_reader = (leased.needs_reader & (not mine))"
        " | (mine & read.for_reader)\n"
        "        finally:",
        LEASE,
    ),
    Mutant(
        "the reader is not told of bytes that are for it",
        "                leased.needs_reader = (leased.needs_reader & (not mine))"
        " | (mine & read.for_reader)\n"
        "        finally:",
        "                leased.needs_reader = False\n        finally:",
        LEASE,
    ),
    Mutant(
        "the rest of what was read by lease is not put back",
        "                leased.chunks = read.chunks[mine]\n                read.holders",
        "                leased.chunks = []\n                read.holders",
        LEASE,
    ),
    Mutant(
        "the rest is put back though the reader has taken it",
        "                read.chunks[0] = leased.chunks\n                leased.chunks = read.chunks[mine]\n"
        "                read.holders",
        "                leased.chunks = read.chunks[1]\n                read.holders",
        LEASE,
    ),
    Mutant(
        "inflating goes on from before the messages that were read by lease",
        "                read.holders[mine].zlib_stream = read.zlib_stream\n                leased.unfed",
        "                leased.unfed",
        LEASE,
    ),
    Mutant(
        "the state of inflating is replaced though the reader has the turn",
        "                read.holders[mine].zlib_stream = read.zlib_stream\n                leased.unfed",
        "                read.holders[1].zlib_stream = read.zlib_stream\n                leased.unfed",
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
        "lends = (not self._reader_has) & (not self._token.held) & (not leased.needs_reader)",
        "lends = (not self._reader_has) & (not leased.needs_reader)",
        LEASE,
    ),
    Mutant(
        "a consumer reads while the reader is to look at what is there",
        "lends = (not self._reader_has) & (not self._token.held) & (not leased.needs_reader)",
        "lends = (not self._reader_has) & (not self._token.held)",
        LEASE,
    ),
    Mutant(
        "a consumer reads while the reader does",
        "lends = (not self._reader_has) & (not self._token.held) & (not leased.needs_reader)",
        "lends = (not self._token.held) & (not leased.needs_reader)",
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
        "                leased.error = error\n                return False\n        token",
        "                return False\n        token",
        LEASE,
    ),
    Mutant(
        "a consumer for whom nothing came keeps the turn from the reader",
        "                if leased.needs_reader or leased.unfed or self.reader_looks:\n"
        "                    self.wake()",
        "                if leased.needs_reader:\n                    self.wake()",
        LEASE,
    ),
    Mutant(
        "bytes that were fed before are counted again",
        "            leased.counted = size\n            self.recent = recent",
        "            leased.counted = 0\n            self.recent = recent",
        LEASE,
    ),
    Mutant(
        "messages are counted that were not read by lease",
        "                leased.messages_received += read.count * mine\n",
        "                leased.messages_received += read.count\n",
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
        "if timeout == 0 or lease.input.needs_reader or not self._may_lend:",
        "if timeout == 0 or not self._may_lend:",
        LINK,
    ),
    Mutant(
        "the socket is freed while a consumer reads it",
        "        while not self._lease.take():\n            time.sleep(SHORTEST_LOOK)\n"
        "        self._stream.close()",
        "        self._lease.take()\n        self._stream.close()",
        LINK,
    ),
    Mutant(
        "an error that a consumer has met is not the reader's",
        "        error = leased.error\n        if error is not None:",
        "        error = leased.error\n        if False:",
        LINK,
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
    Mutant(
        "a consumer always reads the smallest number of bytes",
        "        size.adapt(received, stream.drained if stream.is_tls else received < size.bytes)\n",
        "",
        LEASE,
    ),
    Mutant(
        "any number of consumers wait by lease at the same time",
        "        if len(tokens) >= MOST_AT_ONCE:\n",
        "        if len(tokens) > MOST_AT_ONCE:\n",
        LEASE,
    ),
)
