"""Runs the Autobahn|Testsuite against syncws, and compares the outcome with expected.json.

    python compliance/run.py --suite VENV [--api callback|blocking] [--tls] [--cases 1.*,6.4.*] [--fast]

VENV is the virtual environment of the suite; README.md says how to make it. Without --api and --tls all
four combinations run. Exit status 0 when every case has its expected outcome.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ALL_CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.*", "13.*")
# --fast leaves out the large messages, and of each compression group all but the three smallest cases.
SLOW_CASES = ("9.*", *(f"{group}.{i}.{j}" for group in (12, 13) for i in range(1, 8) for j in range(4, 19)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def certificate(folder: Path) -> dict[str, str]:
    """A certificate made afresh; the names are those of the suite's specification file."""
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    paths = {name: str(folder / f"{name}.pem") for name in ("key", "cert", "ca")}
    issued.private_key_pem.write_to_path(paths["key"])
    issued.cert_chain_pems[0].write_to_path(paths["cert"])
    authority.cert_pem.write_to_path(paths["ca"])
    return paths


def wait_listening(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the fuzzing server does not start; see its output above")


def run(suite: Path, api: str, tls: bool, cases: list[str], exclude: list[str]) -> dict[str, Any]:
    """One run of the suite; returns its index of outcomes, by case."""
    agent = f"syncws-{api}-{'wss' if tls else 'ws'}"
    with tempfile.TemporaryDirectory(prefix="syncws-compliance-") as name:
        folder = Path(name)
        port = free_port()
        url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}"
        pem = certificate(folder) if tls else {}
        spec: dict[str, Any] = {"url": url, "outdir": str(folder / "reports"), "cases": cases}
        spec |= {"exclude-cases": exclude, "exclude-agent-cases": {}}
        spec |= {"key": pem.get("key"), "cert": pem.get("cert")}
        (folder / "spec.json").write_text(json.dumps(spec))
        python, script = str(suite / "bin" / "python"), str(HERE / "fuzzingserver.py")
        command = [python, "-W", "ignore", script, str(folder / "spec.json")]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as server:
            try:
                wait_listening(server, port)
                client = [
                    sys.executable,
                    HERE / "client.py",
                    api,
                    url,
                    agent,
                    *filter(None, [pem.get("ca")]),
                ]
                subprocess.run(client, check=True)
                index: dict[str, Any] = json.loads((folder / "reports" / "index.json").read_text())
                return index[agent]  # type: ignore[no-any-return]
            finally:
                server.terminate()


def compare(outcomes: dict[str, Any], whole: bool) -> int:
    """Print what differs from expected.json; returns how many cases do."""
    expected = json.loads((HERE / "expected.json").read_text())
    different = 0
    for case, outcome in sorted(
        outcomes.items(), key=lambda item: [int(part) for part in item[0].split(".")]
    ):
        got = [outcome["behavior"], outcome["behaviorClose"]]
        if got != expected["exceptions"].get(case, expected["default"]):
            different += 1
            print(f"  {case}: {' / '.join(got)}, remote close code {outcome['remoteCloseCode']}")
    if whole and len(outcomes) != expected["cases"]:
        different += 1
        print(f"  {len(outcomes)} cases were reported, {expected['cases']} are expected")
    return different


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", required=True, type=Path)
    parser.add_argument("--api", choices=("callback", "blocking"))
    parser.add_argument("--tls", action="store_true", help="only over wss; with --api, else only over ws")
    parser.add_argument("--cases", help="patterns, comma-separated, instead of all")
    parser.add_argument("--fast", action="store_true", help="leave out the large and slow cases")
    arguments = parser.parse_args()
    apis = [arguments.api] if arguments.api else ["callback", "blocking"]
    layers = [True] if arguments.tls else [False] if arguments.api else [False, True]
    cases = arguments.cases.split(",") if arguments.cases else list(ALL_CASES)
    exclude = list(SLOW_CASES) if arguments.fast else []
    whole = not arguments.cases and not arguments.fast
    failed = 0
    for tls in layers:
        for api in apis:
            print(f"{api} over {'wss' if tls else 'ws'}", flush=True)
            outcomes = run(arguments.suite.resolve(), api, tls, cases, exclude)
            different = compare(outcomes, whole)
            failed += different
            print(f"  {len(outcomes)} cases, {different} not as expected", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
