"""The worker class of gunicorn that this service runs in: it hands on whole requests, and no client can hold a thread.

It imports gunicorn and, of this package, only handover.py: so gunicorn's parent, which never answers, does not load the
API. `wsgi:app` knows nothing of the worker and runs on any WSGI server.
"""
