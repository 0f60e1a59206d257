"""Every customisation of flask-smorest, so that resources import our Blueprint and stay declarative."""

from http import HTTPStatus
from typing import Any

import flask_smorest
from apispec import BasePlugin
from flask import Flask
from flask_smorest.utils import prepare_response

from devicesvc.api.errors import REFUSALS, ProblemSchema, example
from devicesvc.api.request_body import Parser

INTRO = """\
A registry of devices and groups. Every answer but CSV is JSON with the HTTP status in `status` and a sentence in
`message`; when all is well `data` or `ids` come along, and where something is wrong `detail` and `errors` say what,
where and what to do.

GET and DELETE take their arguments in the query, as this page shows, or as a JSON object in the request body.

Every answer has the header `X-Request-ID`: that of the request, or else a new one. The log of the service has it too.

Lists come in pages: `total` counts all that fit, and where `next` is not null it is the `cursor` of the next page.

The examples are about the sample devices, and a group `classroom`, to be added first: `PUT /v1/groups/classroom`.
"""

ETAG = {"ETag": {"description": "The version of the item, to be sent back in If-Match.", "schema": {"type": "string"}}}
LOCATION = {"Location": {"description": "The path of the new item.", "schema": {"type": "string"}}}
_CONDITIONS = [
    {"in": "header", "name": name, "description": description, "schema": {"type": "string"}}
    for name, description in (
        ("If-Match", "Go on only where the item is one of these versions: ETags, or * for any."),
        ("If-None-Match", "Go on only where the item is none of these versions; * for a new item only."),
    )
]


class _PathParameters(BasePlugin):
    """Says the parameters of a path in each of its operations.

    Said once for the path, Swagger UI loses one that shares its name with an argument in the query, as `id` does.
    """

    def path_helper(self, path: Any = None, operations: Any = None, parameters: Any = None, **kwargs: Any) -> None:
        for operation in operations.values():
            operation["parameters"] = [*parameters, *operation.get("parameters", [])]
        parameters.clear()


class Api(flask_smorest.Api):
    """The OpenAPI document, at /openapi.json, with the problem of errors.py as the answer of every refusal."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None  # each operation names its refusals

    def __init__(self, app: Flask, version: str) -> None:
        app.config.from_mapping(
            API_TITLE="devicesvc",
            API_VERSION=version,
            OPENAPI_VERSION="3.0.3",
            OPENAPI_URL_PREFIX="/",
            API_SPEC_OPTIONS={"info": {"description": INTRO}},
        )
        super().__init__(app, spec_kwargs={"extra_plugins": [_PathParameters()]})
        self.spec.components.security_scheme(
            "bearer",
            {"type": "http", "scheme": "bearer", "description": "Only where the service has tokens configured."},
        )

    def _register_error_handlers(self) -> None:
        """Leave errors to errors.py."""

    def _register_etag_headers(self) -> None:
        """Show no header of flask-smorest's own ETags."""

    def _register_pagination_header(self) -> None:
        """Nor of its own pages."""

    def _register_responses(self) -> None:
        for status, description in REFUSALS.items():
            response = {"description": description, "schema": ProblemSchema, "example": example(status)}
            prepare_response(response, self.spec, "application/problem+json")
            self.spec.components.response(HTTPStatus(status).name, response, lazy=True)


class Blueprint(flask_smorest.Blueprint):
    """A resource."""

    ARGUMENTS_PARSER = Parser()

    @staticmethod
    def takes(content_type: str, **body: Any) -> Any:
        """Document the body of an operation that is no JSON."""
        return flask_smorest.Blueprint.doc(requestBody={"required": True, "content": {content_type: body}})

    @staticmethod
    def operation(id: str, *refusals: int, conditional: bool = False) -> Any:
        """Name an operation of /v1 and the statuses that it may refuse with, beyond those of every operation.

        conditional: whether it heeds If-Match and If-None-Match.
        """
        if conditional:
            refusals = (*refusals, 412)
        responses = {status: HTTPStatus(status).name for status in (*refusals, 401, 403, 500, 503)}
        documentation = {"operationId": id, "responses": responses, "security": [{}, {"bearer": []}]}
        return flask_smorest.Blueprint.doc(**documentation, **({"parameters": _CONDITIONS} if conditional else {}))
