"""The examples that carry files and long texts, line by line or as one message."""

from __future__ import annotations

import random
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.examples.example_servers import serving
from tests.support import python_servers
from tests.support.programs import ROOT, communicate, run, spawn

if TYPE_CHECKING:
    import trustme


@pytest.fixture(scope="module")
def aiohttp_url(server_ssl_context: ssl.SSLContext) -> Iterator[str]:
    """An aiohttp server's echo over wss."""
    # The fixture has the scope of the module: otherwise the server would begin after the count of what a test
    # leaves.
    with python_servers.running(server_ssl_context) as roots:
        yield roots["aiohttp wss"] + "/echo"


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_stream_file_streams_5_mb_over_wss(aiohttp_url: str, ca_file: str, tmp_path: Path) -> None:
    """The newcomer's test: a complete script, outside of the clone, against aiohttp."""
    script, text = tmp_path / "script.py", tmp_path / "book.txt"
    script.write_text((ROOT / "examples" / "stream_file.py").read_text("utf-8"), "utf-8")
    words = random.Random(5)
    lines, size = [], 0
    while size < 5_000_000:
        lines.append("Zeile – " + "ш" * words.randrange(200) + "a" * words.randrange(200))
        size += len(lines[-1].encode()) + 1
    text.write_text("\n".join(lines), "utf-8", newline="\n")
    program = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    out, err = run("-c", program, str(script), aiohttp_url, str(text), "--ca", ca_file)
    assert out == f"closed: 1000 \n{len(lines)} of {len(lines)} lines came back, 0 of them changed\n"
    assert err == ""


def test_stream_file_counts_lines_that_changed(tmp_path: Path) -> None:
    def change(peer: Peer) -> None:
        peer.accept()
        while True:
            peer.send(str(peer.recv()).upper())

    text = tmp_path / "text"
    text.write_text("ONE\ntwo\nTHREE\n")
    with LoopbackServer(change) as server:
        out, err = run("-m", "examples.stream_file", server.url, str(text), status=1)
    assert out == "closed: 1000 \n3 of 3 lines came back, 1 of them changed\n"
    assert err == ""


def test_stream_file_tells_why_it_could_not_connect(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("one\n")
    with LoopbackServer(lambda peer: peer.refuse(503, reason="Not Now")) as server:
        out, _ = run("-m", "examples.stream_file", server.url, str(text), status=1)
    assert out.startswith(f"error: {server.url} answered 503 Not Now\nclosed: 1006")


def test_upload_and_download_carry_a_file_unchanged(tmp_path: Path) -> None:
    up, down = tmp_path / "up", tmp_path / "down"
    up.write_bytes(random.Random(7).randbytes(20_000_001))  # more than the default max_size
    with serving("examples.file_server", str(up)) as url:
        out, err = run("-m", "examples.upload", url + "upload", str(up))
        assert out == "the server says: 20000001 bytes received\n"
        # The carriage returns that draw the bar over itself are newlines here.
        assert err.count("[") > 100 and err.endswith(f"[{'#' * 40}] 100%\n")
        done = [int(percent) for percent in re.findall(r"(\d+)%", err)]
        assert done == sorted(done)
        out, err = run("-m", "examples.download", url + "download", str(down))
    assert (out, err) == (f"20000001 bytes in {down}\n", "")
    assert down.read_bytes() == up.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["down", "up"]


def test_upload_sends_one_message(tmp_path: Path) -> None:
    def hear(peer: Peer) -> None:
        peer.accept()
        peer.send(f"{peer.recv()!r}")
        peer.recv()

    contents = {"empty": b"", "short": b"short", "long": b"x" * 200_000}
    with LoopbackServer(hear) as server:
        programs = {}
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
            programs[name] = spawn("-m", "examples.upload", server.url, str(tmp_path / name))
        for name, content in contents.items():
            out, err = communicate(programs[name])
            assert out == f"the server says: {content!r}\n"
            assert err.endswith("100%\n")


def test_download_keeps_no_half_file(tmp_path: Path) -> None:
    def cut(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(2, b"half", fin=False)

    file = tmp_path / "file"
    with LoopbackServer(cut) as server:
        _, err = run("-m", "examples.download", server.url, str(file), status=1)
    assert "syncws.ConnectionClosed: connection failed: 1006" in err
    assert not file.exists()
