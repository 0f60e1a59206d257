"""The OpenAPI document says what the service does."""

import re

import jsonschema
import pytest

from devicesvc.api import schemas
from devicesvc.model import Device, Hardware, Nic, Software
from tests.hard_data import HARD

COMMON = {"401", "403", "500", "503"}


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                yield path, method, operation


def resolved(document, node):
    """The node with every $ref put in its place, and objects closed, so that a field too many is a fault."""
    if isinstance(node, list):
        return [resolved(document, each) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        return resolved(document, target)
    node = {name: resolved(document, each) for name, each in node.items()}
    if "properties" in node:
        node = {"additionalProperties": False, "required": list(node["properties"])} | node
    return node


def check(document, path, method, answer):
    """The answer is one that the operation documents."""
    response = resolved(document, document["paths"][path][method]["responses"][str(answer.status_code)])
    (schema,) = [content["schema"] for content in response["content"].values()]
    assert list(response["content"]) == [answer.content_type]
    jsonschema.Draft4Validator(schema).validate(answer.json)


def test_it_is_a_document_of_this_version_of_the_service(document):
    assert document["openapi"] == "3.0.3"
    assert document["info"]["title"] == "devicesvc"
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["info"]["version"])


def test_the_four_calls_of_the_lab_have_their_names(document):
    found = {(path, method): operation["operationId"] for path, method, operation in operations(document)}
    assert found == {
        ("/v1/devices", "get"): "get_devices",
        ("/v1/devices", "post"): "add_devices",
        ("/v1/devices", "put"): "update_devices",
        ("/v1/devices", "delete"): "delete_devices",
        ("/v1/devices/{id}", "get"): "get_device",
        ("/v1/devices/{id}", "put"): "put_device",
        ("/healthz", "get"): "is_alive",
        ("/readyz", "get"): "is_ready",
    }


def test_every_operation_has_a_summary_a_tag_and_its_refusals(document):
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert len(operation["tags"]) == 1
        assert not path.startswith("/v1") or operation["responses"].keys() > COMMON


def test_every_parameter_and_field_is_described(document):
    for path, _method, operation in operations(document):
        parameters = operation.get("parameters", []) + document["paths"][path].get("parameters", [])
        assert all(parameter["description"] for parameter in parameters)
    for name, schema in document["components"]["schemas"].items():
        for field, details in schema["properties"].items():
            assert "description" in details or "$ref" in details or "allOf" in details or field == "data", (name, field)


@pytest.mark.parametrize("of", [Device, Hardware, Software, Nic])
def test_each_limit_is_the_one_of_the_model(document, of):
    properties = document["components"]["schemas"][of.__name__]["properties"]
    for name, rule in of.RULES.items():
        assert properties[name]["minLength"] == rule.min_length
        assert properties[name]["maxLength"] == rule.max_length
        assert rule.says in properties[name]["description"]
        assert re.fullmatch(properties[name]["pattern"], properties[name]["example"])


def test_no_get_or_delete_has_a_request_body_so_that_swagger_can_send_them(document):
    for _path, method, operation in operations(document):
        assert ("requestBody" in operation) == (method in ("post", "put"))


def example(document, method):
    """The body or query that Swagger UI fills in for /v1/devices."""
    operation = document["paths"]["/v1/devices"][method]
    if "requestBody" not in operation:
        parameters = operation["parameters"]
        given = {each["name"]: each.get("example", each["schema"].get("example")) for each in parameters}
        return {"query_string": {name: value for name, value in given.items() if value}}
    return {"json": operation["requestBody"]["content"]["application/json"]["example"]}


@pytest.mark.parametrize(("method", "status"), [("get", 200), ("post", 201), ("put", 200), ("delete", 200)])
def test_the_example_of_each_call_works_when_sent(client, document, method, status):
    answer = client.open("/v1/devices", method=method, **example(document, method))
    assert answer.status_code == status
    check(document, "/v1/devices", method, answer)
    assert answer.json.get("data") or answer.json["ids"]


@pytest.mark.parametrize("case", HARD)
def test_schema_and_answer_agree(client, document, case):
    """Answers are written from the dataclasses, past the schemas: here both must say the same."""
    hard = HARD[case]
    client.application.extensions["devicesvc.store"].write(lambda to: to.devices.add(hard))
    listed, one = client.get("/v1/devices"), client.get(f"/v1/devices/{hard.id}")
    check(document, "/v1/devices", "get", listed)
    check(document, "/v1/devices/{id}", "get", one)
    assert schemas.DeviceAnswerSchema().dump({**one.json, "data": hard}) == one.json
    assert schemas.DeviceSchema().load(one.json["data"]) == one.json["data"]


@pytest.mark.parametrize(
    ("method", "path", "request_", "status"),
    [
        ("get", "/v1/devices", {"query_string": "id=1&id=2"}, 400),
        ("get", "/v1/devices", {"query_string": "x=1"}, 422),
        ("post", "/v1/devices", {"json": {}}, 422),
        ("post", "/v1/devices", {"data": "x"}, 415),
        ("put", "/v1/devices", {"json": {"id": "none"}}, 404),
        ("delete", "/v1/devices", {}, 422),
        ("get", "/v1/devices/{id}", {}, 404),
    ],
)
def test_refusals_are_as_documented(client, document, method, path, request_, status):
    answer = client.open(path, method=method, **request_)
    assert answer.status_code == status
    check(document, path, method, answer)


def test_a_token_can_be_given_in_swagger(document):
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert all(
        operation.get("security") == ([{}, {"bearer": []}] if path.startswith("/v1") else None)
        for path, _method, operation in operations(document)
    )


def test_the_answers_that_it_shows_are_such_answers(document):
    shown = 0
    for _path, _method, operation in operations(document):
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                media = resolved(document, response)["content"]["application/json"]
                jsonschema.Draft4Validator(media["schema"]).validate(media["example"])
                assert media["example"]["status"] == int(status)
                shown += 1
    assert shown == 9
