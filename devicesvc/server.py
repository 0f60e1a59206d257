"""gunicorn's settings, under gunicorn's own names: `devicesvc serve` and gunicorn.conf.py both take them from here."""

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from flask import Flask
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError

from devicesvc import logs
from devicesvc.app import create_app
from devicesvc.config import setting
from devicesvc.errors import RegistryError

log = logging.getLogger(__name__)

bind = ["0.0.0.0:8000"]
workers = 1  # several are right on a CSV file too, but one is fastest: it never reads again what another wrote
worker_class = "gthread"
threads = 32
timeout = 30  # seconds until a worker that hangs is replaced
graceful_timeout = 8  # seconds to finish what is in flight on SIGTERM; `docker stop` waits 10
keepalive = 5  # seconds
limit_request_line = 8190  # bytes, as many as gunicorn can: room for many ids in a query
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a heartbeat should not wait for a disk
control_socket_disable = True
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s bytes %(M)s ms'
try:
    logconfig_dict = logs.config(setting("LOG_FORMAT"))
except ValueError as error:
    sys.exit(f"Error: {error}")


def on_starting(_server: Arbiter) -> None:
    """Make the folder of the workers' metrics, before there is a worker: metrics.py says why."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="devicesvc-metrics-", dir=worker_tmp_dir)


def on_exit(_server: Arbiter) -> None:
    """Remove it again."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def when_ready(server: Arbiter) -> None:
    """Say where the service is, once it listens."""
    for host, port in (address[:2] for address in server.cfg.address):
        url = f"http://{'localhost' if host in ('0.0.0.0', '::') else host}:{port}"
        logging.getLogger(__name__).info(
            "The API is described at %s/docs and can be tried at %s/docs/swagger", url, url
        )


def load(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the service in a worker. Raises AppImportError, on which gunicorn prints the reason and stops with code 4;
    any other exit it would answer with a new worker, for ever."""
    try:
        return create_app(config)
    except RegistryError as error:
        raise AppImportError(f"devicesvc: {error}") from error
