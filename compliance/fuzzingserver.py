# Runs on CPython 2.7, in the suite's own virtual environment; see README.md.
"""Starts Autobahn|Testsuite's fuzzing server on loopback: fuzzingserver.py SPEC.json

`wstest -m fuzzingserver` would listen on every interface.
"""

import json
import os
import sys

import autobahntestsuite

sys.path.insert(0, os.path.dirname(autobahntestsuite.__file__))  # the suite imports its parts by bare name
import choosereactor  # noqa: F401  must come before the reactor's first import
from autobahntestsuite import fuzzing
from twisted.internet import reactor


def on_loopback(listen):
    def listen_on_loopback(port, *arguments, **keywords):
        keywords["interface"] = "127.0.0.1"
        # listenWS gives backlog and interface by position; keep what comes before them.
        return listen(port, *arguments[:-2], **keywords)

    return listen_on_loopback


reactor.listenTCP = on_loopback(reactor.listenTCP)
reactor.listenSSL = on_loopback(reactor.listenSSL)
with open(sys.argv[1]) as file:
    fuzzing.startServer(json.load(file), 0)
sys.stdout.write("listening\n")
sys.stdout.flush()
reactor.run()
