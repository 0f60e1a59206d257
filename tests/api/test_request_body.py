"""How strictly bodies are read."""

import pytest
from werkzeug.exceptions import BadRequest

from devicesvc.api.request_body import parse_json
from devicesvc.handover import MAX_BODY


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xe8\xae\xbe\xe5\xa4\x87"]}', {"a": [1, 2.5, None, True, "设备"]}),
        (rb'"\ud83d\udce1"', "📡"),
        (rb'"\\ud83d"', r"\ud83d"),
        (b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', "[" * 38),
        (b"[" * 32 + b"]" * 32, None),
        (b"[" + b"{}," * 100 + b"{}]", [{}] * 101),
        (b"1" * 400, int("1" * 400)),
    ],
)
def test_proper_json_is_read(body, value):
    parsed = parse_json(body)
    assert value is None or parsed == value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b"\xff", "utf-8"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b'{"a": 1, "b": 2, "a": 3}', "gives 'a' twice"),
        (b'{"o": {"a": 1, "a": 1}}', "gives 'a' twice"),
        (b"NaN", "NaN is not a JSON value"),
        (b"[-Infinity]", "-Infinity is not a JSON value"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b'{"a":' * 100_000, "deeper than 32"),
        (rb'"\ud800"', "one surrogate without the other"),
        (rb'{"\udc00": 1}', "one surrogate without the other"),
        (b"1" * 401, "401 digits"),
        (b"-" + b"1" * 5000, "digits"),
        (b'"a\nb"', "control character"),
        (b"[1] 2", "Extra data"),
    ],
)
def test_what_is_not_proper_json_is_refused(body, words):
    with pytest.raises(BadRequest) as refusal:
        parse_json(body)
    assert words in refusal.value.description


@pytest.mark.parametrize(
    "body",
    [
        b"[" * MAX_BODY,
        b'"' * MAX_BODY,
        b'"' + b"\\" * (MAX_BODY - 1),
        b'{"' + b"a" * (MAX_BODY - 2),
        b"0." + b"1" * (MAX_BODY - 3) + b"x",
        b"{" + b",".join(b'"%d":0' % n for n in range(500_000)) + b',"499999":0}',
    ],
    ids=["brackets", "quotes", "backslashes", "a name without end", "a long fraction", "half a million names"],
)
def test_no_body_keeps_the_reader_for_longer_than_its_length_deserves(body):
    """A reader that took quadratic time would be at this for hours."""
    with pytest.raises(BadRequest):
        parse_json(body)


def test_a_body_over_the_limit_is_413_and_one_at_the_limit_is_read(client):
    body = b'{"id": "' + b"x" * (MAX_BODY - 10) + b'"}'
    assert len(body) == MAX_BODY
    assert client.get("/v1/devices", data=body).json["data"] == []
    answer = client.get("/v1/devices", data=body + b" ")
    assert answer.status_code == 413
    assert f"more than the limit of {MAX_BODY}" in answer.json["detail"]
