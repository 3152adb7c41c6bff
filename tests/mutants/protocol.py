"""Faults of `syncws._protocol`: frames, compression, handshake, URLs, closing, keepalive."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_protocol"

DECODER = ("protocol/test_decoder.py",)
LIMITS = ("protocol/test_decoder_limits.py",)
STREAMING = ("protocol/test_decoder_streaming.py",)
ENCODER = ("protocol/test_encoder.py", "protocol/test_encoder_steps.py")
FRAMES = ("protocol/test_frames.py",)
DEFLATE = ("protocol/test_permessage_deflate.py",)
WHOLE = ("protocol/test_whole_messages.py",)
HANDSHAKE = ("protocol/test_handshake.py",)
HTTP = ("protocol/test_http11.py",)
URL = ("protocol/test_url.py",)
HOSTNAME = ("protocol/test_hostname.py",)
MESSAGES = ("protocol/test_messages.py",)
CLOSING = ("protocol/test_closing.py",)
CLOSING_DEADLINES = ("protocol/test_closing_deadlines.py",)
KEEPALIVE = ("protocol/test_keepalive.py",)

MUTANTS = (
    # Frames as they arrive.
    Mutant(
        "a control frame may have RSV1 where compression was negotiated",
        "or self.inflater is None or not starts_message:",
        "or self.inflater is None:",
        LIMITS,
    ),
    Mutant(
        "a message may have RSV1 where compression was not negotiated",
        "or self.inflater is None or not starts_message:",
        "or not starts_message:",
        DECODER,
    ),
    Mutant("a masked frame is accepted", "        if length_byte & MASKED:", "        if False:", DECODER),
    Mutant(
        "a control frame may be fragmented",
        "            if not head_byte & FIN:",
        "            if False:",
        DECODER,
    ),
    Mutant(
        "a control frame may announce 126 bytes",
        "            if length_byte > 125:",
        "            if length_byte > 126:",
        DECODER,
    ),
    Mutant(
        "a length may be announced in too many bytes",
        "if length < (126 if size == 2 else 65536):",
        "if length < (126 if size == 2 else 65535):",
        DECODER,
    ),
    Mutant(
        "a length may have 64 bits", "            if length >> 63:", "            if length >> 64:", DECODER
    ),
    Mutant(
        "a new message may begin inside a fragmented one",
        "        elif self._assembly is not None:\n            raise",
        "        elif False:\n            raise",
        DECODER,
    ),
    Mutant(
        "bytes after a Close frame are decoded",
        "            if self.ended is not None:\n                break",
        "            if False:\n                break",
        DECODER,
    ),
    Mutant(
        "a surrogate is refused only with its third byte",
        'if pending[:1] == b"\\xed" and pending[1:] >= b"\\xa0":',
        "if False:",
        DECODER,
    ),
    Mutant(
        "a character that is cut at the end of a message is accepted",
        '            self._utf8.decode(b"", True)  # This raises when the last character is cut.',
        "            pass",
        DECODER,
    ),
    Mutant(
        "a message may be one byte over max_size",
        "if self._max_size is not None and size > self._max_size:",
        "if self._max_size is not None and size > self._max_size + 1:",
        LIMITS,
    ),
    Mutant(
        "a fragment is checked without those before it",
        "self._check_size(assembly.size + length)",
        "self._check_size(length)",
        LIMITS,
    ),
    Mutant(
        "a read inflates all that it holds at once",
        "                if self._to_inflate <= 0:\n                    self.has_more = True",
        "                if False:\n                    self.has_more = True",
        STREAMING,
    ),
    Mutant(
        "empty steps of inflating cost nothing",
        "self._to_inflate -= max(len(plain), LEAST_STEP)",
        "self._to_inflate -= len(plain)",
        STREAMING,
    ),
    Mutant(
        "a large part is not split",
        "    if len(data) <= step:",
        "    if True:",
        STREAMING,
    ),
    Mutant(
        "each of the last parts ends the message",
        "final and start == starts[-1])",
        "final)",
        STREAMING,
    ),
    # Close codes.
    Mutant(
        "a server may send the code 1005",
        "frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})",
        "frozenset({1000, 1001, 1002, 1003, 1005, *range(1007, 1015)})",
        FRAMES,
    ),
    Mutant(
        "a server may send the code 5000",
        "3000 <= code <= 4999\n\n\nclass CloseFrame",
        "3000 <= code <= 5000\n\n\nclass CloseFrame",
        FRAMES,
    ),
    Mutant(
        "an application may send the code 1001",
        "(code == 1000 or 3000 <= code <= 4999)",
        "(code in (1000, 1001) or 3000 <= code <= 4999)",
        MESSAGES,
    ),
    Mutant("a reason may have 124 bytes", "    if size > 123:", "    if size > 124:", MESSAGES),
    Mutant(
        "a mutable buffer is not copied",
        "return _BINARY, view.tobytes()",
        "return _BINARY, data  # type: ignore[return-value]",
        MESSAGES,
    ),
    # Frames as they go out.
    Mutant(
        "a payload of 126 bytes gets a short header",
        "    if length < 126:\n        return bytes((head_byte, mask_bit | length))",
        "    if length <= 126:\n        return bytes((head_byte, mask_bit | length))",
        FRAMES,
    ),
    Mutant(
        "frames that go out together share a masking key",
        "return frames(items, os.urandom(4 * len(items)))",
        "return frames(items, os.urandom(4) * len(items))",
        ENCODER,
    ),
    Mutant(
        "every fragment of a compressed message has RSV1",
        "return head_byte | RSV1 * begins,",
        "return head_byte | RSV1,",
        ENCODER,
    ),
    Mutant(
        "a small message is compressed",
        "        if begins and final and len(payload) < MIN_COMPRESSED:",
        "        if False:",
        ENCODER,
    ),
    Mutant(
        "a large message is compressed in one step",
        "if len(payload) <= FRAGMENTED_ABOVE:",
        "if True:",
        ENCODER,
    ),
    Mutant(
        "a control frame is compressed",
        "if head_byte & 8 or not self._is_compressed",
        "if not self._is_compressed",
        ENCODER,
    ),
    # Compression.
    Mutant(
        "an inflated message may be larger than its limit by a whole step",
        "max(1, min(INFLATE_STEP, limit + 1))",
        "INFLATE_STEP",
        DEFLATE,
    ),
    Mutant(
        "the window may have 7 bits",
        '("8", "9", "10", "11", "12", "13", "14", "15")',
        '("7", "8", "9", "10", "11", "12", "13", "14", "15")',
        DEFLATE,
    ),
    Mutant(
        "a repeated parameter is accepted",
        "        if name in found:\n",
        "        if False:\n",
        DEFLATE,
    ),
    Mutant(
        "a compressor with a window of 256 bytes is used",
        "self.usable = parameters.client_max_window_bits > 8",
        "self.usable = True",
        (*DEFLATE, "property/test_codec.py"),
    ),
    Mutant(
        "the inflater keeps its context where the server gave it up",
        "        if final and not self.keeps_context:\n            self.zlib_stream = None",
        "        if False:\n            self.zlib_stream = None",
        DEFLATE,
    ),
    Mutant(
        "what follows a final block is lost",
        "position -= len(self.zlib_stream.unused_data)",
        "position -= 0",
        DEFLATE,
    ),
    # Whole messages, made on trial.
    Mutant(
        "a message is inflated by the connection's own state on trial",
        "zlib.decompressobj(-self._window_bits) if zlib_stream is None else zlib_stream.copy()",
        "zlib_stream or zlib.decompressobj(-self._window_bits)",
        WHOLE,
    ),
    Mutant(
        "the state of inflating is lost between two chunks",
        "        self.zlib_stream = stream\n        self.messages += found",
        "        self.messages += found",
        WHOLE,
    ),
    Mutant(
        "a message on trial may be longer than the limit",
        "None if len(plain) > limit or zlib_stream.eof else plain",
        "None if zlib_stream.eof else plain",
        WHOLE,
    ),
    Mutant(
        "what stands behind the end of a stream is lost on trial",
        "None if len(plain) > limit or zlib_stream.eof else plain",
        "None if len(plain) > limit else plain",
        WHOLE,
    ),
    Mutant(
        "without context a message on trial may refer to those before it",
        "            if not inflater.keeps_context:\n                stream = None\n",
        "",
        WHOLE,
    ),
    Mutant(
        "on trial a read may be inflated without an end",
        "while self.payload + size < _MOST_INFLATED and (payload",
        "while (payload",
        WHOLE,
    ),
    Mutant(
        "a frame over the limit is waited for by lease",
        "        return max(0, start + length - len(data)) if length <= self._limit else 0",
        "        return max(0, start + length - len(data))",
        WHOLE,
    ),
    Mutant(
        "a length in too many bytes is waited for by lease",
        "            if length < 126:\n                return 0\n",
        "",
        WHOLE,
    ),
    # The opening handshake.
    Mutant("any Sec-WebSocket-Accept is accepted", "    if accept != expected:", "    if False:", HANDSHAKE),
    Mutant(
        "an answer without the Connection header's upgrade is accepted",
        'if "upgrade" not in [option.lower() for option in connection]:',
        "if False:",
        HANDSHAKE,
    ),
    Mutant(
        "a subprotocol that was not asked for is accepted",
        "    if protocol not in request.protocols:",
        "    if False:",
        HANDSHAKE,
    ),
    Mutant(
        "a server may select no subprotocol where some were offered",
        "        if request.protocols and request.require_protocol:",
        "        if False:",
        HANDSHAKE,
    ),
    Mutant(
        "an extension may be selected twice",
        "        if deflate is not None:\n            raise",
        "        if False:\n            raise",
        HANDSHAKE,
    ),
    Mutant(
        "a header may be given twice in the answer",
        "    if len(values) != 1:",
        "    if not values:",
        HANDSHAKE,
    ),
    Mutant(
        "a header of the caller's is sent beside ours",
        "if field[0].lower() not in given]",
        "if True]",
        HANDSHAKE,
    ),
    # HTTP.
    Mutant(
        "a line that ends in CR LF keeps its CR",
        'line = bytes(self._received[line_start:end]).removesuffix(b"\\r")',
        "line = bytes(self._received[line_start:end])",
        HTTP,
    ),
    Mutant("an endless line is taken", "        if line_length > MAX_LINE:", "        if False:", HTTP),
    Mutant(
        "a value with a line break can be sent",
        'r"[\\r\\n\\0]|[^\\0-\\xff]"',
        'r"[\\n\\0]|[^\\0-\\xff]"',
        HTTP,
    ),
    # URLs.
    Mutant(
        "port 6000 is not blocked",
        "        *(6000, 6566, 6665,",
        "        *(6566, 6665,",
        URL,
    ),
    Mutant(
        "logs and errors show the query of a URL",
        'return f"{self.origin}{self.path}"',
        'return f"{self.origin}{self.resource}"',
        URL,
    ),
    Mutant("a fragment is accepted", '    if "#" in text:', "    if False:", URL),
    Mutant(
        "an IPv4 address may have five numbers",
        "if len(numbers) > 4 or None in numbers:",
        "if None in numbers:",
        URL,
    ),
    Mutant(
        "a lone surrogate in a URL is encoded",
        '"surrogatepass").decode("utf-16", "replace")',
        '"surrogatepass").decode("utf-16", "surrogatepass")',
        URL,
    ),
    Mutant(
        "a host name may have a label of 64 bytes",
        "0 < len(label) <= 63",
        "0 < len(label) <= 64",
        HOSTNAME,
    ),
    # Closing.
    Mutant(
        "a close is unclean though both Close frames have passed",
        "            self._settle(Outcome(code, frame.reason, was_clean=True), now)",
        "            self._settle(Outcome(code, frame.reason), now)",
        CLOSING,
    ),
    Mutant(
        "our Close does not wait for answers after the server's",
        "        self._enter(State.CLOSE_RECEIVED, now)\n        self._catching_up = True",
        "        self._enter(State.CLOSE_RECEIVED, now)",
        (*CLOSING, *CLOSING_DEADLINES),
    ),
    Mutant(
        "progress does not put the deadline of a close off",
        "moved_at = max(self._since, self._progress_at)",
        "moved_at = self._since",
        CLOSING_DEADLINES,
    ),
    Mutant(
        "a later time-out of close() takes the place of an earlier one",
        "if self._cut_at is None or at < self._cut_at:",
        "if True:",
        (*CLOSING, *CLOSING_DEADLINES),
    ),
    Mutant(
        "an abort loses an outcome that is settled",
        "        if self.state not in (State.SETTLED, State.FAILING):",
        "        if True:",
        CLOSING,
    ),
    Mutant(
        "the reason of our Close may be too long for its frame",
        '.encode("utf-8", "replace")[:123]',
        '.encode("utf-8", "replace")[:124]',
        CLOSING,
    ),
    # Memory.
    Mutant(
        "large messages return their memory to the system",
        "        if length >= LEAST_ROOM:\n            keep_freed_memory()\n",
        "",
        ("protocol/test_freed_memory.py",),
    ),
    # Keepalive.
    Mutant(
        "each ping puts the deadline off that an earlier one has set",
        "        if self._ping_requested_at is None:\n            self._ping_requested_at = now",
        "        self._ping_requested_at = now",
        KEEPALIVE,
    ),
    Mutant(
        "a ping that is stuck behind a slow send is not waited for",
        "since = max(self._ping_requested_at, progress_at)",
        "since = self._ping_requested_at",
        KEEPALIVE,
    ),
    Mutant(
        "bytes that the other side takes from the kernel are no sign of life",
        "return max(since, acknowledged_at) + self.timeout",
        "return since + self.timeout",
        ("protocol/test_keepalive_progress.py",),
    ),
)
