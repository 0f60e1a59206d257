"""The OpenAPI document says what the service does."""

import json
import re

import jsonschema
import pytest

from devicesvc import tokens
from devicesvc.api import answers, examples, schemas
from devicesvc.app import create_app
from devicesvc.dao.urls import open_store
from devicesvc.model import Device, Group, Hardware, Membership, Nic, Software
from devicesvc.sample import DEVICES
from tests.hard_data import HARD

COMMON = {"403", "500", "503"}


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
    if node.pop("nullable", False):
        node["type"] = [node["type"], "null"]
    if "properties" in node:
        node = {"additionalProperties": False, "required": list(node["properties"])} | node
    return node


def check(document, path, method, answer):
    """The answer is one that the operation documents."""
    response = resolved(document, document["paths"][path][method]["responses"][str(answer.status_code)])
    jsonschema.Draft4Validator(response["content"][answer.content_type]["schema"]).validate(
        answer.json if answer.is_json else answer.text
    )


def test_it_is_a_document_of_this_version_of_the_service(document):
    assert document["openapi"] == "3.0.3"
    assert document["info"]["title"] == "devicesvc"
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["info"]["version"])


def test_each_operation_has_a_name_of_its_own_and_keeps_it(document):
    found = {(path, method): operation["operationId"] for path, method, operation in operations(document)}
    names = {
        ("/v1/devices", "get"): "get_devices",
        ("/v1/devices", "post"): "add_devices",
        ("/v1/devices", "put"): "update_devices",
        ("/v1/devices", "delete"): "delete_devices",
        ("/v1/devices/{id}", "get"): "get_device",
        ("/v1/devices/{id}", "put"): "put_device",
        ("/v1/devices/{id}", "patch"): "patch_device",
        ("/v1/devices/{id}", "delete"): "delete_device",
        ("/v1/devices/batch", "post"): "batch_devices",
        ("/v1/devices/import", "post"): "import_devices",
        ("/v1/groups", "get"): "get_groups",
        ("/v1/groups", "post"): "add_groups",
        ("/v1/groups", "put"): "update_groups",
        ("/v1/groups", "delete"): "delete_groups",
        ("/v1/groups/{id}", "get"): "get_group",
        ("/v1/groups/{id}", "put"): "put_group",
        ("/v1/groups/{id}", "patch"): "patch_group",
        ("/v1/groups/{id}", "delete"): "delete_group",
        ("/v1/groups/{id}/devices", "get"): "get_devices_of_group",
        ("/v1/groups/{id}/devices", "post"): "add_devices_to_group",
        ("/v1/groups/{id}/devices", "put"): "set_devices_of_group",
        ("/v1/groups/{id}/devices", "delete"): "remove_devices_from_group",
        ("/v1/groups/{id}/devices/{device_id}", "get"): "get_device_of_group",
        ("/v1/groups/{id}/devices/{device_id}", "put"): "put_device_into_group",
        ("/v1/groups/{id}/devices/{device_id}", "delete"): "remove_device_from_group",
        ("/v1/devices/{id}/groups", "get"): "get_groups_of_device",
        ("/v1/devices/{id}/groups", "post"): "add_groups_to_device",
        ("/v1/devices/{id}/groups", "put"): "set_groups_of_device",
        ("/v1/devices/{id}/groups", "delete"): "remove_groups_from_device",
        ("/v1/devices/{id}/groups/{group_id}", "get"): "get_group_of_device",
        ("/v1/devices/{id}/groups/{group_id}", "put"): "put_group_onto_device",
        ("/v1/devices/{id}/groups/{group_id}", "delete"): "remove_group_from_device",
        ("/v1/changes", "get"): "get_changes",
        ("/v1/changes/{number}", "get"): "get_change",
        ("/v1/changes/{number}/undo", "post"): "undo_change",
        ("/v1/devices/{id}/history", "get"): "get_history_of_device",
        ("/v1/groups/{id}/history", "get"): "get_history_of_group",
        ("/healthz", "get"): "is_alive",
        ("/readyz", "get"): "is_ready",
        ("/metrics", "get"): "get_metrics",
    }
    assert names.items() <= found.items()
    assert len(set(found.values())) == len(found)


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


@pytest.mark.parametrize("of", [Device, Hardware, Software, Nic, Group])
def test_each_limit_is_the_one_of_the_model(document, of):
    properties = document["components"]["schemas"][of.__name__]["properties"]
    for name, rule in of.RULES.items():
        assert properties[name]["minLength"] == rule.min_length
        assert properties[name]["maxLength"] == rule.max_length
        assert rule.says in properties[name]["description"]
        assert re.fullmatch(properties[name]["pattern"], properties[name]["example"])


def test_an_id_in_a_path_has_the_rule_of_the_model(document):
    rule, checked = Device.RULES["id"], 0
    limits = {"minLength": rule.min_length, "maxLength": rule.max_length, "pattern": f"^{rule.pattern}$"}
    for path, method, operation in operations(document):
        for id in operation.get("parameters", []):
            if id["in"] == "path" and id["name"] != "number":
                assert id["schema"] == {"type": "string", **limits}, (path, method)
                assert re.fullmatch(id["schema"]["pattern"], id["example"])
                checked += 1
    assert checked >= 28


def test_no_get_or_delete_has_a_request_body_so_that_swagger_can_send_them(document):
    for path, method, operation in operations(document):
        has_none = path.endswith(("{group_id}", "{device_id}", "/undo"))
        assert ("requestBody" in operation) == (method in ("post", "put", "patch") and not has_none)


