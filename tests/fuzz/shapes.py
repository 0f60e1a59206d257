"""What a client may send, for Hypothesis: any calls of an OpenAPI document, as bytes, and bytes near them."""

import json
from urllib.parse import quote

from hypothesis import strategies as st

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
IDS = [*["4322159209", "5661391086", "a", "b"] * 4, "x" * 64, "设", "none", "batch", "..", "*", "a b", "%00", "x" * 65]
TEXTS = [
    "",
    " ",
    "设备",
    'a,"b"',
    "=1+1",
    "\0",
    "\x1b[0m",
    "a\nb",
    "x" * 65,
    "2024-02-30 00:00:00",
    "W10",
    "*",
    "%2e%2e",
    "𝔘",
]

scalars = st.one_of(
    st.sampled_from(IDS + TEXTS),
    st.text(max_size=8),
    st.sampled_from([None, True, False, 0, -1, 1, 16, 1001, 2**53, 2**64, 1e308, 0.1]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "ids", "nic", "x", ""]), inner),
    max_leaves=6,
)
names = st.sampled_from(
    ["X-Request-ID", "If-Match", "If-None-Match", "Accept", "Authorization", "Origin", "Content-Type"]
)
more_names = st.sampled_from(
    ["Host", "SCRIPT_NAME", "Expect", "Content-Length", "Transfer-Encoding", "Connection", "X-Y"]
)
header_values = st.one_of(
    st.sampled_from(
        ['"abc"', "W/*", "*", "text/csv", "application/json", "Bearer x", "null", "100-continue", "chunked"]
    ),
    st.sampled_from(
        ["keep-alive", "close", "-1", "0", "5", "gzip, chunked", "chunked, chunked", "localhost", "a.example"]
    ),
    st.text(max_size=10).map(lambda text: text.encode().decode("latin-1")),
)
noise = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b"\x80", b" ", b":", b"%", b"HTTP/1.1", b"0\r\n\r\n"]),
    st.sampled_from(
        [b"\r\n folded", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"\xff\xfe", b"5\r\n"]
    ),
)


@st.composite
def altered(draw, value):
    """A JSON value in which some parts are others."""
    if draw(st.integers(0, 39)) == 0:
        return draw(values)
    if isinstance(value, dict):
        kept = {name: draw(altered(part)) for name, part in value.items() if draw(st.integers(0, 59))}
        return kept | (
            draw(st.dictionaries(st.text(max_size=5), values, max_size=1)) if not draw(st.integers(0, 39)) else {}
        )
    if isinstance(value, list):
        return [draw(altered(part)) for part in value[:4]] * draw(st.sampled_from([1] * 20 + [2, 20]))
    return value


def operations(document):
    """(method, path, names of the query, example of the body) of each call that the document describes."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            query = [each["name"] for each in operation.get("parameters", []) if each.get("in") == "query"]
            yield (
                method.upper(),
                path,
                query,
                next(((kind, each.get("example")) for kind, each in content.items()), None),
            )


def calls(document):
    """The bytes of one request, proper HTTP, on a connection that ends with it."""
    known = list(operations(document))

    @st.composite
    def one(draw):
        method, path, query, body = draw(st.sampled_from(known))
        if draw(st.integers(0, 11)) == 0:
            method = draw(st.sampled_from(METHODS))
        while "{" in path:
            begin, _, rest = path.partition("{")
            path = begin + quote(draw(st.sampled_from(IDS)), safe="") + rest.partition("}")[2]
        given = [(draw(st.sampled_from(query)), str(draw(scalars))) for _ in range(draw(st.integers(0, 2))) if query]
        target = path + ("?" if given else "") + "&".join(f"{name}={quote(value)}" for name, value in given)
        headers, content = [("Host", "localhost"), ("Connection", "close")], b""
        if body:
            kind, example = body
            content = example.encode() if isinstance(example, str) else json.dumps(draw(altered(example))).encode()
            headers.append(("Content-Type", kind))
        headers += draw(st.lists(st.tuples(names, header_values), max_size=2))
        headers.append(("Content-Length", str(len(content))))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1", "replace") + content

    return one()


def near(document):
    """Bytes near those of some requests, which may be anything but HTTP."""

    @st.composite
    def some(draw):
        sent = b"".join(draw(st.lists(calls(document), min_size=1, max_size=3)))
        if draw(st.booleans()):
            sent = sent.replace(b"Connection: close\r\n", b"")
        for _ in range(draw(st.integers(1, 4))):
            place = draw(st.integers(0, min(len(sent), 400)))
            what = draw(st.sampled_from(["insert", "cut", "replace", "header", "repeat"]))
            if what == "insert":
                sent = sent[:place] + draw(noise) + sent[place:]
            elif what == "cut":
                sent = sent[:place] + sent[place + draw(st.integers(1, 40)) :]
            elif what == "replace":
                sent = sent[:place] + draw(noise) + sent[place + 1 :]
            elif what == "header":
                line = f"{draw(st.one_of(names, more_names))}: {draw(header_values)}\r\n".encode("latin-1", "replace")
                sent = sent.replace(b"\r\n", b"\r\n" + line, 1)
            else:
                sent = sent[:place] * draw(st.sampled_from([2, 50])) + sent[place:]
        return sent

    return some()
