"""The OpenAPI document, completed: what each call needs of tokens, its refusals, and its request as code."""

from http import HTTPStatus
from typing import Any

from devicesvc.api.auth import SECURED
from devicesvc.api.errors import REFUSALS, problem_body
from devicesvc.api.refusals import Call, can_be, refused
from devicesvc.api.samples import TOKEN, samples

_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": f"A token of this service. The code samples take it from the environment variable {TOKEN}.",
}
_SHARED = [HTTPStatus(status).name for status in REFUSALS if status >= 500]  # answers that are the same for all calls


def complete(document: dict[str, Any], *, has_tokens: bool) -> dict[str, Any]:
    """Return the document of flask-smorest with what depends on several parts of it. It is changed.

    has_tokens: whether tokens are configured. If they are not, no call needs one, and the document names none.
    """
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete_call(Call(path, method, operation, has_tokens and path.startswith(SECURED)))
    components = document["components"]
    components["responses"] = {name: each for name, each in components["responses"].items() if name in _SHARED}
    if has_tokens:
        components["securitySchemes"] = {"bearer": _BEARER}
    return document


def _complete_call(call: Call) -> None:
    responses = call.operation["responses"]
    for status in [int(each) for each in responses if each.startswith("4")]:
        responses[str(status)] = _refusal(call, status)
        if not can_be(call, status):
            del responses[str(status)]
    if call.needs_token:
        call.operation["security"] = [{"bearer": []}]
    media_types = [name for each in responses.values() for name in each.get("content", ())]
    call.operation["x-codeSamples"] = samples(
        call.request, answers_json="application/json" in media_types, needs_token=call.needs_token
    )


def _refusal(call: Call, status: int) -> dict[str, Any]:
    """A refusal of this call, with an example of its own if there is one."""
    example = refused(call, status)
    body = example.body(status) if example else problem_body(status, REFUSALS[status])
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": body}
    return {"description": REFUSALS[status], "content": {"application/problem+json": content}}
