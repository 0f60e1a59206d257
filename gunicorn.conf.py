"""For `gunicorn wsgi:app` in this folder: the settings of `devicesvc serve`."""

from devicesvc.server import *  # noqa: F403
