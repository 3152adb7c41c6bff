"""Faults of sending inline, in the writer's place."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_engine"

INLINE = ("engine/test_inline_send.py",)

MUTANTS = (
    Mutant(
        "a message that the kernel took in part counts as sent",
        "        done = token.held & (token.sent == whole)",
        "        done = token.held & bool(token.sent)",
        INLINE,
    ),
    Mutant(
        "a message that was taken from its sender counts as sent by it",
        "        done = token.held & (token.sent == whole)",
        "        done = token.sent == whole",
        INLINE,
    ),
    Mutant(
        "a sender writes after its token was taken",
        "    if LOOKS_IN_ORDER:\n        token.in_call = token.held\n    else:\n        with token",
        "    if LOOKS_IN_ORDER:\n        token.in_call = True\n    else:\n        with token",
        INLINE,
    ),
    Mutant(
        "without the interpreter's lock, a sender writes after its token was taken",
        "        with token.queue.leaf:\n            token.in_call = token.held\n    if",
        "        token.in_call = token.held\n    if",
        INLINE,
    ),
    Mutant(
        "without the interpreter's lock, a sender encrypts after its token was taken",
        "    with token.queue.leaf:\n        token.in_call = token.held  #",
        "    if True:\n        token.in_call = token.held  #",
        ("engine/test_lent_tls.py",),
    ),
    Mutant(
        "what a stopped writer may be counting is counted twice",
        "                has_turn = self.turn == WRITING or self.turn == STOPPING",
        "                has_turn = self.turn == WRITING",
        INLINE,
    ),
    Mutant(
        "what has left is not counted where the writer is stopped before it counts",
        "        self._queue.end_inline(self._stream)  # A writer",
        "        # A writer",
        INLINE,
    ),
    Mutant(
        "what was sent in part is sent again from its beginning",
        "                stream.send_raw(inline.frame[sent:])",
        "                stream.send_raw(inline.frame)",
        INLINE,
    ),
    Mutant(
        "the rest of what was sent in part is not sent",
        "                stream.send_raw(inline.frame[sent:])",
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
        "            stream.handed += sent\n            if",
        "            if",
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
        "a sender writes before what another one left undone",
        "                lends &= inline.last.settled & (not inline.last.held)",
        "                lends &= not inline.last.held",
        INLINE,
    ),
    Mutant(
        "a message is sent inline inside one in fragments",
        "lends = wake & (not waits) & (inline.stream is stream)",
        "lends = wake & (inline.stream is stream)",
        INLINE,
    ),
    Mutant(
        "a sender writes to a stream that has ended",
        "lends = wake & (not waits) & (inline.stream is stream)",
        "lends = wake & (not waits)",
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
        "counts = not inline.settled and inline.sent == inline.whole and not has_turn",
        "counts = not inline.settled and not has_turn",
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
        "MIN_COMPRESSED - 1 if encoder.compresses else LARGEST",
        "LARGEST",
        INLINE,
    ),
    Mutant(
        "a message goes past TLS",
        "    if stream.is_tls:\n        _send_encrypted(stream, token)",
        "    if False:\n        _send_encrypted(stream, token)",
        ("engine/test_lent_tls.py",),
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
        "        tokens.pop(token, None)\n        return accepted, taken",
        "        return accepted, taken",
        INLINE,
    ),
)
