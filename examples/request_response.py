"""Many threads ask over one connection, and each gets the answer to its own question.

python3 -m examples.request_response ws://127.0.0.1:8765/
"""

import itertools
import json
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import syncws


class Client:
    def __init__(self, connection):
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting = {}
        threading.Thread(target=self._receive, daemon=True).start()

    def ask(self, question, timeout=10):
        number = next(self._numbers)
        answer = self._waiting[number] = Future()
        try:
            self._connection.send(json.dumps({"id": number, "question": question}))
            return answer.result(timeout)
        finally:
            del self._waiting[number]

    def _receive(self):
        try:
            while True:
                message = json.loads(self._connection.recv())
                answer = self._waiting.get(message["id"])
                if answer is not None:  # None: its asker has given up
                    answer.set_result(message["question"])
        except syncws.ConnectionClosed as closed:
            for answer in list(self._waiting.values()):
                if not answer.done():
                    answer.set_exception(closed)


if len(sys.argv) != 2:
    raise SystemExit(__doc__)
with syncws.connect(sys.argv[1]) as connection, ThreadPoolExecutor(8) as threads:
    questions = [f"question {number}" for number in range(100)]
    answers = list(threads.map(Client(connection).ask, questions))  # an echo server answers with the question
print(f"{len(answers)} answers, {sum(map(str.__ne__, questions, answers))} of them to another question")
raise SystemExit(answers != questions)
