"""What the documentation shows of refusals: for each operation and status a request that is refused, and its answer.

The words are those of the service: a test makes each of these requests, and compares.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from devicesvc.api import examples
from devicesvc.api.errors import problem_body
from devicesvc.api.history_schemas import MAX_NUMBER, MOMENT_SAYS
from devicesvc.api.paging import MAX_LIMIT
from devicesvc.api.samples import Request, example_request
from devicesvc.handover import READING, body_limit
from devicesvc.model import Group, Nic

UNKNOWN_ID = "1234567890"
UNKNOWN_NUMBER = 999_999_999  # of a change
OTHER_GROUP = {"id": "attic", "name": "Attic", "description": ""}  # wants the name of the group of the examples
READER = "display-3"  # the name of a token that may only read


class Call(NamedTuple):
    """An operation of the OpenAPI document. needs_token: whether tokens are configured."""

    path: str
    method: str
    operation: dict[str, Any]
    needs_token: bool

    @property
    def request(self) -> Request:
        return example_request(self.path, self.method, self.operation)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the example of a JSON body; none if there is no such example."""
        body = self.request.body
        return body if isinstance(body, dict) else {}

    @property
    def arguments(self) -> list[str]:
        """The names of its arguments in the query."""
        return [each["name"] for each in self.operation.get("parameters", []) if each["in"] == "query"]

    def of_change(self, number: int) -> Request:
        """The request for the change with this number."""
        return self._replace(path=self.path.replace("{number}", str(number))).request

    @property
    def reads(self) -> bool:
        """Whether the call changes nothing."""
        return self.method.upper() in READING

    @property
    def nouns(self) -> list[str]:
        """What the path names, such as a group and its devices: "group" and "device"."""
        return [part.removesuffix("s") for part in self.path.split("/") if part in ("devices", "groups")]


class Refused(NamedTuple):
    """A request, and why it is refused. detail: the sentence; if it is empty, `errors` is, by place."""

    request: Request
    detail: str = ""
    errors: Mapping[str, str] = {}

    def body(self, status: int) -> dict[str, object]:
        """The body of the answer."""
        return problem_body(status, self.detail, self.errors)


def can_be(call: Call, status: int) -> bool:
    """Whether the service ever refuses this call so: who may call depends on whether there are tokens."""
    if status == 401:
        return call.needs_token
    return status != 403 or not (call.needs_token and call.reads)


def refused(call: Call, status: int) -> Refused | None:
    """The example of a refusal with this status; None if there is none for this call."""
    return _EXAMPLES[status](call) if status in _EXAMPLES else None


def _unreadable(call: Call) -> Refused:
    name = "limit" if call.method == "get" else "dry_run"
    if call.method == "get" or call.request.media_type == "text/csv" or call.path.endswith("/undo"):
        twice = call.request._replace(query=[(name, "10"), (name, "20")])
        return Refused(twice, f"The query gives '{name}' twice.")
    twice = call.request._replace(query=[], media_type="application/json", body='{"name": "a", "name": "b"}')
    return Refused(twice, "The body is not proper JSON: it gives 'name' twice.")


def _without_token(call: Call) -> Refused:
    return Refused(call.request, "No token was sent: this service needs the header Authorization: Bearer TOKEN.")


def _forbidden(call: Call) -> Refused:
    if call.needs_token:
        return Refused(call.request, f"The token '{READER}' may only read.")
    if call.reads:
        return Refused(
            call.request._replace(headers={"Host": "devices.example.com"}),
            "Without tokens, this service answers only to addresses, to names without a dot and to its machine's name,"
            " not to 'devices.example.com'. If that name is yours, start the service with it in DEVICESVC_HOSTS.",
        )
    return Refused(
        call.request._replace(headers={"Origin": "https://example.com"}),
        "Without tokens, this service takes no change from a page of another site, 'https://example.com'. If that site"
        " is yours, start the service with its name in DEVICESVC_HOSTS.",
    )


def _not_found(call: Call) -> Refused | None:
    if "{number}" in call.path:
        return Refused(call.of_change(UNKNOWN_NUMBER), f"There is no change with the number {UNKNOWN_NUMBER}.")
    if not call.nouns:
        return None
    words = f"There is no {call.nouns[0]} with the id '{UNKNOWN_ID}'."
    if "{id}" not in call.path:
        return Refused(call.request._replace(body={**call.fields, "id": UNKNOWN_ID}), words)
    return Refused(call._replace(path=call.path.replace("{id}", UNKNOWN_ID)).request, words)


