"""A Django project that shares one WebSocket among the requests of a worker process.

In the clone, with django and gunicorn installed, in three terminals:

python3 -m examples.flask_app.upstream
python3 -m examples.django_project.manage migrate
gunicorn --workers 2 --worker-class gthread --threads 4 examples.django_project.wsgi
curl -X POST -H "Content-Type: application/json" -d '{"id": "one"}' http://127.0.0.1:8000/send
curl http://127.0.0.1:8000/latest
"""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_project.settings")

application = get_wsgi_application()
