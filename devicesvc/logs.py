"""The log: lines of text or, with DEVICESVC_LOG_FORMAT=json, JSON objects. A record of a request has its id and user.

The user is the name of the token. The Common Log Format has this word too. It is not called `token` in JSON, because
programs that collect logs take that for a secret and remove it.
"""

import atexit
import logging
import sys
import threading
import time
from collections import deque
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson
from pythonjsonlogger.core import RESERVED_ATTRS

FORMATS = ("text", "json")
INTERVAL = 0.1  # seconds that a line of the access log waits for others
MAX_LINES = 10_000  # that wait

NOBODY = "-"  # the user of a request without a token

# Of the request that this thread answers:
request_id: ContextVar[str] = ContextVar("request_id", default="")
request_user: ContextVar[str] = ContextVar("request_user", default=NOBODY)
request_client: ContextVar[str] = ContextVar("request_client", default="")  # only of those that may change something


class RequestFilter(logging.Filter):
    """Adds the id and the user of the request to a record: as `request_id` and `user` for JSON, and together as
    `request` for text, the id in brackets."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and keep it."""
        if id := getattr(record, "request_id", "") or request_id.get():
            record.request_id = id
            record.user = request_user.get()
        record.request = f"[{id}] {request_user.get()} " if id else ""
        return True


class LoadFailureFilter(logging.Filter):
    """Leaves out what gunicorn says after a worker could not load the app: the worker has said why, in one sentence."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to keep the record."""
        if record.levelno < logging.ERROR:
            return record.msg != "Worker exiting (pid: %s)"
        ends = record.msg in ("Shutting down: %s", "Reason: %s")
        return not ends and not record.getMessage().endswith(" exited with code 4.")


def moment_of(seconds: float, as_json: bool) -> str:
    """A moment, in seconds since 1970, as lines of the log show it: for JSON in UTC, 2026-03-01T01:30:00.123+00:00; for
    text in the time of this machine, 2026-03-01 09:30:00.123+08:00."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat("T", "milliseconds") if as_json else moment.astimezone().isoformat(" ", "milliseconds")


class TextFormatter(logging.Formatter):
    """Lines of text, with the time as `moment_of` shows it."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002
        """The time of a record."""
        return moment_of(record.created, as_json=False)


class Output(logging.StreamHandler[Any]):
    """Writes to stdout: lines of the access log and records of requests a moment later, many together; other records at
    once.

    format: `text` or `json`.
    """

    def __init__(self, format: str) -> None:
        super().__init__(sys.stdout)
        # No line shows these, and to look them up takes as long as the rest of a record:
        # https://docs.python.org/3/howto/logging.html#optimization
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        logging._srcfile = None
        self._as_json = format == "json"
        self._lines = deque[str]()
        self._bell = threading.Event()
        self._thread: threading.Thread | None = None
        self._second = 0
        self._time = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, after the lines before it."""
        if getattr(record, "request_id", "") and record.levelno <= logging.INFO:
            self._add(self.format(record))
        else:
            self._write_lines()
            super().emit(record)

    def add(
        self,
        id: str,
        user: str,
        client: str,
        method: str,
        target: str,
        version: str,
        status: int,
        size: int,
        seconds: float,
    ) -> None:
        """Add the line of an answer: the id of the request, its user, the client's address, the request line, the
        status, the bytes of the body, and how long it took."""
        now = time.time()
        milliseconds = int(seconds * 1000)
        if int(now) != self._second:
            self._second = int(now)
            self._time = moment_of(self._second, self._as_json)
        moment = f"{self._time[:19]}.{int(now % 1 * 1000):03d}{self._time[23:]}"
        if '"' in target:
            target = target.replace('"', "%22")  # which means the same
        message = f'{client} "{method} {target} {version}" {status} {size} bytes {milliseconds} ms'
        if self._as_json:
            line = orjson.dumps(
                {
                    **{"level": "INFO", "logger": "devicesvc.access", "message": message, "request_id": id},
                    **{"user": user, "client": client, "method": method, "uri": target, "status": status},
                    **{"bytes": size, "milliseconds": milliseconds, "time": moment},
                }
            ).decode()
        else:
            line = f"{moment} INFO [{id}] {user} {message}"
        self._add(line)

    def _add(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) > MAX_LINES:
            self._write_lines()  # who reads them is slow, so this request waits too
        elif not self._bell.is_set():
            self._ring()

    def _ring(self) -> None:
        self._bell.set()
        if not self._thread:  # not before: a thread does not live on in a worker, which is a fork
            self._thread = threading.Thread(target=self._write_at_intervals, daemon=True)
            self._thread.start()
            atexit.register(self._write_lines)

    def _write_at_intervals(self) -> None:
        while True:
            self._bell.wait()
            time.sleep(INTERVAL)
            self._bell.clear()
            self._write_lines()

    def _write_lines(self) -> None:
        with self.lock or nullcontext():
            lines = []
            with suppress(IndexError):
                while True:
                    lines.append(self._lines.popleft())
            if lines:
                lines.append("")
                try:
                    self.stream.write("\n".join(lines))
                    self.flush()
                except OSError:
                    pass  # nobody reads them any more


def output() -> Output | None:
    """What the access log is written to; None if this process does not log as `config` says: another server may run the
    app, and have an access log of its own."""
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, Output)), None)


def config(format: str) -> dict[str, Any]:
    """The configuration of all logs, for logging.config.dictConfig. format: `text` or `json`.

    Raises ValueError, with one sentence, for any other format.
    """
    if format not in FORMATS:
        raise ValueError(f"DEVICESVC_LOG_FORMAT is {format!r}: it must be {' or '.join(FORMATS)}.")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": TextFormatter, "fmt": "%(asctime)s %(levelname)s %(request)s%(message)s"},
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "%(levelname)s %(name)s %(message)s",
                "timestamp": "time",
                "rename_fields": {"levelname": "level", "name": "logger"},
                "reserved_attrs": [*RESERVED_ATTRS, "request"],
            },
        },
        "filters": {"request": {"()": RequestFilter}, "load failure": {"()": LoadFailureFilter}},
        "handlers": {
            "stdout": {
                "()": Output,
                "format": format,
                "formatter": format,
                "filters": ["request"],
            }
        },
        "root": {"level": "INFO", "handlers": ["stdout"]},
        "loggers": {
            "alembic": {"level": "WARNING"},  # devicesvc.cli.serve logs one line about an upgrade itself
            "gunicorn.error": {"level": "INFO", "propagate": True, "filters": ["load failure"]},
        },
    }
