"""Lets many connections run for long, amid restarts and reloads, and keeps count of every message.

    python bench/soak.py [--minutes 10] [--record FILE]

Both APIs, with and without reconnecting, ws and wss, with and without compression, talk to the server of
bench/soak_server.py, which is killed or ends in order at random, and is started again. Consumers are slow at
random, some so much that reading pauses; so are the server and the iterables that are sent. Both sides send
in bursts. Connections are closed or cut at random; and processes that were forked from this one, or started,
have connections of their own and are stopped amid traffic. The clients are in bench/soak_streams.py. The main
thread has connections too, amid alarms whose handlers use them (bench/soak_signals.py). Needs `websockets`,
and for wss `trustme` or the openssl command. Linux only.

Each message has an id, which its sender sends again, as another attempt, on each new connection until it is
acknowledged. What is asserted:

- lost: none. An id was acknowledged but is not in the server's journal; or of what one connection carried, in
  either direction, a number is missing before one that arrived; or a message arrived damaged.
- doubled: none. The same number was carried twice by one connection, in either direction.
- late: none. A call took 5 s longer than its time-out, a close 5 s longer than close_timeout, or an
  acknowledgement 30 s on an open connection; or the main thread stood still for 60 s, which shows all stacks
  and ends the run.
- unexplained: none. An open connection ended though nobody had ended it, neither we nor the server; a
  reloaded process failed; or the package logged an error, or left an exception to a thread's end.
- At the end, with the server up again, all ids are acknowledged within 30 s.
- Then, everything closed, there are as many threads and descriptors as in the beginning; and the median of
  resident memory in the last quarter was at most that of the second, plus a tenth, plus 8 MiB: the heap of a
  program with many threads settles late, and what grew with each message or connection would pass that.

Exit status 1 if one of these does not hold. Ctrl-C ends the run early, with its report.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import os
import random
import resource
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soak_server import ServerProcess
from soak_signals import Interrupted, Signalled
from soak_streams import Run, Stream, make_streams, reload

SAMPLE_SECONDS = 2.0
DRAIN_SECONDS = 30.0

FAULTS = "lost", "doubled", "late", "unexplained"


class Errors(logging.Handler):
    """Counts what the package logs as an error, and what it raises where nobody catches it."""

    def __init__(self, run: Run) -> None:
        super().__init__(logging.ERROR)
        self._run = run
        logger = logging.getLogger("syncws")
        logger.addHandler(self)
        logger.propagate = False  # Each loss is logged as a warning.
        threading.excepthook = lambda arguments: self.found(repr(arguments.exc_value))
        sys.unraisablehook = self.unraisable

    def emit(self, record: logging.LogRecord) -> None:
        self.found(record.getMessage())

    def unraisable(self, arguments: Any) -> None:
        # Python stops every exception in a finalizer, also that of a handler, which is no fault.
        if not isinstance(arguments.exc_value, Interrupted):
            self.found(f"{arguments.err_msg} {arguments.exc_value!r} in {arguments.object!r}")

    def found(self, text: str) -> None:
        self._run.fault("unexplained", text)


class Chaos:
    """The disturbances of the streams of this process."""

    def __init__(self, run: Run, server: ServerProcess, log: Path, ca: str | None) -> None:
        self._run = run
        self._server = server
        self._log = log
        self._ca = ca
        self._over = threading.Event()
        bodies = (self._restart, self._reload)
        self._threads = [threading.Thread(target=body, daemon=True) for body in bodies]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the disturbances; the server is up after this."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _restart(self) -> None:
        while not self._over.wait(random.uniform(4, 16)):
            # This comes before the signal, so that a loss from here on is explained.
            self._run.generation = None
            self._server.end(random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)))
            time.sleep(random.choice((0, random.uniform(0, 2))))
            self._run.generation = self._server.start()
            self._run.count("restarts")

    def _reload(self) -> None:
        for number in itertools.count():
            if self._over.wait(random.uniform(2, 10)):
                return
            name = f"reload-{number}-"
            code = self._fork(name) if random.random() < 0.5 else self._spawn(name)
            if code not in (0, -signal.SIGKILL):
                self._run.fault("unexplained", f"{name} ended with {code}")
            self._run.count("reloads")

    def _fork(self, name: str) -> int:
        """As a server that forks its workers does; the child must not disturb this process's connections."""
        with warnings.catch_warnings():
            # The warning says that fork and threads do not go together.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                # This leaves out wss: a thread that does not exist here may hold a lock of OpenSSL.
                reload(self._run.log, name, self._server.urls[:1], None)
                os._exit(0)
            except BaseException as error:
                os.write(2, f"{name}: {error!r}\n".encode())
            finally:
                os._exit(1)
        until = time.monotonic() + (60 if random.random() < 0.3 else random.uniform(0.5, 3))
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _spawn(self, name: str) -> int:
        command = [sys.executable, __file__, "--reload", name, str(self._log), *self._server.urls]
        command += ["--ca", self._ca] if self._ca else []
        process = subprocess.Popen(command, start_new_session=True)
        try:
            return process.wait(60 if random.random() < 0.3 else random.uniform(1, 4))
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def make_certificate(folder: Path) -> tuple[Path | None, str | None]:
    """A certificate with its key for the server, and what the clients trust; None without a tool for it."""
    certificate, ca = folder / "server.pem", folder / "ca.pem"
    try:
        import trustme
    except ImportError:
        pair = ["-keyout", str(certificate), "-out", str(ca)]
        name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *pair, *name]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None, None
        certificate.write_bytes(certificate.read_bytes() + ca.read_bytes())
        return certificate, str(ca)
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(ca))
    return certificate, str(ca)


