"""gunicorn's configuration for gevent with --preload: the greenlets come before Django, not after it.

gunicorn --config examples/django_project/gunicorn_gevent.py --workers 2 examples.django_project.wsgi
"""

# gunicorn patches in the worker. What the master has preloaded by then keeps its real thread-locals, which
# all greenlets of a worker would share: Django finds another request's database connection in them.
from gevent import monkey

monkey.patch_all()

worker_class = "gevent"
preload_app = True
