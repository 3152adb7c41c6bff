"""A Flask app that shares one WebSocket among the requests of a worker process.

In the clone, with flask and gunicorn installed, in three terminals:

python3 -m examples.flask_app.upstream
gunicorn --workers 2 --worker-class gthread --threads 4 examples.flask_app.app:app
curl -X POST -H "Content-Type: application/json" -d '{"id": "one"}' http://127.0.0.1:8000/send
curl http://127.0.0.1:8000/latest
"""

import os

from flask import Flask, request

from examples.flask_app.feed import FeedError, feed

app = Flask(__name__)


@app.post("/send")
def send():
    return {"ack": feed().send(request.get_json()["id"])["ack"], "pid": os.getpid()}


@app.get("/latest")
def latest():
    return {"latest": feed().latest(), "pid": os.getpid()}


@app.errorhandler(FeedError)
def unavailable(error):
    return {"error": str(error)}, 503
