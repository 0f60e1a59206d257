"""How views reach the store, and the shape of what they answer when all is well."""

from collections.abc import Mapping
from typing import cast

import orjson
from flask import Response, current_app

from devicesvc.dao.base import Store


def store() -> Store:
    """The store of the running service."""
    return cast(Store, current_app.extensions["devicesvc.store"])


def ok(message: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **members: object) -> Response:
    """Answer {status, message, ...members} as JSON; a member may hold the dataclasses of model.py."""
    body = orjson.dumps({"status": status, "message": message, **members}, option=orjson.OPT_APPEND_NEWLINE)
    return Response(body, status, headers, mimetype="application/json")
