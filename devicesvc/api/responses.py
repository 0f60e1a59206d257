"""How views get the store and the metrics, and the shape of an answer that is a success."""

from collections.abc import Mapping
from typing import cast

import orjson
from flask import Response, current_app

from devicesvc.dao.base import Store
from devicesvc.metrics import Metrics


def store() -> Store:
    """The store of the current app."""
    return cast(Store, current_app.extensions["devicesvc.store"])


def metrics() -> Metrics:
    """The metrics of the current app."""
    return cast(Metrics, current_app.extensions["devicesvc.metrics"])


def ok(message: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **members: object) -> Response:
    """Answer with the JSON object {status, message, ...members}. A member may contain items of model.py."""
    body = orjson.dumps({"status": status, "message": message, **members}, option=orjson.OPT_APPEND_NEWLINE)
    return Response(body, status, {"Content-Type": "application/json", **(headers or {})})
