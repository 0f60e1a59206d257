"""The worker class of gunicorn that this service runs in: it hands on whole requests, and no client can hold a thread.

It imports gunicorn and the limits of bodies from `api`; `wsgi:app` knows nothing of it and runs on any WSGI server.
"""
