"""The settings and hooks of gunicorn, by gunicorn's names: `devicesvc serve` and gunicorn.conf.py use them."""

import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError
from gunicorn.workers.base import Worker

from devicesvc import foreground, logs
from devicesvc.config import THREADS, WORKERS, setting
from devicesvc.dao.lock_file import try_lock
from devicesvc.dao.urls import parse
from devicesvc.errors import RegistryError

if TYPE_CHECKING:
    from flask import Flask

FILES = 1_000  # that a worker has open beside its connections
METRICS = "devicesvc-metrics-"  # how the names of the folders of metrics begin

log = logging.getLogger(__name__)

bind = ["0.0.0.0:8000"]
workers = int(os.environ.get("WEB_CONCURRENCY", WORKERS))  # gunicorn has seen that it is a number
worker_class = "devicesvc.worker.worker.Worker"
threads = THREADS
worker_connections = 5_000  # most of which may wait for changes
timeout = 30  # seconds until a worker that hangs is replaced
graceful_timeout = 8  # seconds to finish requests after SIGTERM; `docker stop` waits 10
keepalive = 5  # seconds
limit_request_line = 8190  # bytes, the most that gunicorn takes: a query may have many ids
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a heartbeat must not wait for a disk
control_socket_disable = True
try:
    logconfig_dict = logs.config(setting("LOG_FORMAT"))
except ValueError as error:
    sys.exit(f"Error: {error}")


def on_starting(_server: Arbiter) -> None:
    """Make the folder for the metrics of all workers (metrics.py), before the first worker starts, and remove those
    that a kill has left. A folder is in use as long as it is locked, and that is until the last process has ended."""
    for left in Path(worker_tmp_dir or tempfile.gettempdir()).glob(f"{METRICS}*"):
        handle = _lock(left)
        if handle is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)
    handle = None
    while handle is None:  # another service that starts now may take it for one that was left
        folder = Path(tempfile.mkdtemp(prefix=METRICS, dir=worker_tmp_dir))
        handle = _lock(folder)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def _lock(folder: Path) -> int | None:
    """Open a folder and lock it; None if another process has it, or it is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    if try_lock(handle) and folder.exists():
        return handle
    os.close(handle)
    return None


def on_exit(_server: Arbiter) -> None:
    """Remove the folder of the metrics."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def when_ready(_server: Arbiter) -> None:
    """Let the service end with its terminal: for gunicorn, SIGHUP means to read its settings again."""
    foreground.end_when_closed()


def post_worker_init(worker: Worker) -> None:
    """Say where the service, its console and its documentation are, when the first worker has opened the store: to a
    person in lines of their own, otherwise in the log."""
    _allow_files(worker.cfg.worker_connections + FILES)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal sends it to all its processes; gunicorn's parent decides
    addresses = [_url(*each[:2]) for each in worker.cfg.address if isinstance(each, tuple)]
    if worker.age > 1 or not addresses:
        return
    if foreground.is_shown() and setting("LOG_FORMAT") == "text":
        url = parse(worker.wsgi.config["STORE"])
        data = str(url.path.absolute()) if url.kind.name == "csv" else url.redacted
        docs = f"{addresses[0]}/docs and, to try the calls, /docs/swagger"
        console = f"{addresses[0]}/console"
        foreground.show({"Address": ", ".join(addresses), "Console": console, "Documentation": docs, "Data": data})
    else:
        for address in addresses:
            log.info("The API is described at %s/docs and can be tried at %s/docs/swagger", address, address)


def _allow_files(count: int) -> None:
    """Let this process have so many files open, if its user may: by itself, often no more than 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _url(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def load(config: Mapping[str, Any] | None = None) -> "Flask":
    """Return the service, in a worker. config: as for create_app.

    Raises AppImportError if the store cannot be opened: then gunicorn prints the reason and stops with exit code 4.
    After any other error gunicorn would start new workers again and again.
    """
    from devicesvc.app import create_app  # not at the top: gunicorn's parent does not need it

    try:
        return create_app(config)
    except RegistryError as error:
        raise AppImportError(f"Error: {error}") from error


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with the settings of this module. config: as for create_app. settings: in the place of those here."""

    def __init__(self, config: Mapping[str, Any], **settings: Any) -> None:
        self._config = config
        self._settings = {**globals(), **settings}
        super().__init__()

    def load_config(self) -> None:
        """Hand the settings to gunicorn."""
        for name in self._settings.keys() & self.cfg.settings.keys():
            self.cfg.set(name, self._settings[name])

    def load(self) -> "Flask":
        """Return the service, in a worker."""
        return load(self._config)
