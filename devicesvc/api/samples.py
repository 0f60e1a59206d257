"""Each call of the API as code: made of the examples in the OpenAPI document, once for requests and once for curl."""

import json
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

ORIGIN = "http://localhost:8000"  # static/redoc.js puts the address of the page in its place
WIDTH = 50  # characters of a value on one line
TOKEN = "DEVICESVC_TOKEN"  # the environment variable from which samples take a token, if the service needs one


class Request(NamedTuple):
    """A request.

    path: with its ids filled in. query: names and values. media_type: of the body; empty if there is none. body: a JSON
    value, or text of another media type. headers: others than Content-Type.
    """

    method: str
    path: str
    query: list[tuple[str, str]]
    media_type: str = ""
    body: Any = None
    headers: Mapping[str, str] = {}


def example_request(path: str, method: str, operation: Mapping[str, Any]) -> Request:
    """The request that the examples of an operation of OpenAPI make.

    Arguments of the query that need not be given are in `x-sample` of the operation. They are no examples of OpenAPI,
    because forms would be filled with them.
    """
    values = dict(operation.get("x-sample", {}))
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example", "1")))
        elif example := parameter["schema"].get("example"):
            values[parameter["name"]] = example
    query = [(name, each) for name, value in values.items() for each in (value if isinstance(value, list) else [value])]
    for media_type, body in operation.get("requestBody", {"content": {}})["content"].items():
        return Request(method, path, query, media_type, body.get("example", {}))
    return Request(method, path, query)


def samples(request: Request, *, answers_json: bool, needs_token: bool) -> list[dict[str, str]]:
    """The request as code, in the form of `x-codeSamples`, which Redoc shows. answers_json: whether the answer is JSON.
    needs_token: whether to send a token."""
    return [
        {"lang": "Python", "label": "requests", "source": _for_requests(request, answers_json, needs_token)},
        {"lang": "Shell", "label": "curl", "source": _for_curl(request, needs_token)},
    ]


def _for_requests(request: Request, answers_json: bool, needs_token: bool) -> str:
    imports, lines, arguments, headers = ["import requests"], [f'url = "{ORIGIN}{request.path}"'], ["url"], []
    if request.query:
        values: dict[str, Any] = {}
        for name, value in request.query:
            values.setdefault(name, []).append(value)
        lines.append(f"params = {_literal({k: v if len(v) > 1 else v[0] for k, v in values.items()})}")
        arguments.append("params=params")
    if request.media_type == "application/json":
        lines.append(f"body = {_literal(request.body)}")
        arguments.append("json=body")
    elif request.media_type:
        lines.append(f'body = """\\\n{request.body}"""')
        headers.append(f'"Content-Type": "{request.media_type}"')
        arguments.append("data=body.encode()")
    if needs_token:
        imports.insert(0, "import os\n")
        headers.append(f'"Authorization": "Bearer " + os.environ["{TOKEN}"]')
    if headers:
        lines.append(f"headers = {{{', '.join(headers)}}}")
        arguments.append("headers=headers")
    lines.append(f"answer = requests.{request.method}({', '.join(arguments)})")
    lines.append(f"print(answer.status_code, answer.{'json()' if answers_json else 'text'})")
    return "\n".join([*imports, "", *lines])


def _for_curl(request: Request, needs_token: bool) -> str:
    url = ORIGIN + request.path + (f"?{urlencode(request.query)}" if request.query else "")
    parts = [f"curl {'' if request.method == 'get' else f'-X {request.method.upper()} '}{shlex.quote(url)}"]
    if needs_token:
        parts.append(f'-H "Authorization: Bearer ${TOKEN}"')
    if request.media_type:
        body = _literal(request.body) if request.media_type == "application/json" else request.body
        parts += [f"-H 'Content-Type: {request.media_type}'", f"--data-binary {shlex.quote(body)}"]
    return " \\\n  ".join(parts)


def _literal(value: Any, indent: int = 0) -> str:
    """A JSON value, on one line if it is short. Without true, false and null it is Python too."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= WIDTH or not isinstance(value, (dict, list)):
        return line
    names = [f"{json.dumps(name)}: " for name in value] if isinstance(value, dict) else [""] * len(value)
    values = value.values() if isinstance(value, dict) else value
    inside = " " * (indent + 4)
    parts = [f"{inside}{name}{_literal(each, indent + 4)}" for name, each in zip(names, values, strict=True)]
    return "\n".join([line[0], ",\n".join(parts), " " * indent + line[-1]])
