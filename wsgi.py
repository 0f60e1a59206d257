"""The service for any WSGI server: `gunicorn wsgi:app`, its store in DEVICESVC_STORE."""

from devicesvc.server import load

app = load()
