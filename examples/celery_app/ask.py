"""Gives each id to both tasks and prints the answers: python3 -m examples.celery_app.ask ID..."""

import sys

from examples.celery_app.app import ask_once, ask_shared

for id in sys.argv[1:]:
    for task in (ask_once, ask_shared):
        result = task.delay(id)
        ack, pid = result.get(timeout=30, interval=0.05)
        result.forget()
        print(f"{task.__name__}: {ack} by process {pid}", flush=True)
