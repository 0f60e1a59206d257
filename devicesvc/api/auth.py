"""Tokens (RFC 6750): if a tokens file is configured, every call of /v1 and of /metrics needs a token."""

from typing import cast

from flask import current_app, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from devicesvc.handover import READING
from devicesvc.logs import NOBODY, request_user
from devicesvc.tokens import Tokens

SECURED = ("/v1", "/metrics")  # how the paths begin that need a token


def check() -> None:
    """Refuse the current request if its token does not allow it, and tell the log whose token it is. Raises 401 if it
    has no valid token, and 403 if it changes something and the token may only read."""
    tokens = cast(Tokens | None, current_app.extensions["devicesvc.tokens"])
    if tokens is None or not request.path.startswith(SECURED):
        return
    header, given = request.headers.get("Authorization"), request.authorization
    if header is None:
        raise _unauthorized("No token was sent: this service needs the header Authorization: Bearer TOKEN.")
    if not given or given.type != "bearer" or not given.token:
        raise _unauthorized("The header Authorization must be: Bearer, a space and the token.")
    token = tokens.find(given.token)
    if token is None:
        raise _unauthorized("This token is unknown to the service: ask the person who runs it for one.")
    request_user.set(_in_log(token.name))
    if token.has_expired:
        words = f"The token {token.name!r} was valid until {token.expires}, and has expired"
        raise _unauthorized(f"{words}: ask the person who runs the service for a new one.")
    if token.scope == "read" and request.method not in READING:
        raise Forbidden(f"The token {token.name!r} may only read.")


def _in_log(name: str) -> str:
    """A name as one word of a line of the log. It has no white space, but it may have characters that are not seen, or
    that turn the direction of the text, so that the line looks like another one."""
    return name if name.isprintable() and name != NOBODY else ascii(name)


def _unauthorized(words: str) -> Unauthorized:
    return Unauthorized(words, www_authenticate=WWWAuthenticate("bearer", {"realm": "devicesvc"}))
