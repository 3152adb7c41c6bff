"""The three real servers, each over ws and wss, for the whole folder."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import python_servers
from tests.support.clients import Client
from tests.support.waiting import SECONDS

if TYPE_CHECKING:
    import trustme

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("websockets", "aiohttp", "node-ws")
SCHEMES = ("ws", "wss")
NODE_MODULES = Path(os.environ.get("SYNCWS_NODE_MODULES") or ROOT / "node_modules")


@pytest.fixture(scope="module")
def python_roots(server_ssl_context: ssl.SSLContext) -> Iterator[dict[str, str]]:
    with python_servers.running(server_ssl_context) as roots:
        yield roots


@pytest.fixture(scope="module")
def node_roots(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    if not (NODE_MODULES / "ws" / "package.json").is_file():
        pytest.skip(f"Node's package ws is not in {NODE_MODULES.name}: run `npm install`")
    folder = tmp_path_factory.mktemp("node")
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    server = subprocess.Popen(
        [node, str(Path(__file__).with_name("echo.js")), str(folder / "cert.pem"), str(folder / "key.pem")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(NODE_MODULES.resolve())},
        text=True,
    )
    with server:  # closes its input, which ends it, and waits
        assert server.stdin is not None and server.stdout is not None
        ws, wss = server.stdout.readline().split()
        yield {"node-ws ws": f"ws://127.0.0.1:{ws}", "node-ws wss": f"wss://localhost:{wss}"}
        server.stdin.close()
        assert server.wait(SECONDS) == 0


@pytest.fixture(scope="module", params=[f"{server} {scheme}" for server in SERVERS for scheme in SCHEMES])
def root(request: pytest.FixtureRequest) -> str:
    """The root of the URLs of a server such as "aiohttp wss"; skips where it cannot run."""
    # The fixture has the scope of the module: otherwise the server would begin after the count of what a test
    # leaves.
    name: str = request.param
    roots: dict[str, str] = request.getfixturevalue("node_roots" if "node" in name else "python_roots")
    return roots[name]


@pytest.fixture
def connect(root: str, client_ssl_context: ssl.SSLContext) -> Callable[..., Client]:
    """Opens a recorded connection to a path of the present server."""

    def connect(path: str, *arguments: object, **options: object) -> Client:
        context = client_ssl_context if root.startswith("wss") else None
        return Client(root + path, *arguments, ssl_context=context, **options)  # type: ignore[arg-type]

    return connect
