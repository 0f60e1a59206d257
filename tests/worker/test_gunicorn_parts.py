"""What the worker class needs of gunicorn without a promise: a new gunicorn that changes it fails here, by name."""

import inspect

import pytest
from gunicorn.asgi import parser as gunicorn_parser

from devicesvc.worker.gunicorn_parts import STATUS, ParseError, PythonProtocol, Worker

HEAD = b"POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_the_parser_takes_its_limits_and_calls_back():
    heads, parts = list[int](), list[bytes]()
    parser = PythonProtocol(
        on_headers_complete=lambda: heads.append(1),
        on_body=parts.append,
        limit_request_line=100,
        limit_request_fields=2,
        limit_request_field_size=100,
    )
    parser.feed(HEAD)
    assert (parser.method, parser.path, parser.http_version) == (b"POST", b"/a?b", (1, 1))
    assert parser.headers == [(b"host", b"x"), (b"transfer-encoding", b"chunked")]
    assert (parser.is_chunked, parser.content_length, parser.is_complete) == (True, None, False)
    parser.feed(b"2\r\nok\r\n0\r\n\r\nGET ")
    assert (parser.is_complete, parser.should_keep_alive, parser.remaining()) == (True, True, b"GET ")
    assert (heads, parts) == ([1], [b"ok"])
    parser.reset()
    assert (parser.is_complete, parser.remaining(), parser.headers) == (False, b"", [])


def test_what_headers_complete_returns_skips_the_body():
    parser = PythonProtocol(on_headers_complete=lambda: True)
    parser.feed(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
    assert (parser.is_complete, parser.content_length) == (True, 5)


@pytest.mark.parametrize(
    ("head", "status"),
    [(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414), (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431)],
)
def test_its_errors_have_names(head, status):
    with pytest.raises(ParseError) as caught:
        PythonProtocol().feed(head)
    assert STATUS[type(caught.value)] == status


def test_unsupported_codings_have_a_name_too():
    assert STATUS[gunicorn_parser.UnsupportedTransferCoding] == 501


def test_a_worker_has_what_ours_uses():
    names = ["age", "ppid", "sockets", "app", "timeout", "cfg", "log"]
    assert list(inspect.signature(Worker.__init__).parameters)[1:] == names
    source = inspect.getsource(Worker)
    for name in ("alive", "booted", "nr", "max_requests", "wsgi", "PIPE"):
        assert f"self.{name} =" in source
    assert "set_wakeup_fd(self.PIPE[1])" in source
    for name in ("notify", "handle_exit", "load_wsgi", "run"):
        assert callable(getattr(Worker, name))
