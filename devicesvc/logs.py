"""The log: lines for people or, with DEVICESVC_LOG_FORMAT=json, objects. What belongs to a request has its id."""

import logging
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS

FORMATS = ("text", "json")

request_id: ContextVar[str] = ContextVar("request_id", default="")  # of the request that this thread is at


class RequestFilter(logging.Filter):
    """Gives a record the id of its request: as `request_id`, and as `request` for a line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if id := getattr(record, "request_id", "") or request_id.get():
            record.request_id = id
        record.request = f"[{id}] " if id else ""
        return True


class AccessFilter(logging.Filter):
    """Gives a record of gunicorn's access log its parts as fields. The request is over then; the answer has its id."""

    def filter(self, record: logging.LogRecord) -> bool:
        atoms: Any = record.args
        fields = {"request_id": "{x-request-id}o", "client": "h", "method": "m", "uri": "{raw_uri}e"}
        record.__dict__ |= {name: str(atoms[atom]) for name, atom in fields.items()}
        record.__dict__ |= {"status": int(atoms["s"]), "bytes": atoms["B"], "milliseconds": atoms["M"]}
        return True


def config(format: str) -> dict[str, Any]:
    """The configuration of all logging in a format, `text` or `json`, for logging.config.dictConfig.

    Raises ValueError for any other format, with a sentence.
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
            "alembic": {"level": "WARNING"},  # what it does, devicesvc.cli says in one line
            "gunicorn.access": {"level": "INFO", "propagate": True, "filters": ["access"]},
            "gunicorn.error": {"level": "INFO", "propagate": True},
        },
    }
