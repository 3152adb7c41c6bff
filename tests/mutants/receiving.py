"""Faults of the way in: the inbox, the event queue, the bound."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_engine"

INBOX = ("engine/test_inbox.py",)
BOUND = ("engine/test_receive_bound.py",)
EVENTS = ("engine/test_event_queue.py",)

MUTANTS = (
    # The inbox.
    Mutant(
        "a handler that raises loses the message that recv() takes",
        "                    for message in self.source:\n                        return message",
        "                    message = self.messages.popleft()\n                    return message",
        INBOX,
    ),
    Mutant(
        "what waits to be taken counts as dealt with",
        "            self._back_at += (self._put_count - self._back_at) * is_empty",
        "            self._back_at += self._put_count - self._back_at",
        INBOX,
    ),
    Mutant(
        "a message that comes is taken for dealt with",
        "            self.messages += messages\n            self._put_count += 1",
        "            self.messages += messages",
        INBOX,
    ),
    Mutant(
        "a part that comes is taken for dealt with",
        "            self._put_count += message.claimer is not None\n",
        "",
        INBOX,
    ),
    Mutant(
        "a part that is about to be claimed is taken for dealt with",
        "caught_up = not is_claiming and self._back_at",
        "caught_up = self._back_at",
        INBOX,
    ),
    Mutant(
        "what was claimed is taken for dealt with",
        "self._put_count += message.claimer is call",
        "self._put_count += 0",
        INBOX,
    ),
    Mutant(
        "a paused reader is not woken by the consumer that takes",
        "            self.fast_above = count if self._streaming.call is None else NEVER",
        "            self.fast_above = 0",
        INBOX,
    ),
    Mutant(
        "taking one of the last messages does not wake a paused reader",
        "                if count <= self._bound.wake_below:\n                    self.on_room()",
        "                if False:\n                    self.on_room()",
        INBOX,
    ),
    Mutant(
        "a stream that takes parts does not wake a paused reader",
        "                if self._reader_waits:\n                    self.on_room()\n"
        "                if part.data:",
        "                if part.data:",
        INBOX,
    ),
    Mutant(
        "the reader that asked is not told that the application is back",
        "            self._back_at += (self._put_count - self._back_at) * is_empty\n"
        "        if self._reader_waits:\n            self.on_room()",
        "            self._back_at += (self._put_count - self._back_at) * is_empty",
        INBOX,
    ),
    Mutant(
        "the end comes before the messages",
        "                if not self.messages:  # The end is set after the last message was put.",
        "                if True:",
        INBOX,
    ),
    Mutant(
        "parts that come after their stream was left are kept",
        "        if message.skipped:\n            message.parts.clear()",
        "        if False:\n            message.parts.clear()",
        INBOX,
    ),
    Mutant(
        "a stream that is left early leaves its parts",
        "            message.skipped = True\n            message.parts.clear()",
        "            message.skipped = True",
        INBOX,
    ),
    Mutant(
        "a stream that is left early does not skip the rest",
        "            message.skipped = True\n            message.parts.clear()",
        "            message.parts.clear()",
        INBOX,
    ),
    Mutant(
        "a message is streamed and joined at once",
        "            message.claimer = claimers[message.claimer is None]\n"
        "        if message.claimer is self:",
        "            message.claimer = self\n        if message.claimer is self:",
        INBOX,
    ),
    Mutant(
        "a stream claims what the inbox has joined",
        "                    message.claimer = claimers[message.claimer is None]\n"
        "                    self._put_count",
        "                    message.claimer = call\n                    self._put_count",
        INBOX,
    ),
    Mutant(
        "two calls stream at a time",
        "            streaming.call = calls[streaming.call is None]",
        "            streaming.call = call",
        INBOX,
    ),
    Mutant(
        "recv() takes a message past one that is streamed",
        "            self.fast_above += (NEVER - self.fast_above) * (streaming.call is call)\n",
        "",
        INBOX,
    ),
    Mutant(
        "after a stream no consumer takes quickly",
        "            self.fast_above += (bound.wake_below - self.fast_above) * mine\n",
        "",
        INBOX,
    ),
    Mutant(
        "a thread that waits for the end of a stream is not woken",
        "            self.fast_above += (bound.wake_below - self.fast_above) * mine\n"
        "        self.waiters.notify()\n",
        "            self.fast_above += (bound.wake_below - self.fast_above) * mine\n",
        INBOX,
    ),
    Mutant(
        "a thread that streams waits for itself in recv()",
        "        if call is not None and call.thread == threading.get_ident():",
        "        if False:",
        INBOX,
    ),
    Mutant(
        "a message that is not whole holds up the thread that waits for it",
        "return collected >= max(bound.max_bytes, LARGEST_UNASKED) and not asked",
        "return collected >= max(bound.max_bytes, LARGEST_UNASKED)",
        INBOX,
    ),
    Mutant(
        "a message that is not whole comes without bound",
        "return collected >= max(bound.max_bytes, LARGEST_UNASKED) and not asked",
        "return False",
        INBOX,
    ),
    Mutant(
        "a paused reader goes on with the first message that is taken",
        "        if bound.wake_below and waiting:  # Reading is paused until half of the bound is taken.\n"
        "            return waiting >= bound.wake_below\n",
        "",
        INBOX,
    ),
    Mutant(
        "what was read by lease is outside the bound",
        "        for count, size in leased:\n            self.put(count, size)",
        "        pass",
        ("engine/test_inbox.py", "engine/test_read_lease.py"),
    ),
    Mutant(
        "in a forked child the parent's messages can be taken",
        "        self.messages.clear()\n        self._streaming.incoming = None\n",
        "        self._streaming.incoming = None\n",
        INBOX,
    ),
    # The bound.
    Mutant(
        "a batch counts no more when its first message is taken",
        "        while batches and batches[0][0] <= taken:",
        "        while batches and batches[0][0] <= taken + 1:",
        BOUND,
    ),
    Mutant(
        "reading goes on with the first batch that is taken",
        "            if size > self.max_bytes / 2:",
        "            if size > self.max_bytes:",
        BOUND + INBOX,
    ),
    # The event queue.
    Mutant(
        "what the worker has taken counts no more",
        "            self._in_progress_messages = self._messages\n"
        "            self._in_progress_bytes = self._bytes\n",
        "",
        EVENTS,
    ),
    Mutant(
        "the bytes that wait for the worker are not bounded",
        "        full = _reaches(size, self._max_bytes) or _reaches(count",
        "        full = _reaches(count",
        EVENTS,
    ),
    Mutant(
        "what the worker has dealt with goes on counting",
        "            self._in_progress_messages = self._in_progress_bytes = 0\n            self._idle",
        "            self._idle",
        EVENTS,
    ),
    Mutant(
        "the worker that is dispatching counts as caught up",
        "            self._entries = fresh\n            self._idle = False",
        "            self._entries = fresh",
        EVENTS,
    ),
    Mutant(
        "the worker that comes back to more counts as caught up",
        "            caught_up = self._idle & (not self._entries)",
        "            caught_up = not self._entries",
        EVENTS,
    ),
    Mutant(
        "the worker does not tell the reader that it is back",
        "            self._idle = not self._entries\n        if self._reader_waits:\n"
        "            self.on_room()",
        "            self._idle = not self._entries",
        EVENTS,
    ),
    Mutant(
        "the reader asks to be told after its look at the queue",
        "        self._reader_waits = True\n        with self.leaf:  # Without the leaf the worker",
        "        with self.leaf:  # Without the leaf the worker",
        EVENTS,
    ),
)