def check(journal: Path, log: Path) -> Counter[str]:
    """Compare the acknowledgements with the journal. Returns the faults by their kinds."""
    faults: Counter[str] = Counter()
    present: dict[str, bytearray] = {}
    expected: Counter[tuple[str, str]] = Counter()
    with journal.open() as lines:
        for line in lines:
            stream, link, *numbers = line.split()
            if stream == "F":
                faults["lost"] += 1
                continue
            seq, id, _ = map(int, numbers)
            if seq != expected[stream, link]:
                faults["lost" if seq > expected[stream, link] else "doubled"] += 1
            expected[stream, link] = seq + 1
            ids = present.setdefault(stream, bytearray())
            ids.extend(bytes(max(0, id + 1 - len(ids))))
            ids[id] = 1
    with log.open() as lines:
        for line in lines:
            stream, rest = line.split(maxsplit=1)
            if stream == "F":
                faults[rest.split()[0]] += 1
                print("fault:", rest, end="", file=sys.stderr)
            elif not present.get(stream, b"")[int(rest) : int(rest) + 1].strip(b"\0"):
                faults["lost"] += 1
    return faults


class Report:
    """The table; every row is printed at once, and written to the record."""

    COLUMNS = (
        "connections",
        "losses",
        "restarts",
        "reloads",
        "signals",
        "sent",
        "received",
        "lost",
        "doubled",
        "late",
        "unexplained",
    )

    def __init__(self, record: Path | None) -> None:
        self._record = record
        self._began = time.monotonic()
        if record is not None:
            record.write_text("")

    def say(self, text: str) -> None:
        print(text, flush=True)
        if self._record is not None:
            with self._record.open("a") as file:
                file.write(text + "\n")

    def header(self) -> None:
        self.say(
            f"{'min':>6} {'threads':>7} {'fds':>5} {'MiB':>6}"
            + "".join(f"{name:>12}" for name in self.COLUMNS)
        )

    def row(self, counts: Counter[str]) -> None:
        minutes = (time.monotonic() - self._began) / 60
        threads, descriptors = threads_and_descriptors()
        figures = "".join(f"{counts[name]:>12,}" for name in self.COLUMNS)
        self.say(f"{minutes:>6.1f} {threads:>7} {descriptors:>5} {resident():>6.1f}{figures}")


