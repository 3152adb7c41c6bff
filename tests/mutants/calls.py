"""Faults of what programs call: the callback API's link, and the blocking API's connection."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "."

AMOUNT = ("websocket/test_buffered_amount.py",)
STATES = ("websocket/test_ready_state.py", "websocket/test_close.py")
CLOSE = ("connection/test_close.py",)
UNSENT = ("connection/test_unsent.py",)
RECV = ("connection/test_recv.py",)

MUTANTS = (
    Mutant(
        "bufferedAmount falls inside a callback",
        "        if self.dispatcher.callback_thread == threading.get_ident():\n"
        "            return self._send_queue",
        "        if False:\n            return self._send_queue",
        AMOUNT,
    ),
    Mutant(
        "bufferedAmount does not fall for another thread while a callback runs",
        "        if self.dispatcher.callback_thread == threading.get_ident():\n"
        "            return self._send_queue",
        "        if self.dispatcher.callback_thread is not None:\n            return self._send_queue",
        AMOUNT,
    ),
    Mutant(
        "a callback sees what was left in the one before",
        "            link.sent_as_seen = queue.sent\n",
        "",
        AMOUNT,
    ),
    Mutant(
        "message events come after close()",
        "            if link.ready_state != OPEN:\n                return False\n",
        "",
        STATES,
    ),
    Mutant(
        "a close in the middle of the opening is not carried out",
        "wishes: list[_Wish] = [WebSocketError(CLOSED_EARLY), frame, None, None]",
        "wishes: list[_Wish] = [None, frame, None, None]",
        STATES,
    ),
    Mutant(
        "what was not sent is not raised at the end of a with-block",
        "        if not unsent or threading.get_ident() in self._told:\n            return",
        "        return",
        UNSENT,
    ),
    Mutant(
        "what was not sent is raised once more at the end of a with-block",
        "        if not unsent or threading.get_ident() in self._told:\n            return",
        "        if not unsent:\n            return",
        UNSENT,
    ),
    Mutant(
        "the end of a with-block takes the place of an exception under way",
        "        if error is None:\n            raise self._closed_error()\n        log_warning",
        "        raise self._closed_error()\n        log_warning",
        UNSENT,
    ),
    Mutant(
        "close() is quiet where something was not sent",
        "        if self._close_and_wait(frame, timeout) and threading.get_ident() not in self._told:",
        "        if self._close_and_wait(frame, timeout) and False:",
        UNSENT,
    ),
    Mutant(
        "close() waits inside one's own iterable",
        "        if is_own_thread() or engine.is_sending_fragments_here():\n            return 0",
        "        if is_own_thread():\n            return 0",
        UNSENT,
    ),
    Mutant(
        "a with-block that Ctrl-C leaves waits as any other",
        "        if error is not None and not isinstance(error, Exception):\n"
        "            self._close_quickly()\n            return\n        try:\n            unsent",
        "        try:\n            unsent",
        ("connection/test_close.py", "connection/test_interrupts.py"),
    ),
    Mutant(
        "an iteration ends quietly though something was not sent",
        "                if self._all_was_sent():\n                    return\n                raise",
        "                return",
        UNSENT,
    ),
    Mutant(
        "an iteration raises on a quiet end",
        "                if closed.code not in _QUIET_CODES or",
        "                if True or",
        RECV,
    ),
    Mutant(
        "send() is taken after the last message was received",
        "        self._send_queue.stop_accepting()\n        return self._closed_error()",
        "        return self._closed_error()",
        ("hostile/test_closing_by_server.py",),
    ),
    Mutant(
        "a handler that raises loses the message that recv() takes at once",
        "                for message in inbox.source:\n                    return message",
        "                message = inbox.messages.popleft()\n                return message",
        UNSENT,
    ),
    Mutant(
        "a flush is quiet where something can never be sent",
        "        if self._engine.is_output_over and self.bufferedAmount:",
        "        if False:",
        ("connection/test_send.py",),
    ),
    Mutant(
        "one that is collected stays open",
        "            engine.close_collected(self)\n",
        "            pass\n",
        ("process/test_collection.py",),
    ),
)
