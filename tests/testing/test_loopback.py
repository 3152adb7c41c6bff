"""The scriptable server, driven by raw sockets: nothing of the client takes part."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import Frame, LoopbackServer, Peer, PeerClosed, Request, accept_key, frame_bytes
from tests.support.leftovers import open_descriptors
from tests.support.waiting import SECONDS

if TYPE_CHECKING:
    import trustme

pytestmark = pytest.mark.filterwarnings("error")

KEY = b"\x01\x02\x03\x04"
# The example of RFC 6455 1.3.
NONCE, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
REQUEST = (
    f"GET /chat?x=1 HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: {NONCE}\r\nX-One: a\r\nx-one:b \r\n\r\n"
).encode()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    yield
    assert set(threading.enumerate()) == threads
    assert open_descriptors() == descriptors


def dial(server: LoopbackServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def read_head(connection: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    return head.decode()


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    return frame_bytes(opcode, payload, fin=fin, key=KEY)


def converse(handler: Callable[[Peer], object], sent: bytes) -> bytes:
    """What a server answers to these bytes, until it ends TCP."""
    with LoopbackServer(handler) as server, dial(server) as client:
        client.sendall(sent)
        return read_all(client)


def talk(handler: Callable[[Peer], object], sent: bytes) -> bytes:
    """The same after the opening handshake."""

    def script(peer: Peer) -> None:
        peer.accept()
        handler(peer)

    _, _, rest = converse(script, REQUEST + sent).partition(b"\r\n\r\n")
    return rest


def end(peer: Peer) -> None:
    with pytest.raises(EOFError):
        peer.recv_frame()


class TestHandshake:
    def test_accept_key(self) -> None:
        assert accept_key(NONCE) == ACCEPT

    def test_answer(self) -> None:
        def script(peer: Peer) -> None:
            requests.append(
                peer.accept(
                    protocol="p", extensions="e; f", headers=[("X-A", "1"), ("X-A", "2")], glued=b"!?"
                )
            )
            assert peer.request is requests[0]

        requests: list[Request] = []
        assert converse(script, REQUEST).decode() == (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: p\r\n"
            "Sec-WebSocket-Extensions: e; f\r\nX-A: 1\r\nX-A: 2\r\n\r\n!?"
        )
        (request,) = requests
        assert (request.method, request.target, request.version) == ("GET", "/chat?x=1", "HTTP/1.1")
        assert request.headers.multi_items()[-2:] == [("X-One", "a"), ("x-one", "b")]
        assert request.headers.get("X-ONE") == "a, b"
        assert request.headers.get("none") is None
        assert request.headers.get("none", "d") == "d"

    def test_glued_goes_out_with_the_answer(self) -> None:
        def script(peer: Peer) -> None:
            peer.accept(glued=frame_bytes(Opcode.TEXT, b"early"))
            peer.wait_eof()

        with LoopbackServer(script) as server, dial(server) as client:
            client.sendall(REQUEST)
            assert client.recv(65536).endswith(b"\r\n\r\n\x81\x05early")

    def test_request_in_pieces_then_raw_bytes(self) -> None:
        def script(peer: Peer) -> None:
            peer.read_request()
            received.append(peer.recv_exactly(3))
            peer.send_bytes(b"go")
            received.extend((peer.recv_bytes(1), peer.recv_bytes(), peer.recv_bytes()))

        received: list[bytes] = []
        with LoopbackServer(script) as server, dial(server) as client:
            for byte in REQUEST + b"abc":
                client.sendall(bytes((byte,)))
            assert client.recv(2) == b"go"
            client.sendall(b"d")
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
        assert received == [b"abc", b"d", b"", b""]

    def test_buffered_bytes_come_first(self) -> None:
        def script(peer: Peer) -> None:
            peer.read_request()
            first = peer.recv_bytes(2)
            peer.send_bytes(first + b"|" + peer.recv_bytes())

        assert converse(script, REQUEST + b"abcd") == b"ab|cd"

    def test_two_requests_on_one_connection(self) -> None:
        def script(peer: Peer) -> None:
            peer.refuse(401, reason="Unauthorized", headers=[("WWW-Authenticate", "Basic")], body=b"no")
            peer.read_request()
            peer.accept()

        answer = converse(script, REQUEST + REQUEST)
        refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nWWW-Authenticate: Basic\r\n\r\nno"
        assert answer.startswith(refusal + b"HTTP/1.1 101 ")

    def test_refuse(self) -> None:
        assert converse(Peer.refuse, REQUEST) == b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    @pytest.mark.parametrize("head", [b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"])
    def test_not_http(self, head: bytes) -> None:
        with pytest.raises(ValueError, match="sent no HTTP request, but b.GET "):
            converse(Peer.accept, head)

    def test_no_key(self) -> None:
        with pytest.raises(ValueError, match="no Sec-WebSocket-Key"):
            converse(Peer.accept, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")


class TestFrames:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 1023, 1024, 65535, 65536, 1 << 20])
    @pytest.mark.parametrize("key", [None, KEY])
    def test_both_ways_at_every_length(self, size: int, key: bytes | None) -> None:
        payload = bytes(range(256)) * (size // 256 + 1)
        frame = frame_bytes(5, payload[:size], fin=False, rsv=6, key=key)

        def script(peer: Peer) -> None:
            frames.append(peer.recv_frame())
            end(peer)

        frames: list[Frame] = []
        with LoopbackServer(script) as server, dial(server) as client:
            client.sendall(frame)
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
        assert frames == [Frame(fin=False, rsv=6, opcode=5, masked=key is not None, payload=payload[:size])]

    def test_byte_by_byte(self) -> None:
        def script(peer: Peer) -> None:
            for size in (1, 126, 65536):
                assert peer.recv_frame().payload == b"z" * size

        with LoopbackServer(script) as server, dial(server) as client:
            for size in (1, 126):
                for byte in masked(Opcode.TEXT, b"z" * size):
                    client.sendall(bytes((byte,)))
            long = masked(Opcode.TEXT, b"z" * 65536)
            for cut in (*range(15), len(long) - 1):
                client.sendall(long[cut : cut + 1] if cut < 14 else long[14:-1] if cut == 14 else long[-1:])
            assert read_all(client) == b""

    def test_sends(self) -> None:
        def script(peer: Peer) -> None:
            peer.send("é")
            peer.send(memoryview(b"\x00"))
            peer.ping(b"i")
            peer.pong(b"o")
            peer.send_frame(3, b"x", fin=False, rsv=7, key=b"\x00\x00\x00\x01")
            peer.send_close(None)
            peer.send_close()
            peer.send_close(4000, "r")

        assert talk(script, b"") == (
            b"\x81\x02\xc3\xa9\x82\x01\x00\x89\x01i\x8a\x01o\x73\x81\x00\x00\x00\x01x"
            b"\x88\x00\x88\x02\x03\xe8\x88\x03\x0f\xa0r"
        )


class TestMessages:
    def test_fragments_are_joined_and_control_frames_answered_between(self) -> None:
        def script(peer: Peer) -> None:
            assert peer.recv() == "añb"
            assert peer.recv() == b"\xff"

        sent = (
            masked(Opcode.TEXT, b"a\xc3", fin=False)
            + masked(Opcode.PING, b"p")
            + masked(Opcode.CONTINUATION, b"\xb1", fin=False)
            + masked(Opcode.PONG, b"q")
            + masked(Opcode.CONTINUATION, b"b")
            + masked(Opcode.BINARY, b"\xff")
        )
        assert talk(script, sent) == b"\x8a\x01p"

    @pytest.mark.parametrize(
        ("payload", "code", "reason"), [(b"", None, ""), (b"\x03\xe8", 1000, ""), (b"\x0f\xa0r", 4000, "r")]
    )
    def test_a_close_is_raised_and_left_to_the_script(
        self, payload: bytes, code: int | None, reason: str
    ) -> None:
        def script(peer: Peer) -> None:
            with pytest.raises(PeerClosed) as caught:
                peer.recv()
            assert (caught.value.code, caught.value.reason) == (code, reason)

        assert talk(script, masked(Opcode.CLOSE, payload)) == b""
        # A script that lets it out has the server answer.
        answer = talk(Peer.recv, masked(Opcode.CLOSE, payload))
        assert answer == frame_bytes(Opcode.CLOSE, payload)

    def test_a_close_that_answers_the_scripts_is_not_answered_again(self) -> None:
        def script(peer: Peer) -> None:
            peer.send_close(4001)
            peer.recv()

        assert talk(script, masked(Opcode.CLOSE, b"\x0f\xa1")) == b"\x88\x02\x0f\xa1"

    @pytest.mark.parametrize(
        "sent",
        [
            frame_bytes(Opcode.TEXT, b"unmasked"),
            frame_bytes(Opcode.TEXT, b"", rsv=4, key=KEY),
            masked(Opcode.CONTINUATION, b"of nothing"),
            masked(Opcode.TEXT, b"", fin=False) + masked(Opcode.TEXT, b""),
        ],
    )
    @pytest.mark.parametrize("read", [Peer.recv, Peer.echo])
    def test_what_no_client_may_send(self, sent: bytes, read: Callable[[Peer], object]) -> None:
        with pytest.raises(ValueError, match="no client may send"):
            talk(read, sent)


class TestEcho:
    def test_kinds_fragments_ping_and_close(self) -> None:
        sent = (
            masked(Opcode.TEXT, b"one")
            + masked(Opcode.BINARY, b"\x00\xff")
            + masked(Opcode.BINARY, b"ab", fin=False)
            + masked(Opcode.PING, b"p")
            + masked(Opcode.PONG, b"ignored")
            + masked(Opcode.CONTINUATION, b"cd")
            + masked(Opcode.CLOSE, b"\x0f\xa0why")
        )
        with LoopbackServer() as server, dial(server) as client:
            client.sendall(REQUEST + sent + masked(Opcode.TEXT, b"after the Close"))
            rest = read_all(client).partition(b"\r\n\r\n")[2]
        assert rest == b"\x81\x03one\x82\x02\x00\xff\x8a\x01p\x82\x04abcd\x88\x05\x0f\xa0why"

    def test_byte_by_byte(self) -> None:
        with LoopbackServer() as server, dial(server) as client:
            for byte in REQUEST + masked(Opcode.TEXT, b"slow") + masked(Opcode.CLOSE):
                client.sendall(bytes((byte,)))
            assert read_all(client).partition(b"\r\n\r\n")[2] == b"\x81\x04slow\x88\x00"

    def test_heavy_both_ways(self) -> None:
        large, small, count = b"x" * (16 << 20), b"y" * 10, 20000
        sent = (
            REQUEST + masked(Opcode.BINARY, large) + masked(Opcode.TEXT, small) * count + masked(Opcode.CLOSE)
        )
        with LoopbackServer() as server, dial(server) as client:
            sender = threading.Thread(target=client.sendall, args=(sent,))
            sender.start()
            received = read_all(client).partition(b"\r\n\r\n")[2]
            sender.join()
        wanted = frame_bytes(Opcode.BINARY, large) + frame_bytes(Opcode.TEXT, small) * count + b"\x88\x00"
        assert received == wanted

    def test_a_client_that_leaves_is_no_error(self) -> None:
        with LoopbackServer() as server:
            with dial(server) as client:
                client.sendall(REQUEST)
                read_head(client)
            with dial(server):
                pass
            with dial(server) as client:
                client.sendall(REQUEST)
                read_head(client)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert server.errors == []
        assert len(server.connections) == 3


class TestEnd:
    def test_reset(self) -> None:
        def script(peer: Peer) -> None:
            peer.accept()
            peer.reset()

        with LoopbackServer(script) as server, dial(server) as client:
            client.sendall(REQUEST)
            with pytest.raises(ConnectionResetError):
                read_all(client)
                client.recv(1)

    def test_half_close(self) -> None:
        def script(peer: Peer) -> None:
            peer.half_close()
            received.append(peer.wait_eof())

        received: list[bytes] = []
        with LoopbackServer(script) as server, dial(server) as client:
            assert read_all(client) == b""
            client.sendall(b"still heard")
            client.shutdown(socket.SHUT_WR)
        assert received == [b"still heard"]

    def test_wait_eof_times_out_and_loses_nothing(self) -> None:
        def script(peer: Peer) -> None:
            assert peer.recv_exactly(1) == b"a"
            with pytest.raises(TimeoutError):
                peer.wait_eof(0.01)
            peer.send_bytes(b"go on")
            received.append(peer.wait_eof())

        received: list[bytes] = []
        with LoopbackServer(script) as server, dial(server) as client:
            client.sendall(b"abc")
            assert client.recv(5, socket.MSG_WAITALL) == b"go on"
            client.sendall(b"def")
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
        assert received == [b"bcdef"]

    def test_wait_eof_timeout_is_an_error_of_the_script(self) -> None:
        def script(peer: Peer) -> None:
            peer.wait_eof(0.01)

        with pytest.raises(TimeoutError), LoopbackServer(script) as server, dial(server) as client:
            assert read_all(client) == b""

    def test_wait_eof_takes_a_reset_for_an_end(self) -> None:
        def script(peer: Peer) -> None:
            peer.send_bytes(b"!")
            received.append(peer.wait_eof())

        received: list[bytes] = []
        with LoopbackServer(script) as server:
            with dial(server) as client:
                assert client.recv(1) == b"!"
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert received == [b""]


class TestServer:
    def test_url(self) -> None:
        with LoopbackServer() as server:
            assert server.url == f"ws://127.0.0.1:{server.port}/"
            assert server.url_for("/a?b") == f"ws://127.0.0.1:{server.port}/a?b"

    def test_only_loopback(self) -> None:
        with pytest.raises(ValueError, match="'0.0.0.0' is not"):
            LoopbackServer(host="0.0.0.0")

    def test_the_first_error_comes_out_at_the_end(self) -> None:
        def script(peer: Peer) -> None:
            raise LookupError(f"of connection {len(server.connections)}")

        with pytest.raises(LookupError, match="connection 1"), LoopbackServer(script) as server:
            for _ in range(2):
                with dial(server) as client:
                    assert read_all(client) == b""
        assert [str(error) for error in server.errors] == ["of connection 1", "of connection 2"]

    def test_the_blocks_own_error_wins(self) -> None:
        def script(peer: Peer) -> None:
            pytest.fail("in the script")  # no Exception, but a BaseException

        with pytest.raises(KeyError), LoopbackServer(script) as server, dial(server) as client:
            assert read_all(client) == b""
            raise KeyError
        assert [str(error) for error in server.errors] == ["in the script"]

    @pytest.mark.parametrize("blocked", ["read", "send", "wait"])
    def test_close_frees_a_script(self, blocked: str) -> None:
        def script(peer: Peer) -> None:
            begun.set()
            if blocked == "read":
                peer.recv_frame()
            elif blocked == "send":
                peer.send_bytes(bytes(64 << 20))
            else:
                assert peer.closing.wait(SECONDS)

        begun = threading.Event()
        with LoopbackServer(script) as server, dial(server):
            assert begun.wait(SECONDS)
            server.stop()
            server.stop()
            with pytest.raises(ConnectionRefusedError):
                dial(server)

    def test_close_names_a_script_that_does_not_end(self) -> None:
        def script(peer: Peer) -> None:
            begun.set()
            release.wait(SECONDS)

        begun, release = threading.Event(), threading.Event()
        server = LoopbackServer(script)
        with dial(server):
            assert begun.wait(SECONDS)
            with pytest.raises(RuntimeError, match=r"after 0\.01 s: syncws-loopback-1$"):
                server.stop(0.01)
            release.set()
            server.stop()

    def test_receive_buffer_stalls_the_sender(self) -> None:
        def script(peer: Peer) -> None:
            size.append(peer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
            peer.closing.wait(SECONDS)

        size: list[int] = []
        with LoopbackServer(script, receive_buffer=4096) as server, dial(server) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.sendall(bytes(1 << 20))
        assert size[0] <= 16384

    def test_many_at_once(self) -> None:
        with LoopbackServer() as server:
            clients = [dial(server) for _ in range(100)]
            for client in clients:
                client.sendall(REQUEST + masked(Opcode.TEXT, b"hi") + masked(Opcode.CLOSE))
            for client in clients:
                with client:
                    assert read_all(client).endswith(b"\x81\x02hi\x88\x00")
        assert len(server.connections) == 100


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    authority: trustme.CA = pytest.importorskip("trustme").CA()
    return authority


@pytest.fixture
def served(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class TestTLS:
    @staticmethod
    def dial(server: LoopbackServer, context: ssl.SSLContext) -> ssl.SSLSocket:
        # An end of TCP without a close_notify is an error here.
        raw = dial(server)
        with raw:
            return context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)

    def test_echo_ends_with_a_close_notify(self, served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
        with LoopbackServer(tls=served) as server:
            assert server.url_for("/x") == f"wss://localhost:{server.port}/x"
            with self.dial(server, trusting) as client:
                client.sendall(REQUEST + masked(Opcode.BINARY, bytes(100000)) + masked(Opcode.CLOSE))
                assert read_all(client).endswith(bytes(100000) + b"\x88\x00")

    def test_a_refused_certificate_is_noted(self, served: ssl.SSLContext) -> None:
        with LoopbackServer(lambda peer: pytest.fail("no script"), tls=served) as server:
            with pytest.raises(ssl.SSLCertVerificationError):
                self.dial(server, ssl.create_default_context())
            with dial(server) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):
                    read_all(client)
        assert len(server.tls_errors) == 2
        assert all(isinstance(error, ssl.SSLError) for error in server.tls_errors)

    def test_half_close_is_a_bare_fin_and_reading_goes_on(
        self, served: ssl.SSLContext, trusting: ssl.SSLContext
    ) -> None:
        def script(peer: Peer) -> None:
            peer.half_close()
            received.append(peer.wait_eof())

        received: list[bytes] = []
        with LoopbackServer(script, tls=served) as server, self.dial(server, trusting) as client:
            client.sendall(b"still heard")
            socket.socket.shutdown(client, socket.SHUT_WR)
            # OpenSSL 3.6: client.recv writes what it has to say, and finds its output ended.
            with pytest.raises((ssl.SSLEOFError, BrokenPipeError)):
                client.recv(1)
        assert received == [b"still heard"]

    def test_reset(self, served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
        with LoopbackServer(Peer.reset, tls=served) as server, self.dial(server, trusting) as client:
            # Before 3.13, the ssl module takes the RST for an end without close_notify.
            with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
                client.recv(1)

    def test_close_frees_a_script(self, served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
        def script(peer: Peer) -> None:
            peer.send_bytes(b"!")
            peer.recv_frame()

        with LoopbackServer(script, tls=served) as server, self.dial(server, trusting) as client:
            assert client.recv(1) == b"!"
            server.stop()

    def test_close_frees_a_handshake(self, served: ssl.SSLContext) -> None:
        with LoopbackServer(tls=served) as server, dial(server) as client:
            client.sendall(b"\x16")
        assert len(server.tls_errors) <= 1