def test_the_parameters_of_a_path_are_said_in_each_operation_so_that_swagger_shows_them(document):
    """It loses those of a path if an argument in the query has the same name."""
    for path, method, operation in operations(document):
        told = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"]
        assert told == re.findall(r"{(\w+)}", path), (path, method)
        assert "parameters" not in document["paths"][path]


def filled_in(document, path, method, number):
    """The path and the arguments of the test client that are what Swagger UI fills in, but with the number of a change
    that there is."""
    operation = document["paths"][path][method]
    query = dict(operation["x-sample"]) if path == "/v1/devices" and method == "patch" else {}  # it needs a filter
    parameters = operation.get("parameters", []) + document["paths"][path].get("parameters", [])
    path = path.replace("{number}", str(number))
    for parameter in parameters:
        example = parameter.get("example", parameter["schema"].get("example"))
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(example))
        elif example and parameter["in"] == "query":
            query[parameter["name"]] = example
    arguments: dict[str, object] = {"query_string": query}
    for content_type, body in operation.get("requestBody", {"content": {}})["content"].items():
        example = body["example"]
        arguments |= {"content_type": content_type}
        arguments |= {"data": example if isinstance(example, str) else json.dumps(example)}
    return path, arguments


def test_the_example_of_each_call_works_when_sent(app, document):
    """On the sample devices, of which one is in the group of the examples."""
    store = app.extensions["devicesvc.store"]
    client, tried = app.test_client(), 0
    for path, method, _operation in operations(document):
        store.write(prepare)
        target, arguments = filled_in(document, path, method, store.history.last())
        answer = client.open(target, method=method, **arguments)
        assert answer.status_code in (200, 201), answer.text
        check(document, path, method, answer)
        assert not path.startswith("/v1") or answer.json.get("data") or "ids" in answer.json, (method, path)
        tried += 1
    assert tried >= 34


def prepare(tx):
    tx.devices.remove([device.id for device in tx.devices.list()])
    tx.groups.remove([group.id for group in tx.groups.list()])
    for device in DEVICES:
        tx.devices.add(device)
    tx.groups.add(Group(**examples.GROUP))
    tx.memberships.add([Membership(examples.ID, examples.GROUP["id"])])


@pytest.mark.parametrize("case", HARD)
def test_schema_and_answer_agree(client, document, case):
    """Answers are written from the dataclasses, past the schemas: here both must say the same."""
    hard = HARD[case]
    client.application.extensions["devicesvc.store"].write(lambda tx: tx.devices.add(hard))
    listed, one = client.get("/v1/devices"), client.get(f"/v1/devices/{hard.id}")
    check(document, "/v1/devices", "get", listed)
    check(document, "/v1/devices/{id}", "get", one)
    assert answers.DeviceAnswerSchema().dump({**one.json, "data": hard}) == one.json
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
        ("patch", "/v1/devices/{id}", {"json": {}}, 404),
        ("put", "/v1/devices/{id}", {"json": examples.ADD, "headers": {"If-Match": '"x"'}}, 412),
        ("post", "/v1/devices/batch", {"json": {"update": [{"id": "none"}]}}, 422),
        ("post", "/v1/devices/import", {"data": "x", "content_type": "text/csv"}, 422),
        ("post", "/v1/devices/import", {"data": "x"}, 415),
        ("post", "/v1/groups/{id}/devices", {"json": {"ids": []}}, 404),
    ],
)
def test_refusals_are_as_documented(client, document, method, path, request_, status):
    answer = client.open(path.replace("{id}", "x"), method=method, **request_)
    assert answer.status_code == status
    check(document, path, method, answer)


def test_without_tokens_no_call_is_shown_as_one_that_needs_a_token(document):
    assert "securitySchemes" not in document["components"]
    assert all("security" not in operation for _path, _method, operation in operations(document))


def test_a_token_can_be_given_in_swagger(tmp_path):
    tokens.create(tmp_path / "tokens.txt", "writer", "write")
    with open_store(str(tmp_path / "device.csv")) as store:
        app = create_app({"TOKENS_FILE": str(tmp_path / "tokens.txt")}, store=store)
        document = json.loads(app.test_client().get("/openapi.json").text)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, method, operation in operations(document):
        needs_token = path.startswith(("/v1", "/metrics"))
        assert operation.get("security") == ([{"bearer": []}] if needs_token else None), (method, path)


def test_no_filter_is_filled_in_by_swagger_because_it_would_narrow_what_others_find(document):
    """Swagger UI fills in each example of a parameter."""
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query" and not parameter["required"]:
                assert not {"example", "examples"} & (parameter.keys() | parameter["schema"].keys()), (method, path)


def test_each_refusal_in_the_document_is_such_a_refusal(document):
    count = 0
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")):
                media = resolved(document, response)["content"]["application/problem+json"]
                jsonschema.Draft4Validator(media["schema"]).validate(media["example"])
                assert media["example"]["status"] == int(status), (method, path)
                count += 1
    assert count > 180


def test_the_answers_that_it_shows_are_such_answers(document):
    count = 0
    for _path, _method, operation in operations(document):
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                media = resolved(document, response)["content"].get("application/json")
                if not media:
                    continue
                jsonschema.Draft4Validator(media["schema"]).validate(media["example"])
                assert media["example"]["status"] == int(status)
                count += 1
    assert count >= 38


def test_each_default_is_within_the_limits_that_the_documentation_gives(document):
    """Else Swagger UI fills it in and refuses to send it."""
    parameters = [each for *_, operation in operations(document) for each in operation.get("parameters", ())]
    limited = [each for each in parameters if {"default", "minimum"} <= each.get("schema", {}).keys()]
    assert limited
    for each in limited:
        assert each["schema"]["minimum"] <= each["schema"]["default"] <= each["schema"]["maximum"], each
