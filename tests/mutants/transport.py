"""Faults of `syncws._transport`: from a name to a stream of bytes."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_transport"

DIALER = ("transport/test_dialer.py",)
RESOLVER = ("transport/test_resolver.py",)
POLLER = ("transport/test_poller.py", "transport/test_poller_wakes.py")
STREAM = ("transport/test_stream.py",)
CERTIFICATES = ("transport/test_tls_certificates.py",)
TRUST = ("reach/test_trust.py",)
BROKEN_ENDS = ("transport/test_tls_broken_ends.py",)

MUTANTS = (
    Mutant(
        "an address that does not answer holds up the next one",
        "if waiting and (not self._pending or now >= next_at):",
        "if waiting and not self._pending:",
        DIALER,
    ),
    Mutant(
        "a failure does not bring the next address forward",
        "                next_at = now  # RFC 8305 5: a failure starts the next attempt.",
        "                pass",
        DIALER,
    ),
    Mutant(
        "the errors of earlier addresses are lost",
        "described.__context__ = self._failures[-1] if self._failures else None",
        "described.__context__ = None",
        DIALER,
    ),
    Mutant(
        "a socket that refused is left open",
        "        elif code:\n            sock.close()",
        "        elif code:",
        DIALER,
    ),
    Mutant(
        "sockets that lost the race are left open",
        "        for sock in self._pending:\n            sock.close()",
        "        pass",
        DIALER,
    ),
    Mutant(
        "a thousand addresses use a thousand descriptors",
        "            if len(self._pending) >= MAX_PENDING:",
        "            if False:",
        DIALER,
    ),
    Mutant(
        "the families do not take turns",
        "    both = min(len(first), len(others))",
        "    both = 0",
        DIALER,
    ),
    Mutant(
        "a small message waits for the acknowledgement of the one before",
        "socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)",
        "socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)",
        DIALER,
    ),
    Mutant(
        "a look-up that has ended wakes nobody",
        "            one.wake()",
        "            pass",
        RESOLVER,
    ),
    Mutant(
        "a look-up that a handler kept from starting holds the opening",
        '        start_daemon(f"{name}-resolver", run, [deadline])',
        '        start_daemon(f"{name}-resolver", lambda _: run([deadline]), [deadline])',
        RESOLVER,
    ),
    Mutant(
        "an address is looked up by the system",
        "    if (numeric := _numeric(host, port)) is not None:",
        "    if (numeric := None) is not None:",
        RESOLVER,
    ),
    Mutant(
        "a name is encoded by the idna codec",
        "socket.getaddrinfo(host.encode(), port",
        "socket.getaddrinfo(host, port",
        RESOLVER,
    ),
    Mutant(
        "a wake-up is met again by the next wait",
        "                os.eventfd_read(self._number)",
        "                pass",
        POLLER,
    ),
    Mutant(
        "a wake-up counts as a socket that is ready",
        "            if key.fileobj is sock:",
        "            if True:",
        POLLER,
    ),
    Mutant(
        "a wait whose poller a fork has closed goes on",
        "            raise ForkedError\n        return ready",
        "            return False\n        return ready",
        POLLER,
    ),
    Mutant(
        "a blocked send is not freed by a reset",
        "        if self._blocked:\n            self._shut_down()",
        "        if False:\n            self._shut_down()",
        STREAM,
    ),
    Mutant(
        "a reset is announced by an end of file",
        "        if not self._reset:\n            self.end_output()",
        "        self.end_output()",
        STREAM,
    ),
    Mutant(
        "close after reset ends in an orderly way",
        "            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)",
        "            pass",
        STREAM,
    ),
    Mutant(
        "bytes that a blocked send hands over later are not counted",
        "                self.handed += taken",
        "                pass",
        STREAM,
    ),
    Mutant(
        "a TLS stream waits for the socket before it tells its end",
        "            self.drained = False",
        "            pass",
        STREAM,
    ),
    Mutant(
        "an error of TLS loses the data before it",
        "            if not total:\n                raise error",
        "            raise error",
        STREAM,
    ),
    Mutant(
        "half a TLS record is no sign of life",
        "        self.received += len(data)",
        "        pass",
        STREAM,
    ),
    Mutant(
        "certificates are not checked by default",
        "    context.minimum_version = max(",
        "    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n"
        "    context.minimum_version = max(",
        CERTIFICATES,
    ),
    Mutant(
        "old versions of TLS are spoken",
        "max(context.minimum_version, ssl.TLSVersion.TLSv1_2)",
        "ssl.TLSVersion.MINIMUM_SUPPORTED",
        TRUST,
    ),
    Mutant(
        "the error of a failed handshake is that of the flush",
        "            except OSError as error:  # The handshake's own error is the one to raise.",
        "            except ZeroDivisionError as error:",
        BROKEN_ENDS,
    ),
    Mutant(
        "no close_notify is sent",
        "                    self._tls.unwrap()",
        "                    pass",
        BROKEN_ENDS,
    ),
    Mutant(
        "a writer that waits for the network seems to be at work",
        "                self._blocked = self.is_held_up = True\n",
        "                self._blocked = True\n",
        ("engine/test_writer.py",),
    ),
    Mutant(
        "a writer that takes its time is a standstill of the network",
        "        if grown > 0 or preparing:",
        "        if grown > 0:",
        ("engine/test_open_link.py", "engine/test_open_link_closing.py"),
    ),
    Mutant(
        "a read over TLS keeps as much memory as was ever wanted at once",
        "self._receive(min(size, LARGEST_RAW), read)",
        "self._receive(size, read)",
        ("transport/test_tls_duplex.py",),
    ),
    Mutant(
        "what the outer TLS has to send waits unseen",
        "        return self._outer.is_held_up\n",
        "        return False\n",
        ("transport/test_tls_in_tls.py",),
    ),
    Mutant(
        "a TLS write that waits for the other side seems to be at work",
        "                    self.is_held_up = True\n                    self._lock.wait(1.0)\n",
        "                    self._lock.wait(1.0)\n",
        ("transport/test_tls_key_update.py",),
    ),
)
