"""All that the worker class needs of gunicorn and that gunicorn's documentation does not promise.

tests/worker/test_gunicorn_parts.py fails if a new gunicorn changes one of them.

- PythonProtocol(on_headers_complete=, on_body=, limit_...=): `feed`, `remaining`, `reset`, and the attributes `method`,
  `path`, `http_version`, `headers`, `content_length`, `is_chunked`, `is_complete`, `should_keep_alive`. gunicorn's ASGI
  worker reads requests with it.
- Worker: `sockets`, `cfg`, `log`, `ppid`, `timeout`, `alive`, `booted`, `nr`, `max_requests`, `wsgi`, `notify`,
  `handle_exit`, `load_wsgi`, and that a signal writes to `PIPE`.
"""

from gunicorn.asgi.parser import LimitRequestHeaders, LimitRequestLine, ParseError, PythonProtocol
from gunicorn.asgi.parser import UnsupportedTransferCoding as UnsupportedCoding
from gunicorn.workers.base import Worker

__all__ = ["STATUS", "ParseError", "PythonProtocol", "Worker"]

# The status of the refusal of a malformed head; 400 for every other ParseError.
STATUS = {LimitRequestLine: 414, LimitRequestHeaders: 431, UnsupportedCoding: 501}
