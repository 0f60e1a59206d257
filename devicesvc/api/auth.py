"""Tokens: where some are configured, every call of /v1 needs one, and /metrics too (RFC 6750)."""

from typing import cast

from flask import current_app, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from devicesvc.tokens import Tokens

_READING = ("GET", "HEAD", "OPTIONS")


def check() -> None:
    """Refuse a request that may not pass: 401 without a valid token, 403 where the token may only read."""
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
