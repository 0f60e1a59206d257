"""Each example of a refusal in the OpenAPI document is what the service answers."""

import json
import re

import pytest

from devicesvc import tokens
from devicesvc.api import examples
from devicesvc.api.auth import SECURED
from devicesvc.api.document import complete
from devicesvc.api.errors import REFUSALS
from devicesvc.api.refusals import OTHER_GROUP, READER, Call, refused
from devicesvc.app import create_app
from devicesvc.dao.urls import open_store
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES


@pytest.fixture(params=["without tokens", "with tokens"])
def service(request, tmp_path):
    """A client of the service on a file with what the examples need, and its tokens by scope, if it has tokens."""
    file, known = tmp_path / "tokens.txt", {}
    if request.param == "with tokens":
        known = {"write": tokens.create(file, "writer", "write"), "read": tokens.create(file, READER, "read")}
    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        app = create_app({"TOKENS_FILE": str(file) if known else ""}, store=store)

        def prepare(tx):
            tx.groups.add(Group(**examples.GROUP))
            tx.groups.add(Group(**OTHER_GROUP))
            tx.memberships.add([Membership(examples.ID, examples.GROUP["id"])])

        store.write(prepare)
        yield app.test_client(), known


def calls(document, known):
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield Call(path, method, operation, bool(known) and path.startswith(SECURED))


def send(client, request, token):
    headers = dict(request.headers)
    length = {"CONTENT_LENGTH": headers.pop("Content-Length")} if "Content-Length" in headers else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = request.body if request.body is None or isinstance(request.body, str) else json.dumps(request.body)
    return client.open(
        request.path,
        method=request.method,
        query_string=request.query,
        headers=headers,
        data=body,
        content_type=request.media_type or None,
        environ_overrides=length,
    )


def test_each_example_of_a_refusal_is_what_the_service_answers(service):
    client, known = service
    document, seen = client.get("/openapi.json").json, []
    for call in calls(document, known):
        for status, response in call.operation["responses"].items():
            if status.startswith("4"):
                token = {"401": None, "403": known.get("read")}.get(status, known.get("write"))
                refusal = refused(call, int(status))
                assert refusal, f"api/refusals.py has no example of {status} for {call.method} {call.path}"
                answer = send(client, refusal.request, token)
                example = response["content"]["application/problem+json"]["example"]
                where = (call.method, call.path, status)
                assert (*where, answer.status_code, answer.json) == (*where, int(status), example)
                assert answer.content_type == "application/problem+json"
                seen.append(status)
    assert set(seen) == {"400", "403", "404", "409", "412", "413", "415", "422", *(["401"] if known else [])}
    assert len(seen) > 120


def test_no_request_of_an_example_changes_anything(service):
    client, known = service
    store = client.application.extensions["devicesvc.store"]
    before = store.devices.list(), store.groups.list(), store.memberships.list()
    for call in calls(client.get("/openapi.json").json, known):
        for status in call.operation["responses"]:
            if status.startswith("4"):
                refusal = refused(call, int(status))
                assert refusal
                send(client, refusal.request, known.get("read"))
    assert (store.devices.list(), store.groups.list(), store.memberships.list()) == before


def test_a_call_names_only_refusals_that_it_gives(service):
    client, known = service
    for call in calls(client.get("/openapi.json").json, known):
        statuses = call.operation["responses"].keys()
        assert ("401" in statuses) == call.needs_token
        if call.path.startswith("/v1"):
            assert ("403" in statuses) == (not known or call.method != "get")
            assert ("415" in statuses) == ("requestBody" in call.operation)


@pytest.mark.parametrize("path", ["/v1/counts", "/v1/devices/{id}/restart", "/v1/groups/names", "/v1/rooms/{room}"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_a_call_that_has_no_examples_yet_is_documented_all_the_same(path, method):
    parameters = [{"in": "path", "name": name, "schema": {"type": "string"}} for name in re.findall(r"{(\w+)}", path)]
    refusals = {str(status): {"$ref": f"#/components/responses/{status}"} for status in REFUSALS if status < 500}
    operation = {"parameters": parameters, "responses": {"204": {"description": "Done."}, **refusals}}
    if method == "post":
        operation["requestBody"] = {"content": {"application/json": {"schema": {"type": "array"}}}}
    done = complete({"paths": {path: {method: operation}}, "components": {"responses": {}}}, has_tokens=False)
    completed = done["paths"][path][method]
    assert completed["responses"].keys() == {"204", *refusals} - {"401"}
    assert all("content" in each for status, each in completed["responses"].items() if status != "204")
    assert [each["label"] for each in completed["x-codeSamples"]] == ["requests", "curl"]