def _conflict(call: Call) -> Refused:
    if call.path.endswith("/undo"):  # the first change has added the devices, and one is in a group now
        what, how = f"the device {examples.ID}", "has a membership now"
        words = f"Change 1 cannot be undone, because there were later changes: {what} {how}."
        return Refused(call.of_change(1), words, {what: how})
    if call.nouns == ["device"]:  # all devices that fit are changed, if they are as many as the client expects
        request = call.request._replace(query=[*call.request.query, ("expect", "1")])
        return Refused(request, "2 devices fit, and not 1: nothing was changed.")
    id, name = examples.GROUP["id"], examples.GROUP["name"]
    other = call._replace(path=call.path.replace("{id}", OTHER_GROUP["id"])).request
    own_id = {"id": OTHER_GROUP["id"]} if "id" in call.fields else {}
    return Refused(
        other._replace(body={**call.fields, **own_id, "name": name}),
        f"The name '{name}' is taken by the group with the id '{id}'.",
        {"name": f"must be unique; the group with the id '{id}' has it"},
    )


def _another_version(call: Call) -> Refused:
    words = "If-Match: the item has another version now. Get it again, and repeat the change on that version."
    return Refused(call.request._replace(headers={"If-Match": f'"{"0" * 32}"'}), words)


def _too_large(call: Call) -> Refused:
    limit = body_limit(call.request.media_type)
    large = call.request._replace(headers={"Content-Length": str(limit + 1)})
    return Refused(large, f"The body has {limit + 1} bytes, more than the limit of {limit}.")


def _wrong_type(call: Call) -> Refused:
    words = "Send the body as JSON, with the header Content-Type: application/json."
    if call.request.media_type == "text/csv":
        words = "Send the file in UTF-8, with the header Content-Type: text/csv."
    return Refused(call.request._replace(media_type="text/plain", body="x"), words)


def _broken_rule(call: Call) -> Refused | None:
    request = call.request
    if call.path.endswith("/undo"):
        return Refused(request._replace(query=[("dry_run", "perhaps")]), errors={"dry_run": "must be true or false"})
    if "at" in call.arguments:
        return Refused(request._replace(query=[("at", "yesterday")]), errors={"at": MOMENT_SAYS})
    if "{number}" in call.path:
        return Refused(request._replace(query=[("cursor", "0")]), errors={"cursor": f"must be from 1 to {MAX_NUMBER}"})
    if call.method == "get":
        request = request._replace(query=[("limit", "0")])
        return Refused(request, errors={"limit": f"must be from 1 to {MAX_LIMIT}"})
    if not call.nouns:
        return None
    noun = call.nouns[-1]
    no_such = f"must be the id of a {noun}; there is none with the id '{UNKNOWN_ID}'"
    bad_mac = f"must be {Nic.RULES['mac'].says}, not '12:34'"
    if call.method == "delete" and len(call.nouns) == 1:
        return Refused(request._replace(query=[]), errors={"ids": "is required"})
    if call.method == "delete":
        return Refused(request._replace(query=[("ids", UNKNOWN_ID)]), errors={"ids.0": no_such})
    if len(call.nouns) == 2:
        return Refused(request._replace(body={"ids": [UNKNOWN_ID]}), errors={"ids.0": no_such})
    if request.media_type == "text/csv":
        body = request.body.replace(examples.DEVICE["nic"][0]["mac"], "12:34")
        return Refused(request._replace(body=body), errors={"line 2, column nic_mac": bad_mac})
    if call.method == "patch" and "{id}" not in call.path:
        rule = "must have a filter, such as status=offline: without one, all devices would change"
        return Refused(request._replace(query=[]), errors={"the query": rule})
    if call.path.endswith("/batch"):
        body = {"update": [{"id": UNKNOWN_ID, "status": "offline"}]}
        return Refused(request._replace(body=body), errors={"update.0.id": no_such})
    if noun == "group":
        rule = f"must be {Group.RULES['name'].says}, not ''"
        return Refused(request._replace(body={**call.fields, "name": ""}), errors={"name": rule})
    body = {**call.fields, "nic": [{**examples.ADD["nic"][0], "mac": "12:34"}]}
    return Refused(request._replace(body=body), errors={"nic.0.mac": bad_mac})


_EXAMPLES: Mapping[int, Callable[[Call], Refused | None]] = {
    400: _unreadable,
    401: _without_token,
    403: _forbidden,
    404: _not_found,
    409: _conflict,
    412: _another_version,
    413: _too_large,
    415: _wrong_type,
    422: _broken_rule,
}
