"""Every customisation of flask-smorest. Resources use the Blueprint of this module, and stay declarative."""

from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from http import HTTPStatus
from typing import Any

import flask_smorest
import marshmallow as ma
import orjson
from apispec import BasePlugin
from flask import Flask, Response, request
from flask_smorest.utils import prepare_response

from devicesvc.api.document import complete
from devicesvc.api.errors import REFUSALS, ProblemSchema, problem_body
from devicesvc.api.request_body import Parser

INTRO = """\
A registry of devices and groups. Every answer is a JSON object, except for CSV and metrics: `status` is the HTTP status
code, and `message` is a sentence. A success also has `data` or `ids`. A failure also has `detail` and `errors`, which
say what is wrong, where, and what to do.

GET and DELETE take their arguments in the query, as this page shows, or as a JSON object in the request body.

Every answer has the header `X-Request-ID`. Its value is the id that the request gave in this header, or a new id. The
log of the service shows the same id.

If the store cannot be read as it is now, because an edit has broken a file or a cluster has no primary, reads are
answered from an older state. These answers have the header `Devicesvc-Stale-Since`: when that was noticed.

Lists have pages. `total` is the number of all items that fit. If `next` is not null, send it as `cursor` to get the
next page. If you send the ETag of a page in `If-None-Match`, and the page is still the same, the answer is 304.

The examples use the sample devices and a group `classroom`. Add this group first: `PUT /v1/groups/classroom`.
"""

ETAG = {"ETag": {"description": "The version of the item, to send back in If-Match.", "schema": {"type": "string"}}}
LOCATION = {"Location": {"description": "The path of the new item.", "schema": {"type": "string"}}}
_CONDITIONS = [
    {"in": "header", "name": name, "description": description, "schema": {"type": "string"}}
    for name, description in (
        ("If-Match", "Do this only if the item has one of these versions: ETags, or * for any version."),
        (
            "If-None-Match",
            "Do this only if the item has none of these versions: ETags, or * if the item must not exist.",
        ),
    )
]


class _PathParameters(BasePlugin):
    """Writes the parameters of a path into each of its operations.

    If they are written once for the path, Swagger UI loses a parameter that has the same name as an argument in the
    query, such as `id`.
    """

    def path_helper(self, path: Any = None, operations: Any = None, parameters: Any = None, **kwargs: Any) -> None:
        for operation in operations.values():
            operation["parameters"] = [*parameters, *operation.get("parameters", [])]
        parameters.clear()


class Api(flask_smorest.Api):
    """Makes the OpenAPI document at /openapi.json. ProblemSchema of errors.py is the body of every refusal.

    version: the version of the API that the document shows. has_tokens: whether tokens are configured.
    """

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None  # each operation names its refusals

    def __init__(self, app: Flask, version: str, *, has_tokens: bool) -> None:
        self._has_tokens = has_tokens
        app.config.from_mapping(
            API_TITLE="devicesvc",
            API_VERSION=version,
            OPENAPI_VERSION="3.0.3",
            OPENAPI_URL_PREFIX="/",
            API_SPEC_OPTIONS={"info": {"description": INTRO}},
        )
        super().__init__(app, spec_kwargs={"extra_plugins": [_PathParameters()]})

    def _openapi_json(self) -> Response:
        """Answer with the document, which is made once."""
        return Response(self._document, mimetype="application/json")

    @cached_property
    def _document(self) -> bytes:
        document = complete(self.spec.to_dict(), has_tokens=self._has_tokens)
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_INDENT_2)

    def _register_error_handlers(self) -> None:
        """Do nothing: errors.py handles errors."""

    def _register_etag_headers(self) -> None:
        """Do nothing: the ETags of flask-smorest are not used."""

    def _register_pagination_header(self) -> None:
        """Do nothing: the pages of flask-smorest are not used."""

    def _register_responses(self) -> None:
        for status, description in REFUSALS.items():
            example = problem_body(status, description)
            response = {"description": description, "schema": ProblemSchema, "example": example}
            prepare_response(response, self.spec, "application/problem+json")
            self.spec.components.response(HTTPStatus(status).name, response, lazy=True)


class Blueprint(flask_smorest.Blueprint):
    """The calls on a resource, with their documentation."""

    ARGUMENTS_PARSER = Parser()

    @staticmethod
    def takes(content_type: str, **body: Any) -> Any:
        """Document a request body that is not JSON. body: `schema` and `example` of OpenAPI."""
        return flask_smorest.Blueprint.doc(requestBody={"required": True, "content": {content_type: body}})

    def rare_arguments(self, schema: ma.Schema) -> Callable[[Any], Any]:
        """Arguments of the query, as keyword arguments, in a call that mostly has none: then no time goes into them."""

        def decorate(view: Any) -> Any:
            with_arguments = self.arguments(schema, location="querystring", as_kwargs=True)(view)

            @wraps(with_arguments)
            def call(*arguments: Any, **options: Any) -> Any:
                return (with_arguments if request.query_string else view)(*arguments, **options)

            return call

        return decorate

    @staticmethod
    def operation(
        id: str, *refusals: int, conditional: bool = False, sample: Mapping[str, str | list[str]] | None = None
    ) -> Any:
        """Document an operation of /v1.

        id: the operationId. refusals: the status codes of its refusals; those of every operation are added.
        conditional: whether it takes If-Match and If-None-Match. sample: arguments of the query that the code samples
        give, by name; a list gives the name once for each value.
        """
        if conditional:
            refusals = (*refusals, 412)
        responses = {status: HTTPStatus(status).name for status in (*refusals, 401, 403, 500, 503)}
        documentation = {"operationId": id, "responses": responses, **({"x-sample": sample} if sample else {})}
        documented = _only_documents(flask_smorest.Blueprint.doc(**documentation))

        def document(view: Any) -> Any:
            arguments = documented(view)._apidoc.setdefault("arguments", {}).setdefault("parameters", [])
            arguments += map(dict, _CONDITIONS if conditional else [])
            return view

        return document

    def alt_response(self, *arguments: Any, **options: Any) -> Any:
        """Document another answer, as flask-smorest does."""
        return _only_documents(super().alt_response(*arguments, **options))


def _only_documents(decorator: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A decorator of flask-smorest without the function that it would put around each call of the view."""

    def document(view: Any) -> Any:
        view._apidoc = decorator(view)._apidoc
        return view

    return document
