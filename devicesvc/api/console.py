"""/console: the page for people. Its files are in devicesvc/console; it does all that it does by calls of the API."""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from flask import Blueprint, Response, abort, redirect, request
from werkzeug.wrappers import Response as BaseResponse

blp = Blueprint("console", __name__)

# Nothing but files of this host: no inline script, and no inline style either.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_FOLDER = Path(__file__).parent.parent / "console"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_YEAR = 31_536_000  # seconds


class _File(NamedTuple):
    """A file as it is sent: its content, the same compressed, and its media type."""

    content: bytes
    compressed: bytes
    mimetype: str


@blp.before_request
def ignore_if_match() -> None:
    """Leave out the precondition of a change: nothing here can be changed, and werkzeug answers If-Match with 412."""
    request.environ.pop("HTTP_IF_MATCH", None)


@blp.get("/")
def start() -> BaseResponse:
    """Redirect from /: a browser to the console, any other client to the documentation."""
    answer = redirect("/console" if "text/html" in request.headers.get("Accept", "") else "/docs")
    answer.vary.add("Accept")
    return answer


@blp.get("/console")
@blp.get("/console/add")
@blp.get("/console/changes")
@blp.get("/console/import")
@blp.get("/console/devices/<id>")
@blp.get("/console/groups")
@blp.get("/console/groups/<id>")
def page(**_view: str) -> Response:
    """Answer with the page: which of its views is shown, it reads from the address."""
    answer = _sent(_page())
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = "no-cache"
    return answer


@blp.get("/console/files/<version>/<path:name>")
def file(version: str, name: str) -> Response:
    """Answer with a file of the page. It never changes under its address. Raises 404 for any other name."""
    answer = _sent(_files().get(name) or abort(404))
    answer.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable" if version == _version() else "no-cache"
    return answer


def _sent(file: _File) -> Response:
    compressed = request.accept_encodings.quality("gzip") > 0
    answer = Response(file.compressed if compressed else file.content, mimetype=file.mimetype)
    answer.vary.add("Accept-Encoding")
    if compressed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.add_etag()
    answer.make_conditional(request)
    return answer


@cache
def _files() -> dict[str, _File]:
    """All files of the page by their names, such as vendor/pico.css."""
    paths = sorted(path for path in _FOLDER.rglob("*") if path.suffix in _TYPES)
    return {path.relative_to(_FOLDER).as_posix(): _file(path.read_bytes(), _TYPES[path.suffix]) for path in paths}


@cache
def _version() -> str:
    """A name for this state of all files: another build has other addresses, so browsers need not ask for news."""
    return hashlib.sha256(b"".join(file.content for file in _files().values())).hexdigest()[:16]


@cache
def _page() -> _File:
    """The page, which names its files under their version, and all modules, so that a browser asks for them at once."""
    folder = f"/console/files/{_version()}"
    modules = [name for name in _files() if name.endswith(".js")]
    links = "\n    ".join(f'<link rel="modulepreload" href="{folder}/{name}">' for name in modules)
    text = (_FOLDER / "index.html").read_text("utf-8")
    return _file(text.replace("{folder}", folder).replace("{modules}", links).encode(), "text/html")


def _file(content: bytes, mimetype: str) -> _File:
    return _File(content, gzip.compress(content, mtime=0), mimetype)
