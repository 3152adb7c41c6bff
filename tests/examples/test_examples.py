"""What the documents show runs: the examples and the README's programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.examples.example_servers import serving
from tests.support.programs import PROGRAM_SECONDS, ROOT, run, spawn

EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.stem != "__init__")


def read_to_the_close(peer: Peer) -> None:
    """Read until the client's Close frame, which raises `PeerClosed`."""
    while True:
        peer.recv()


def readme_blocks() -> list[str]:
    text = (ROOT / "README.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# The README.


@pytest.mark.parametrize("number", [0, 1], ids=["callback", "blocking"])
def test_readme_eight_lines_print_the_echo(number: int) -> None:
    program = readme_blocks()[number]
    assert sum(bool(line.strip()) for line in program.splitlines()) <= 8
    with LoopbackServer() as server:
        out, err = run("-c", program.replace("ws://127.0.0.1:8765/", server.url))
    assert (out, err) == ("received hello\n", "")


# The examples.


def test_every_example_has_a_test() -> None:
    # Those that need more than the package alone are tested in tests/embedding.
    files = [path for folder in ("examples", "embedding") for path in (ROOT / "tests" / folder).rglob("*.py")]
    tests = "".join(path.read_text("utf-8") for path in files)
    assert [name for name in EXAMPLES if f'"examples.{name}"' not in tests] == []


def test_the_examples_are_found_beside_a_package_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "__init__.py").touch()
    with serving("examples.echo_server") as url:
        environment = {"PYTHONPATH": str(tmp_path)}
        out, _ = run("-m", "examples.echo_client", url, environment=environment)
    assert out == "received hello\n"


def test_echo_client_hears_the_echo_server() -> None:
    with serving("examples.echo_server") as url:
        assert run("-m", "examples.echo_client", url) == ("received hello\n", "")


def test_chat_prints_what_arrives_and_sends_what_is_typed() -> None:
    def greet(peer: Peer) -> None:
        peer.accept()
        peer.send("Grüß Gott")
        peer.send(f"you said {peer.recv()!r}")
        peer.recv()

    with LoopbackServer(greet) as server, spawn("-m", "examples.chat", server.url) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline() == "Grüß Gott\n"
            process.stdin.write("good morning\n")
            process.stdin.flush()
            assert process.stdout.readline() == "you said 'good morning'\n"
            out, err = process.communicate(timeout=PROGRAM_SECONDS)  # the end of its input
        finally:
            process.kill()
    assert (process.returncode, out, err) == (0, "", "")


def test_asyncio_bridge_hears_the_echo_in_the_event_loop() -> None:
    with LoopbackServer() as server:
        out, err = run("-m", "examples.asyncio_bridge", server.url)
    lines = [f"received message {number} in the thread of the event loop\n" for number in range(3)]
    assert (out, err) == ("".join(lines), "")


def test_asyncio_bridge_raises_what_went_wrong() -> None:
    with LoopbackServer(lambda peer: peer.refuse(403)) as server:
        _, err = run("-m", "examples.asyncio_bridge", server.url, status=1)
    assert err.endswith(f"syncws.HandshakeError: {server.url} answered 403 Forbidden\n")


def test_market_data_comes_back_after_each_loss() -> None:
    with serving("examples.market_server") as url:
        out, err = run("-m", "examples.market_data", url, "ACME", "GLOBEX", "--longest-pause", "0.1")
    *lines, last = out.splitlines()
    assert err.count("lost (1006: ") == err.count("; next attempt in ") == len(err.splitlines()) > 0
    # The server loses two connections and closes the third: five prices of each symbol on each of them.
    assert len([line for line in lines if line.startswith("lost (")]) == 2
    seen = [line.split() for line in lines if re.fullmatch(r"(ACME|GLOBEX) [\d.]+", line)]
    assert len(seen) == len(lines) - 2 == 3 * 5 * 2
    prices = {symbol: float(price) for symbol, price in seen}
    assert json.loads(last.removeprefix("the market is closed: ")) == prices


def test_logged_in_opens_the_websocket_with_the_cookie_of_the_login() -> None:
    def site(peer: Peer) -> None:
        request = peer.read_request()
        if request.method == "POST":
            form = peer.recv_exactly(int(request.headers.get("Content-Length") or 0))
            assert form == b"user=me&password=secret"
            peer.refuse(200, [("Set-Cookie", "session=5"), ("Connection", "close")], body=b"hello")
        elif request.headers.get("Cookie") == "session=5":
            peer.accept()
            peer.send("you are in")
            peer.send_close()
            read_to_the_close(peer)
        else:
            peer.refuse(401)

    with LoopbackServer(site) as server:
        login = server.url_for("/login").replace("ws:", "http:")
        out, err = run("-m", "examples.logged_in", login, server.url_for("/feed"), "me", "secret")
    assert (out, err) == ("you are in\n", "")


def test_request_response_matches_answers_that_come_out_of_order() -> None:
    def shuffle(peer: Peer) -> None:
        peer.accept()
        for _ in range(25):
            asked = [peer.recv() for _ in range(4)]
            for question in reversed(asked):
                peer.send(str(question))
        peer.recv()

    with LoopbackServer(shuffle) as server:
        out, err = run("-m", "examples.request_response", server.url)
        assert len(server.connections) == 1
    assert (out, err) == ("100 answers, 0 of them to another question\n", "")


def test_request_response_ends_when_the_server_does() -> None:
    def stop(peer: Peer) -> None:
        peer.accept()
        peer.recv()
        peer.send_close(3000, "enough")
        read_to_the_close(peer)

    with LoopbackServer(stop) as server:
        _, err = run("-m", "examples.request_response", server.url, status=1)
    # Questions of other threads may not have been sent, and then the text says that, too.
    assert "syncws.ConnectionClosed: connection closed: 3000 enough" in err
