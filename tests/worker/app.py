"""A WSGI app for the tests of the worker class, and its constants made short."""

import json
import os
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs
from wsgiref.validate import validator

from devicesvc.handover import AT_ONCE, PARK, Parked
from devicesvc.worker import loop

for name, value in json.loads(os.environ.get("LOOP", "{}")).items():
    setattr(loop, name, value)

if "WAIT_FOR" in os.environ:  # a pipe: until its other end was opened and closed
    Path(os.environ["WAIT_FOR"]).read_bytes()

release = threading.Event()
left = threading.Event()


def echo(environ, start_response):
    """Says what came."""
    body = environ["wsgi.input"].read(10**9)
    shown = {name: value for name, value in environ.items() if isinstance(value, str | tuple)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({**shown, "body": body.decode("latin-1")}).encode()]


def sized(environ, start_response):
    """An answer whose Content-Length may be wrong: /sized?says=5&has=3"""
    query = parse_qs(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", query["says"][0])])
    return [b"x" * int(query["has"][0])]


def status(environ, start_response):
    start_response(f"{environ['QUERY_STRING']} X", [("Content-Length", "3")])
    return [b"abc"]


def written(_environ, start_response):
    write = start_response("200 OK", [])
    write(b"one ")
    return [b"two"]


def restarted(_environ, start_response):
    """Changes its mind before anything is sent, as PEP 3333 allows with exc_info."""
    start_response("200 OK", [("X-First", "1")])
    try:
        raise ValueError("no")
    except ValueError as error:
        start_response("404 No", [("Content-Length", "0")], (ValueError, error, error.__traceback__))
    return []


class Stream:
    """Pieces without end or so: /stream?pieces=1000"""

    given = 0  # pieces, of all streams together

    def __init__(self, environ, start_response):
        self._pieces = int(parse_qs(environ["QUERY_STRING"])["pieces"][0])
        start_response("200 OK", [])

    def __iter__(self):
        for _ in range(self._pieces):
            Stream.given += 1
            yield b"x" * 65_536

    def close(self):
        left.set()


def was_left(_environ, start_response):
    start_response("200 OK", [])
    return [str(left.wait(60)).encode()]


def given(_environ, start_response):
    start_response("200 OK", [])
    return [str(Stream.given).encode()]


def block(environ, start_response):
    release.wait(float(environ["QUERY_STRING"].partition("=")[2] or 20))
    start_response("200 OK", [])
    return [b"released"]


def unblock(_environ, start_response):
    release.set()
    start_response("200 OK", [])
    return [b"ok"]


def fail(environ, start_response):
    if "devicesvc.refusal" in environ:
        return echo(environ, start_response)
    raise RuntimeError("on purpose")


def leave(environ, start_response):
    if "devicesvc.refusal" in environ:
        return echo(environ, start_response)
    sys.exit(3)


def fail_late(_environ, start_response):
    start_response("200 OK", [])
    yield b"begun"
    raise RuntimeError("on purpose")


def bad_header(environ, start_response):
    if "devicesvc.refusal" in environ:
        return echo(environ, start_response)
    start_response("200 OK", [("X-A", "b\r\nSet-Cookie: c")])
    return [b""]


class News:
    """The last number that was told, and how often a request has asked for it."""

    number = asked = 0


def park(environ, start_response):
    """Waits for a number: /park?after=1&seconds=30. Its answer takes as long as `takes` says."""
    News.asked += 1
    query = parse_qs(environ["QUERY_STRING"])
    after, seconds = int(query["after"][0]), float(query["seconds"][0])
    if News.number <= after and AT_ONCE not in environ:
        if "late" in query:  # it comes while this request is run, and others are woken before it waits
            News.number = int(query["late"][0])
            environ[PARK](News.number)
            threading.Event().wait(0.5)
        raise Parked(after, seconds)
    threading.Event().wait(float(query.get("takes", ["0"])[0]))
    body = f"number {News.number}{' at once' if AT_ONCE in environ else ''}".encode() + environ["wsgi.input"].read(9)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def wake(environ, start_response):
    """Tells a number: /wake?7"""
    News.number = int(environ["QUERY_STRING"])
    environ[PARK](News.number)
    start_response("200 OK", [("Content-Length", "0")])
    return []


def asked(_environ, start_response):
    start_response("200 OK", [])
    return [str(News.asked).encode()]


PATHS = {
    **{"/sized": sized, "/status": status, "/written": written, "/restarted": restarted, "/stream": Stream},
    **{"/block": block, "/unblock": unblock, "/fail": fail, "/fail-late": fail_late, "/bad-header": bad_header},
    **{"/was-left": was_left, "/given": given, "/exit": leave},
    **{"/park": park, "/wake": wake, "/asked": asked},
}


def app(environ, start_response):
    return PATHS.get(environ["PATH_INFO"], validator(echo))(environ, start_response)
