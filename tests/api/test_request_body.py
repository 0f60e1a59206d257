"""How strictly bodies are read."""

import pytest
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

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
        (b"1" * 300, float("1" * 300)),
        (rb'["\\", "\"", {"\"a\\": 1, "\\": 2, "": {"\"a\\": 3}}]', ["\\", '"', {'"a\\': 1, "\\": 2, "": {'"a\\': 3}}]),
        (rb'[":", {":": ":"}, {"a": "{[,"}]', [":", {":": ":"}, {"a": "{[,"}]),
        (b"[" + b"1," * 149_998 + b"1]", [1] * 149_999),
    ],
)
def test_proper_json_is_read(body, value):
    parsed = parse_json(body)
    assert value is None or parsed == value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty document"),
        (b"{", "unexpected end"),
        (b"\xff", "UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b'{"a": 1, "b": 2, "a": 3}', "gives 'a' twice"),
        (b'{"o": {"a": 1, "a": 1}}', "gives 'a' twice"),
        (rb'[{"\"": 1, "\u0022": 1}]', "twice"),
        (b"NaN", "unexpected character"),
        (b"[-Infinity]", "no digit"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
        (b'{"a":' * 70_000, "depth limit"),
        (rb'"\ud800"', "no low surrogate"),
        (rb'{"\udc00": 1}', "invalid high surrogate"),
        (b"1" * 400, "infinity"),
        (b"-" + b"1" * 5000, "infinity"),
        (b'"a\nb"', "control character"),
        (b"[1] 2", "unexpected content"),
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
    with pytest.raises((BadRequest, RequestEntityTooLarge)):
        parse_json(body)


@pytest.mark.parametrize("body", [b"[" + b"1," * 150_000 + b"1]", b"[]" * 4_000_000, b'""' * 4_000_000])
def test_413_for_more_values_than_the_limit(client, body):
    answer = client.get("/v1/devices", data=body)
    assert answer.status_code == 413
    assert answer.json["detail"] == "The body has more values than the limit of 150000."


def test_a_body_over_the_limit_is_413_and_one_at_the_limit_is_read(client):
    body = b'{"id": "' + b"x" * (MAX_BODY - 10) + b'"}'
    assert len(body) == MAX_BODY
    assert client.get("/v1/devices", data=body).json["data"] == []
    answer = client.get("/v1/devices", data=body + b" ")
    assert answer.status_code == 413
    assert f"more than the limit of {MAX_BODY}" in answer.json["detail"]
