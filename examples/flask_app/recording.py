"""Record what the feed of a worker hears and says, for ten minutes.

FEED_HAR=feed-{pid}.har gunicorn --workers 2 examples.flask_app.app:app

writes a file for each worker, after ten minutes or when the worker exits before: open it in the network panel
of a browser, or replay it in a test with `ws_server.replay(path)`.
"""

import atexit
import os
import threading

from syncws.har import Recorder

SECONDS = float(os.environ.get("FEED_HAR_SECONDS", "600"))


def recorder():
    """A `trace=` callable of this worker; None where nothing is to be recorded."""
    path = os.environ.get("FEED_HAR")
    if path is None:
        return None
    recorder = Recorder(path.format(pid=os.getpid()), max_bytes=16 * 2**20)
    end = threading.Timer(SECONDS, recorder.close)
    end.daemon = True
    end.start()
    atexit.register(recorder.close)  # a second end does nothing
    return recorder