def resident() -> float:
    """The resident memory in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def threads_and_descriptors() -> tuple[int, int]:
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def watch(run: Run, player: Signalled, report: Report, seconds: float) -> list[float]:
    """Run until the end, with a row a minute. Returns the samples of resident memory."""
    samples = []
    began = row_at = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < began + seconds:
            player.play(min(SAMPLE_SECONDS, seconds))
            samples.append(resident())
            if time.monotonic() >= row_at + 60:
                row_at += 60
                report.row(run.counts)
    return samples


def drain(streams: list[Stream], player: Signalled) -> int:
    """Run until everything is acknowledged. Returns how many ids are not."""
    until = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < until:
        left = player.open + sum(stream.outgoing.open for stream in streams)
        if not left:
            break
        player.play(0.1)
    return left


def soak(folder: Path, seconds: float, report: Report) -> bool:
    """The whole run. Returns True when every assertion holds."""
    journal, log = folder / "journal", folder / "log"
    journal.touch()
    certificate, ca = make_certificate(folder)
    run = Run(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    Errors(run)
    # The log's descriptor is among them, and is closed after the comparison.
    before = threads_and_descriptors()
    server = ServerProcess(journal, certificate)
    run.generation = server.start()
    streams = make_streams(run, "stream-", server.urls, ca)
    threads = [threading.Thread(target=stream.body, daemon=True) for stream in streams]
    report.say(f"CPython {sys.version.split()[0]}, {len(streams)} streams over {' and '.join(server.urls)}\n")
    report.header()
    for thread in threads:
        thread.start()
    chaos = Chaos(run, server, log, ca)
    player = Signalled(run, server.urls, ca and ssl.create_default_context(cafile=ca))
    samples = watch(run, player, report, seconds)
    chaos.stop()
    run.draining.set()
    open_ids = drain(streams, player)
    player.stop()
    run.generation = None
    run.stop.set()
    for thread in threads:
        thread.join(DRAIN_SECONDS)
    server.close()
    until = time.monotonic() + 5
    while (after := threads_and_descriptors()) != before and time.monotonic() < until:
        time.sleep(0.1)
    os.close(run.log)
    report.header()
    faults = check(journal, log)
    run.counts.update({kind: faults[kind] - run.counts[kind] for kind in FAULTS})
    report.row(run.counts)
    return judge(report, run.counts, open_ids, before, after, samples)


def judge(
    report: Report,
    counts: Counter[str],
    open_ids: int,
    before: tuple[int, int],
    after: tuple[int, int],
    samples: list[float],
) -> bool:
    quarter = len(samples) // 4
    warm, last = (
        (statistics.median(samples[quarter : 2 * quarter]), statistics.median(samples[-quarter:]))
        if quarter
        else (0.0, 0.0)
    )
    verdicts = {
        f"lost {counts['lost']}, doubled {counts['doubled']}": not (counts["lost"] or counts["doubled"]),
        f"late {counts['late']}": not counts["late"],
        f"unexplained ends {counts['unexplained']}": not counts["unexplained"],
        f"never acknowledged {open_ids}": not open_ids,
        f"threads and descriptors {before} before, {after} after": before == after,
        f"resident memory {warm:.1f} MiB in the second quarter, {last:.1f} MiB in the last": last
        <= 1.1 * warm + 8,
    }
    report.say("")
    for text, holds in verdicts.items():
        report.say(f"{'ok  ' if holds else 'FAIL'} {text}")
    return all(verdicts.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--record", type=Path, help="also write the table to this file")
    parser.add_argument("--reload", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--ca", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reload:
        name, log, *urls = arguments.reload
        reload(os.open(log, os.O_WRONLY | os.O_APPEND), name, urls, arguments.ca)
        return
    with tempfile.TemporaryDirectory() as folder:
        good = soak(Path(folder), 60 * arguments.minutes, Report(arguments.record))
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
