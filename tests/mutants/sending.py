"""Faults of the way out: the send queue, whose turn it is to write, the outbox, the writer."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_engine"

QUEUE = ("engine/test_send_queue.py",)
OUTBOX = ("engine/test_outbox.py",)
WRITER = ("engine/test_writer.py",)
FRAGMENTS = ("engine/test_fragmented_send.py",)
PINGS = ("engine/test_pending_pings.py",)

MUTANTS = (
    # The send queue, and the turn.
    Mutant(
        "what is taken and sent between two looks makes the count negative",
        "        sent = self.sent  # This is read first, so that the result is never negative.\n"
        "        return self.taken + self.refused - sent",
        "        given = self.taken + self.refused\n        return given - self.sent",
        QUEUE,
    ),
    Mutant(
        "unsent bytes may be negative",
        "        sent = self.sent\n        return self.taken - sent",
        "        taken = self.taken\n        return taken - self.sent",
        QUEUE,
    ),
    Mutant(
        "a message that just fits is refused",
        "taken = accepted & (self.taken - self.sent + size <= self.max_buffered)\n                    wake",
        "taken = accepted & (self.taken - self.sent + size < self.max_buffered)\n                    wake",
        QUEUE,
    ),
    Mutant(
        "a message after the close is taken",
        "\n                    accepted = accept & (self.phase == ACCEPTING)",
        "\n                    accepted = accept",
        QUEUE,
    ),
    Mutant(
        "a message wakes no writer",
        "                    self.turn += wake  # SCHEDULED\n            finally",
        "                    wake = False\n            finally",
        QUEUE,
    ),
    Mutant(
        "a writer rests though it was called meanwhile",
        "            if self._called_again:\n                self._called_again = False\n"
        "            elif not self._notes",
        "            self._called_again = False\n            if not self._notes",
        QUEUE,
    ),
    Mutant(
        "a writer rests though a note has come",
        "            elif not self._notes and self.turn == WRITING:",
        "            elif self.turn == WRITING:",
        QUEUE,
    ),
    Mutant(
        "a call while another thread writes is forgotten",
        "            elif self.turn == WRITING:\n                self._called_again = True\n        if wake:",
        "        if wake:",
        QUEUE,
    ),
    Mutant(
        "a thread that yields its turn has nobody called",
        "                yields = True\n        if yields:\n            self.wake()",
        "                yields = True",
        QUEUE + WRITER,
    ),
    Mutant(
        "two threads write at a time",
        "            if self.turn == IDLE or self.turn == SCHEDULED:\n                self.turn = SCHEDULED",
        "            if self.turn == IDLE or self.turn == SCHEDULED or self.turn == WRITING:\n"
        "                self.turn = SCHEDULED",
        QUEUE,
    ),
    Mutant(
        "a close is queued twice",
        "                first = not self._close_call\n",
        "                first = True\n",
        QUEUE,
    ),
    Mutant(
        "a close gives up what waits behind a message in fragments",
        "                self._notes += notes[queues + finishes]",
        "                self._notes += notes[queues]",
        QUEUE,
    ),
    Mutant(
        "close() inside one's own iterable waits for itself",
        "others_wait = (fragmented.behind > 0) & (fragmented.thread != caller)",
        "others_wait = fragmented.behind > 0",
        QUEUE,
    ),
    Mutant(
        "a message is taken while one in fragments is finished for a close",
        "- finishes * (REFUSING - FINISHING)",
        "- finishes * REFUSING",
        QUEUE,
    ),
    Mutant(
        "fragments are taken after the one that a close waited for",
        "                self.phase += (taken & ends & (self.phase == FINISHING)) * (REFUSING - FINISHING)\n",
        "",
        QUEUE,
    ),
    Mutant(
        "a message follows the beginning of one that was left",
        "(mine & fragmented.begun & (self.phase < REFUSING)) * (REFUSING - self.phase)",
        "0",
        QUEUE,
    ),
    Mutant(
        "two messages go out in fragments at a time",
        "turns[(self.fragmented is self.nobody) & (self.phase == ACCEPTING)]",
        "turns[self.phase == ACCEPTING]",
        QUEUE,
    ),
    Mutant(
        "a message in fragments begins while the connection closes",
        "turns[(self.fragmented is self.nobody) & (self.phase == ACCEPTING)]",
        "turns[self.fragmented is self.nobody]",
        QUEUE,
    ),
    Mutant(
        "a thread that waits for the turn at fragments is not woken when it is free",
        "            self.waiters.notify()  # The next call may take the turn.\n",
        "            pass\n",
        QUEUE + FRAGMENTS,
    ),
    Mutant(
        "a thread that sends in fragments is not woken by a close",
        "            self.waiters.notify()  # Threads that wait to send in fragments go on at once.\n",
        "            pass\n",
        QUEUE,
    ),
    Mutant(
        "a message in fragments goes on after the server's Close",
        "                self.phase = CUT\n",
        "",
        QUEUE,
    ),
    Mutant(
        "what is dropped after the end changes the count that was told",
        "            counts = self.phase != SEALED\n",
        "            counts = True\n",
        QUEUE,
    ),
    Mutant(
        "in a forked child messages are taken",
        "        self.phase = max(REFUSING, self.phase)\n",
        "",
        QUEUE,
    ),
    # The outbox.
    Mutant(
        "a message goes out after the Close",
        "        elif self._state == WHOLE:\n            if self._ready:",
        "        else:\n            if self._ready:",
        OUTBOX,
    ),
    Mutant(
        "the Close goes out before what waits",
        "self._state != ENDED or self._ready or self._has_left:",
        "self._state != ENDED or self._has_left:",
        OUTBOX,
    ),
    Mutant(
        "the Close goes out before the message in fragments is finished",
        "if self._close is None or self._state != ENDED or",
        "if self._close is None or",
        OUTBOX,
    ),
    Mutant(
        "the Close goes out twice",
        "        self._has_left = True\n        self._controls = []",
        "        self._controls = []",
        OUTBOX,
    ),
    Mutant(
        "a ping that waits goes out after the Close",
        "        self._has_left = True\n        self._controls = []",
        "        self._has_left = True",
        OUTBOX,
    ),
    Mutant(
        "a ping is queued after the Close",
        "        if not self._has_left:\n            self._controls.append(frame)",
        "        self._controls.append(frame)",
        OUTBOX,
    ),
    Mutant(
        "what waits behind a message that was cut goes out",
        "            self._state = ENDED\n            self._behind = []",
        "            self._state = ENDED\n            self._ready += self._behind",
        OUTBOX,
    ),
    Mutant(
        "what waits behind a message in fragments is lost at its end",
        "        self._ready += self._behind\n        self._behind = []\n        self._state = WHOLE if",
        "        self._behind = []\n        self._state = WHOLE if",
        OUTBOX,
    ),
    Mutant(
        "messages are taken after the one that the Close waited for",
        "        self._state = WHOLE if self._close is None else ENDED",
        "        self._state = WHOLE",
        OUTBOX,
    ),
    Mutant(
        "a whole message gets into one in fragments",
        "        if self._state == INSIDE:\n            self._behind += frames",
        "        if self._state == INSIDE:\n            self._ready += frames",
        OUTBOX,
    ),
    Mutant(
        "a later Close takes the place of the first",
        "        if self._close is None or (note.last and not self.last):",
        "        if True:",
        OUTBOX,
    ),
    Mutant(
        "a fault's Close does not take the place of one that waits",
        "        if self._close is None or (note.last and not self.last):",
        "        if self._close is None:",
        OUTBOX,
    ),
    Mutant(
        "a Close always waits for the message in fragments",
        "        if note.finish and self._state in (INSIDE, FINISHING):",
        "        if self._state in (INSIDE, FINISHING):",
        OUTBOX,
    ),
    Mutant(
        "fragments count as messages",
        "            self._ready_fragments += 1\n",
        "",
        OUTBOX + WRITER,
    ),
    # The writer.
    Mutant(
        "a connection that never stops sending takes no turns with others",
        "                elif self._pool.has_waiting and queue.yield_turn():",
        "                elif False:",
        WRITER,
    ),
    Mutant(
        "a ping flood is answered in full",
        "collections.deque(maxlen=MAX_PONGS)",
        "collections.deque()",
        WRITER,
    ),
    Mutant(
        "control frames wait for the end of a large message",
        "            if is_boundary:\n                self._take_notes()\n"
        "                self._send_controls(stream)",
        "            pass",
        WRITER,
    ),
    Mutant(
        "a stopped writer goes on with its message",
        "            if queue.turn != WRITING:\n"
        '                raise BrokenPipeError("the connection was shut down")\n',
        "",
        WRITER,
    ),
    Mutant(
        "large data is counted at its end",
        "            queue.sent += sent\n            queue.waiters.notify()\n",
        "            queue.sent += sent * (done == sum([len(payload) for _, payload in frames]))\n"
        "            queue.waiters.notify()\n",
        WRITER,
    ),
    Mutant(
        "a thread that waits for room is woken at the end alone",
        "            queue.sent += sent\n            queue.waiters.notify()\n",
        "            queue.sent += sent\n",
        WRITER,
    ),
    Mutant(
        "a fault's Close does not end the output",
        "            if self._outbox.last:\n                stream.end_output()",
        "            pass",
        WRITER,
    ),
    Mutant(
        "the time of a ping is not told",
        "            self.ping_sent_at = time.monotonic()\n            self._on_change()",
        "            self.ping_sent_at = time.monotonic()",
        WRITER,
    ),
    Mutant(
        "a pong leaves as late as the keepalive's ping",
        "        if any(head_byte == PING for head_byte, _ in controls):",
        "        if True:",
        WRITER,
    ),
    Mutant(
        "a ping awaits its pong only when it has left",
        "                self._pings.sent(note)\n"
        "                self._outbox.put_control((PING, note.payload))",
        "                self._outbox.put_control((PING, note.payload))",
        WRITER,
    ),
    Mutant(
        "what could not be sent is kept after the end",
        "        self._queue.take_notes()\n        self._outbox = Outbox()",
        "        pass",
        WRITER,
    ),
    Mutant(
        "a blocked writer is not freed by the end",
        "            self._stream.shutdown()",
        "            pass",
        WRITER,
    ),
    Mutant(
        "the stream is freed while a writer is in it",
        "        self._queue.waiters.wait_until(lambda: self.is_finished)",
        "        pass",
        WRITER,
    ),
    Mutant(
        "an error of the writer is not told",
        "            self.error = error\n        self._queue.finish()",
        "            pass\n        self._queue.finish()",
        WRITER,
    ),
    Mutant(
        "the reader does not hear of the writer's end",
        "            finally:\n                self._on_change()",
        "            finally:\n                pass",
        WRITER,
    ),
    # Messages in fragments, and pings.
    Mutant(
        "a message in fragments waits for those behind it",
        "        return self._queue.unsent - self.behind_bytes <= room",
        "        return self._queue.unsent <= room",
        FRAGMENTS,
    ),
    Mutant(
        "a message in fragments is queued without bound",
        "            if not self._fits(room):",
        "            if False:",
        FRAGMENTS,
    ),
    Mutant(
        "send() of an iterable inside one waits for itself",
        "        if queue.fragmented.thread == self.thread:",
        "        if False:",
        FRAGMENTS,
    ),
    Mutant(
        "chunks of both kinds make one message",
        "            if kind != opcode:",
        "            if False:",
        FRAGMENTS,
    ),
    Mutant(
        "a pong answers its own ping alone",
        "            ping = sent.popleft()\n            ping.pong_at = now\n",
        "            ping = sent.popleft()\n"
        "            ping.pong_at = now if ping.payload == payload else None\n",
        PINGS,
    ),
    Mutant(
        "a pong that nobody asked for answers the pings that wait",
        "        if not any(sent[index].payload == payload for index in range(count)):\n            return\n",
        "",
        PINGS,
    ),
    Mutant(
        "a pong answers later pings too",
        "            if ping.payload == payload:\n"
        "                self.round_trip = now - ping.asked_at\n                break",
        "            if ping.payload == payload:\n                self.round_trip = now - ping.asked_at",
        PINGS,
    ),
    Mutant(
        "the end of the connection frees no ping",
        "        self._ended = True\n        self._waiters.notify()",
        "        self._ended = True",
        PINGS,
    ),
)
