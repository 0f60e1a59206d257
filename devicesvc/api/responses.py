"""How views get the store and the metrics, and the shape of an answer that is a success."""

from collections.abc import Mapping
from typing import cast

import orjson
from flask import Response, current_app

from devicesvc.api.preconditions import etag, is_known
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
    return _answer(_json(status, message, members), status, headers or {})


def ok_unless_known(message: str, **members: object) -> Response:
    """Answer with the same object and its ETag, or with 304 if the client of the current request has this version."""
    body = _json(200, message, members)
    version = etag(body)
    if is_known(version):
        return Response(status=304, headers={"ETag": f'"{version}"'})
    return _answer(body, 200, {"ETag": f'"{version}"'})


def _json(status: int, message: str, members: Mapping[str, object]) -> bytes:
    return orjson.dumps({"status": status, "message": message, **members}, option=orjson.OPT_APPEND_NEWLINE)


def _answer(body: bytes, status: int, headers: Mapping[str, str]) -> Response:
    return Response(body, status, {"Content-Type": "application/json", **headers})
