"""The log: lines of text or, with DEVICESVC_LOG_FORMAT=json, JSON objects. A record of a request has its id."""

import logging
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS

FORMATS = ("text", "json")

request_id: ContextVar[str] = ContextVar("request_id", default="")  # of the request that this thread answers


class RequestFilter(logging.Filter):
    """Adds the id of the request to a record: as `request_id` for JSON, and in brackets as `request` for text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and keep it."""
        if id := getattr(record, "request_id", "") or request_id.get():
            record.request_id = id
        record.request = f"[{id}] " if id else ""
        return True


class AccessFilter(logging.Filter):
    """Adds the parts of a line of gunicorn's access log to its record, as fields. The id is that of the answer, because
    the request has ended."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and keep it."""
        atoms: Any = record.args
        fields = {"request_id": "{x-request-id}o", "client": "h", "method": "m", "uri": "{raw_uri}e"}
        record.__dict__ |= {name: str(atoms[atom]) for name, atom in fields.items()}
        record.__dict__ |= {"status": int(atoms["s"]), "bytes": atoms["B"], "milliseconds": atoms["M"]}
        return True


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
            "text": {"format": "%(asctime)s %(levelname)s %(request)s%(message)s"},
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "%(levelname)s %(name)s %(message)s",
                "timestamp": "time",
                "rename_fields": {"levelname": "level", "name": "logger"},
                "reserved_attrs": [*RESERVED_ATTRS, "request"],
            },
        },
        "filters": {"request": {"()": RequestFilter}, "access": {"()": AccessFilter}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": format,
                "filters": ["request"],
            }
        },
        "root": {"level": "INFO", "handlers": ["stdout"]},
        "loggers": {
            "alembic": {"level": "WARNING"},  # devicesvc.cli logs one line about an upgrade itself
            "gunicorn.access": {"level": "INFO", "propagate": True, "filters": ["access"]},
            "gunicorn.error": {"level": "INFO", "propagate": True},
        },
    }
