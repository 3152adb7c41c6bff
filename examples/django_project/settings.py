"""The settings of a project that keeps what a WebSocket brings in its database."""

import os

SECRET_KEY = "for an example on loopback only"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["examples.django_project.feed"]
ROOT_URLCONF = "examples.django_project.urls"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", "news.sqlite3"),
    }
}

FEED_URL = os.environ.get("FEED_URL", "ws://127.0.0.1:8768/")
# Below the server's own limit for a request (gunicorn: --timeout, 30 s), which ends the whole worker.
FEED_PATIENCE = 10
