"""What waits in a patched program lets other greenlets run, keeps its time, and can be interrupted."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest
import trustme

from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer
from tests.embedding.greenlets.programs import run
from tests.support.servers import finish, hold
from tests.support.waiting import SECONDS

TICKER = """
    ticks = []

    def tick():
        while True:
            ticks.append(time.monotonic())
            greenlets.sleep(0.005)

    ticker = greenlets.spawn(tick)

    def ticks_during(call):
        before = len(ticks)
        call()
        return len(ticks) - before

    connection = syncws.connect(url, close_timeout=0.1, **options)
    # Half a second each; five ticks would come even on a machine that does much else.
    assert ticks_during(lambda: raises(TimeoutError, lambda: connection.recv(0.5))) > 5
    assert ticks_during(lambda: raises(TimeoutError, lambda: connection.ping(0.5))) > 5
    connection.send(bytes(50_000_000))  # more than the network takes from a server that does not read
    assert ticks_during(lambda: raises(TimeoutError, lambda: connection.flush(0.5))) > 5
    slow = dict(options, open_timeout=0.5)
    assert ticks_during(lambda: raises(TimeoutError, lambda: syncws.connect(url + "silent", **slow))) > 5
    ws = syncws.WebSocket(url, close_timeout=0.1, **options)
    assert ticks_during(lambda: raises(TimeoutError, lambda: ws.join(0.5))) > 5
    greenlets.kill(ticker)
    assert raises(syncws.ConnectionClosed, connection.close).unsent > 0
    ws.close()
    ws.join(20)
"""


def silent(peer: Peer) -> None:
    if peer.read_request().target != "/silent":
        peer.accept()
    hold(peer)


def test_other_greenlets_run_while_one_waits(
    library: str, secure: bool, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    context = server_ssl_context if secure else None
    with LoopbackServer(silent, tls=context, receive_buffer=65536) as server:
        run(TICKER, library, server.url, authority, tmp_path)


TIMEOUTS = """
    began = time.monotonic()
    failed = raises(TimeoutError, lambda: syncws.connect(url + "silent", open_timeout=0.3, **options))
    assert "open_timeout=0.3" in str(failed), failed

    # The TLS handshake, or the answer to it, does not come either.
    failures = []
    ws = syncws.WebSocket(url + "silent", open_timeout=0.3, onerror=failures.append, **options)
    ws.join(20)
    assert isinstance(failures[0].error, TimeoutError), failures

    with syncws.connect(url, close_timeout=0.3, **options) as connection:
        raises(TimeoutError, lambda: connection.recv(0))
        raises(TimeoutError, lambda: connection.recv(0.1))
        raises(TimeoutError, lambda: connection.ping(0.1))
        raises(TimeoutError, lambda: next(connection.recv_streaming(0.1)))
    closed = raises(syncws.ConnectionClosed, connection.recv)
    assert isinstance(closed.__cause__, TimeoutError), closed.__cause__  # close_timeout

    connection = syncws.connect(url, ping_interval=0.2, ping_timeout=0.2, **options)
    closed = raises(syncws.ConnectionClosed, lambda: connection.recv(20))
    assert "ping_timeout=0.2" in str(closed.__cause__), closed.__cause__
    assert time.monotonic() - began < 20
"""


def test_every_timeout_is_kept(
    library: str, secure: bool, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    with LoopbackServer(silent, tls=server_ssl_context if secure else False) as server:
        run(TIMEOUTS, library, server.url, authority, tmp_path)


def test_a_tls_handshake_that_is_not_answered_times_out(
    library: str, authority: trustme.CA, tmp_path: Path
) -> None:
    program = """
        failed = raises(TimeoutError, lambda: syncws.connect(url, open_timeout=0.3, **options))
        assert "TLS handshake" in str(failed), failed
    """
    with LoopbackServer(hold) as server:
        run(program, library, f"wss://localhost:{server.port}/", authority, tmp_path)


INTERRUPTED = """
    # The server sends numbers; they are received by greenlets that are killed or timed out all the time.
    import itertools, random

    random = random.Random(7)
    connection = syncws.connect(url, **options)
    got = []

    def receive():
        while True:
            got.append(connection.recv())

    def receive_in_time():
        while True:
            with contextlib.suppress(TimeoutError):
                got.append(connection.recv(0.01))

    for number in itertools.count():
        if got[-1:] == ["end"]:
            break
        if number % 2:
            with contextlib.suppress(greenlets.Timeout), greenlets.Timeout(random.random() / 200):
                random.choice([receive, receive_in_time])()
        else:
            receiver = greenlets.spawn(random.choice([receive, receive_in_time]))
            greenlets.sleep(random.random() / 200)
            greenlets.kill(receiver)
        connection.send("go on")
    assert got == [*map(str, range(3000)), "end"], len(got)
    assert number > 20
    # The connection is whole: it sends, receives, and closes.
    with contextlib.suppress(greenlets.Timeout), greenlets.Timeout(0.05):
        connection.ping()
    connection.close(3000)
    closed = raises(syncws.ConnectionClosed, connection.recv)
    assert (closed.code, closed.wasClean) == (3000, True), closed
