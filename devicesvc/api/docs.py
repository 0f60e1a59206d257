"""/docs (Redoc) and /docs/swagger (Swagger UI). Their files are in the package offapi: no other host is asked."""

import hashlib
import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, abort, request, send_file

blp = Blueprint("docs", __name__, static_folder="static", static_url_path="/docs/static")

# Redoc writes two styles into the page, always the same ones: the empty one, which it fills later, and one of its own.
# So a hash of each allows them and no others. Swagger UI writes none.
_STYLES = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_STYLES}; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# find_spec and not import: an import of offapi reads megabytes of pages that are not used here.
_OFFAPI = Path(find_spec("offapi").origin).parent  # type: ignore[union-attr,arg-type]
_STATIC = Path(__file__).parent / "static"
_FILES = {"redoc.js", "swagger_bundle.js", "swagger_style.css"}
_DAY = 86_400  # seconds


@blp.before_request
def ignore_if_match() -> None:
    """Leave out the precondition of a change: nothing here can be changed, and werkzeug answers If-Match with 412."""
    request.environ.pop("HTTP_IF_MATCH", None)


@blp.get("/docs")
def redoc() -> Response:
    """Answer with the page of Redoc."""
    return _page("redoc.html")


@blp.get("/docs/swagger")
def swagger() -> Response:
    """Answer with the page of Swagger UI."""
    return _page("swagger.html")


@blp.get("/docs/offapi/<name>")
def offapi(name: str) -> Response:
    """Answer with a file of offapi that the pages need. Raises 404 for any other name."""
    if name not in _FILES:
        abort(404)
    content, etag = _content(name)
    return send_file(io.BytesIO(content), download_name=name, etag=etag, max_age=_DAY, conditional=True)


def _page(name: str) -> Response:
    return Response(_page_content(name), mimetype="text/html", headers={"Content-Security-Policy": POLICY})


@cache
def _page_content(name: str) -> bytes:
    return (_STATIC / name).read_bytes()


@cache
def _content(name: str) -> tuple[bytes, str]:
    """A file of offapi, without the address of the logo that Redoc would load from another host; and its ETag."""
    content = (_OFFAPI / name).read_bytes().replace(b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"data:,")
    return content, hashlib.sha256(content).hexdigest()
