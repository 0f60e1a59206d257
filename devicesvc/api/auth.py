"""Tokens (RFC 6750): if a tokens file is configured, every call of /v1 and of /metrics needs a token."""

from typing import cast

from flask import current_app, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from devicesvc.tokens import Tokens

_READING = ("GET", "HEAD", "OPTIONS")


def check() -> None:
    """Refuse the current request if its token does not allow it. Raises 401 if it has no valid token, and 403 if it
    changes something and the token may only read."""
    tokens = cast(Tokens | None, current_app.extensions["devicesvc.tokens"])
    if tokens is None or not request.path.startswith(("/v1", "/metrics")):
        return
    given = request.authorization
    token = tokens.find(given.token) if given and given.type == "bearer" and given.token else None
    if token is None:
        challenge = WWWAuthenticate("bearer", {"realm": "devicesvc"})
        raise Unauthorized("Send a token: Authorization: Bearer, then the token.", www_authenticate=challenge)
    if token.scope == "read" and request.method not in _READING:
        raise Forbidden(f"The token {token.name!r} may only read.")