"""


def count_up(peer: Peer) -> None:
    peer.accept()
    for number in range(3000):
        peer.send(str(number))
        if number % 50 == 0:
            peer.recv()
    peer.send("end")
    while True:  # until the Close
        peer.recv()


def test_a_greenlet_killed_or_timed_out_in_recv_loses_no_message(
    library: str, secure: bool, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    with LoopbackServer(count_up, tls=server_ssl_context if secure else False) as server:
        run(INTERRUPTED, library, server.url, authority, tmp_path)


def test_a_connect_that_is_timed_out_leaves_nothing_behind(
    library: str, secure: bool, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    program = """
        descriptors = lambda: sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []
        with syncws.connect(url, **options):  # what the library itself opens at the first use stays open
            pass
        before = descriptors()
        with greenlets.Timeout(0.3, False):
            syncws.connect(url + "silent", open_timeout=None, **options)
            raise AssertionError
        wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("syncws")])
        wait_until(lambda: len(descriptors()) <= len(before))
    """

    def script(peer: Peer) -> None:
        if peer.read_request().target == "/silent":
            peer.wait_eof(SECONDS)
        else:
            peer.accept()
            peer.echo()

    with LoopbackServer(script, tls=server_ssl_context if secure else False) as server:
        run(program, library, server.url, authority, tmp_path)


def test_a_connect_timed_out_at_any_moment_leaves_nothing_behind(
    library: str, secure: bool, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    program = """
        import random

        random = random.Random(7)
        opened = 0
        for number in range(100):
            with greenlets.Timeout(random.random() * random.choice([0, 0.001, 0.01]), False):
                with syncws.connect(url, **options) as connection:
                    opened += 1
        assert opened < 100
        wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("syncws")])
    """
    with LoopbackServer(tls=server_ssl_context if secure else False) as server:
        run(program, library, server.url, authority, tmp_path)


def test_a_message_in_parts_is_received_whole_by_the_greenlet_after_a_killed_one(
    library: str, authority: trustme.CA, tmp_path: Path
) -> None:
    program = """
        connection = syncws.connect(url, **options)
        receiver = greenlets.spawn(connection.recv)
        greenlets.sleep(0.1)
        greenlets.kill(receiver)
        connection.send("go on")
        assert connection.recv(20) == "begin, end"
        connection.close()
    """

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(Opcode.TEXT, b"begin, ", fin=False)
        peer.recv()
        peer.send_frame(Opcode.CONTINUATION, b"end")
        finish(peer)

    with LoopbackServer(script) as server:
        run(program, library, server.url, authority, tmp_path)


INTERRUPT = """
    import signal

    connection = syncws.connect(url, **options)

    if library == "gevent":
        gevent.get_hub().exception_stream = None  # without this it prints what it raises in the main greenlet
    # A timer, since it lets the signal come while all greenlets wait, as it mostly does.
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    for call in (connection.recv, lambda: connection.recv(20), lambda: next(connection.recv_streaming())):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        raises(KeyboardInterrupt, call)
        connection.send("hello")
        assert connection.recv(20) == "hello"
    connection.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no setitimer")
def test_ctrl_c_interrupts_recv_and_harms_nothing(
    library: str, authority: trustme.CA, tmp_path: Path
) -> None:
    with LoopbackServer() as server:
        run(INTERRUPT, library, server.url, authority, tmp_path)


LOOKING_UP = """
    # All threads of the pool that gevent looks names up with are taken, as by look-ups that hang.
    from gevent.monkey import get_original

    read, over = os.pipe()
    pool = gevent.get_hub().threadpool
    for _ in range(pool.maxsize):
        pool.spawn(get_original("os", "read"), read, 1)
    wait_until(lambda: pool.size == pool.maxsize)
    named = url.replace("127.0.0.1", "localhost")
    failed = raises(TimeoutError, lambda: syncws.connect(named, open_timeout=0.5))
    assert "looking up" in str(failed), failed
    with syncws.connect(url) as connection:  # a number needs no look-up
        connection.send("hello")
        assert connection.recv(20) == "hello"
    os.write(over, bytes(pool.maxsize))
    with syncws.connect(named) as connection:
        connection.send("hello")
        assert connection.recv(20) == "hello"
"""


def test_a_look_up_that_hangs_is_given_up_at_open_timeout(authority: trustme.CA, tmp_path: Path) -> None:
    with LoopbackServer() as server:
        run(LOOKING_UP, "gevent", server.url, authority, tmp_path)


SELECTING = """
    import select

    ticks = []

    def tick():
        while True:
            ticks.append(1)
            greenlets.sleep(0.005)

    ticker = greenlets.spawn(tick)
    connections = {syncws.connect(url, **options) for _ in range(3)}
    messages = []
    while connections:
        ready = select.select(list(connections), [], [], 20)[0]
        assert ready
        for connection in ready:
            try:
                messages.append(connection.recv(5))
            except syncws.ConnectionClosed:
                connections.remove(connection)
    greenlets.kill(ticker)
    assert sorted(messages) == sorted(["one", "two"] * 3), messages
    assert len(ticks) > 5
"""


def test_select_waits_for_connections_and_lets_other_greenlets_run(
    library: str, secure: bool, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    def speak(peer: Peer) -> None:
        peer.accept()
        peer.stall(0.1)
        peer.send("one")
        peer.stall(0.1)
        peer.send("two")
        peer.close(1000)

    with LoopbackServer(speak, tls=server_ssl_context if secure else None) as server:
        run(SELECTING, library, server.url, authority, tmp_path)
