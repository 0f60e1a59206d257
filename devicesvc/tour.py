"""The calls of the lab, in order, and then some on filters, groups and the history: devicesvc tour http://localhost:8000

The tour shows each call to a running service and its answer, and names each difference between the answer and the one
that the API promises. It changes and deletes only what it has added itself, which has its mark, and deletes all of that
at the end: so a registry in a file has the same rows in the same order as before. Each change is registered to be
undone before it is sent, so it is undone also if the answer is lost, or after Ctrl-C.
"""

import secrets
import sys
import time
from contextlib import ExitStack, suppress
from typing import Any

import requests

from devicesvc.client import ApiError, Client
from devicesvc.terminal import coloured, json_block, plain

TIMEOUT = 10  # seconds
PAUSES = (0.2, 1, 3)  # seconds before the next try to undo a change
READS = 4  # how often a change is read back: a proxy may ask another service each time
MAX_LINES = 20  # of an answer that are shown
MAX_LINE = 200  # characters

KNOWN = "5661391086"
UNKNOWN = "1234567890 "  # as the lab has it
NEW: dict[str, Any] = {
    "name": "test-name",
    "type": "controller",
    "hardware": {"model": "test-model", "sn": "test-sn"},
    "software": {"version": "0.1", "last_update": "2023-08-06 20:00:00"},
    "nic": [{"type": "wifi", "mac": "12:34:56:78:9a:bc", "ipv4": "192.168.1.2"}],
    "status": "online",
}
CHANGE: dict[str, Any] = {
    "name": "new-name",
    "software": {"version": "0.5", "last_update": "2023-08-06 10:00:00"},
    "status": "offline",
}


class WrongAnswerError(Exception):
    """An answer is not as the API promises. It ends its part of the tour, because the calls after it depend on it."""


def run(url: str, token: str | None = None) -> int:
    """Make the tour of the service at this URL, and return the number of differences. token: one that may write. Raises
    ApiError if the service does not answer or refuses the token."""
    with Client(url, token, TIMEOUT) as client:
        tour = Tour(client)
        tour.check_service()
        for part in (find_devices, delete_devices, add_and_change_a_device, use_filters, use_groups, use_history):
            try:
                with ExitStack() as undo:
                    part(tour, undo)
            except WrongAnswerError as error:
                tour.report(str(error))
            except ApiError as error:
                tour.report(f"{tour.last_call}: {error}")
            except (LookupError, TypeError) as error:
                tour.report(f"{tour.last_call}: its items do not have the fields that they should have ({error}).")
    if tour.differences:
        tour.show(f"{tour.calls} calls; the differences are named above.")
    else:
        tour.show(f"ok: {tour.calls} calls, all answered as they should.")
    return tour.differences


class Tour:
    """Makes the calls, and checks their answers. mark: random text in everything that this tour adds. new: the device
    to add. calls, differences: how many so far. last_call: the last call as Python, for a sentence about it."""

    def __init__(self, client: Client) -> None:
        self.mark = f"tour-{secrets.token_hex(4)}"
        self.new = {**NEW, "hardware": {"model": "test-model", "sn": self.mark}}
        self.calls = self.differences = 0
        self.last_call = ""
        self._client = client

    def check_service(self) -> None:
        """Check that a devicesvc answers, and that the tour may read and write. Changes nothing. Raises ApiError."""
        for method, query in (("GET", {"limit": "1"}), ("DELETE", {"ids": self.mark})):
            try:
                self._client.call(method, "/v1/devices", params=query)
            except ApiError as error:
                if error.status not in (401, 403):
                    raise
                words = f"{error} The tour needs a token that may write: give it with --token."
                raise ApiError(words, error.status) from error

    def call(
        self,
        what: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int | tuple[int, ...] = 200,
        headers: dict[str, str] | None = None,
        times: int = 1,
        **expected: Any,
    ) -> dict[str, Any]:
        """Make a call, show it and its answer, and return the answer's body.

        what: a title to show. status: the status code that is right, or several. times: how often to send the call;
        each answer must be right. expected: members of the body, each a value or a type. Raises WrongAnswerError, and
        ApiError if there is no answer.
        """
        self.calls += 1
        sent = f", json={body!r}" if body is not None else ""
        self.last_call = call = f"requests.{method}({self._client.url + path!r}{sent})"
        space = "\n" if self.calls > 1 else ""
        self.show(f"{space}{coloured(f'# {what}', 'cyan', sys.stdout)}\n>>> {call}")
        right = (status,) if isinstance(status, int) else status
        # A connection for each call: a proxy, or several workers, may take each to another service.
        options: dict[str, Any] = {"json": body, "headers": {"Connection": "close", **(headers or {})}}
        for number in range(times):
            answer = self._client.send(method, path, **options)
            if not number:
                colour = "green" if answer.status_code in right else "red"
                self.show(coloured(str(answer.status_code), colour, sys.stdout))
                self.show(_readable(answer))
            came = _json(answer)
            _expect(call, "the status", right, answer.status_code)
            kind = "application/json" if answer.ok else "application/problem+json"
            _expect(call, "the Content-Type", (kind,), answer.headers.get("Content-Type"))
            _expect(call, "'status' in the body", (answer.status_code,), came.get("status"))
            for name, value in expected.items():
                _expect(call, repr(name), (value,), came.get(name))
            if method == "post" and answer.status_code == 201:
                _expect(call, "the header Location", (f"{path}/{came['data']}",), answer.headers.get("Location"))
        return came

    def read_back(self, path: str, data: Any) -> None:
        """Check that the path answers with this data; None means that it must answer 404. Raises as `call` does."""
        if data is None:
            self.call("Read back: it is gone", "get", path, status=404, times=READS)
        else:
            self.call("Read back", "get", path, data=data, times=READS)

    def undo(self, what: str, path: str, ids: list[str]) -> None:
        """Delete what the tour has added. If that fails, try again after each of PAUSES; then report the call to make
        by hand."""
        for pause in (*PAUSES, None):
            try:
                self.call(what, "delete", path, {"ids": ids}, ids=list)
                return
            except (WrongAnswerError, ApiError) as error:
                if pause is None:
                    self.report(f"{error} This is left to do: {self.last_call}")
                else:
                    time.sleep(pause)

    def delete_new_devices(self) -> None:
        """Delete all devices with the mark, also one whose id was in a lost answer. Others are not deleted, even if a
        wrong answer lists them."""
        found = self.call("What is there to be deleted?", "get", f"/v1/devices?sn={self.mark}", data=list)
        if ids := [device["id"] for device in found["data"] if device["hardware"]["sn"] == self.mark]:
            self.undo("Delete the new devices", "/v1/devices", ids)

    def show(self, text: str) -> None:
        """Print the text to stdout."""
        # If nobody reads stdout (`| head`, a closed terminal) or it cannot show a character, the tour goes on, to undo
        # its changes.
        with suppress(OSError, UnicodeEncodeError):
            print(text, flush=True)

    def report(self, sentence: str) -> None:
        """Count a difference, and print its sentence to stderr."""
        self.differences += 1
        with suppress(OSError):
            print(coloured(plain(sentence), "red", sys.stderr), file=sys.stderr, flush=True)


def find_devices(tour: Tour, _undo: ExitStack) -> None:
    """Find devices as the lab does, by id and by other fields."""
    found = tour.call("Find a device by its id", "get", "/v1/devices", {"id": KNOWN}, data=list)
    ids = [device["id"] for device in found["data"]]
    _expect("GET /v1/devices", "its ids", ([KNOWN], []), ids)
    where = {"sn": "itOYJ", "model": "Raspberry Pi 4"}
    found = tour.call("Find devices by serial number and model", "get", "/v1/devices", where, data=list)
    for device in found["data"]:
        _expect("GET /v1/devices", "the serial number", ("itOYJ",), device["hardware"]["sn"])
    query = "/v1/devices?sn=itOYJ&model=Raspberry+Pi+4"
    tour.call("The same in the query: some proxies drop the body", "get", query, data=found["data"])
    tour.call("Find nothing", "get", "/v1/devices", {"id": tour.mark}, data=[], total=0)
    tour.call("Get a device that does not exist", "get", f"/v1/devices/{tour.mark}", status=404)


def delete_devices(tour: Tour, undo: ExitStack) -> None:
    """Delete devices as the lab does. They are two that the tour has added: if it deleted the two of the lab and put
    them back, they would be the last rows of the file. undo: gets the call that deletes what is left."""
    undo.callback(tour.delete_new_devices)
    what = "Add a device to delete"
    ids = [tour.call(what, "post", "/v1/devices", tour.new, status=201, data=str)["data"] for _ in range(2)]
    what = "Delete devices: the answer names those that existed"
    tour.call(what, "delete", "/v1/devices", {"ids": [*ids, UNKNOWN]}, ids=ids)
    for id in ids:
        tour.read_back(f"/v1/devices/{id}", None)


def add_and_change_a_device(tour: Tour, undo: ExitStack) -> None:
    """Add a device, change it, and send a wrong one. undo: gets the calls that delete the device."""
    undo.callback(tour.delete_new_devices)
    id = tour.call("Add a device: the answer is its id", "post", "/v1/devices", tour.new, status=201, data=str)["data"]
    tour.read_back(f"/v1/devices/{id}", {"id": id, **tour.new})
    changed = {"id": id, **tour.new, **CHANGE}
    tour.call("Change the device", "put", "/v1/devices", {"id": id, **CHANGE}, data=changed)
    tour.read_back(f"/v1/devices/{id}", changed)
    half = {"hardware": {"model": "other-model"}}
    changed["hardware"] = changed["hardware"] | half["hardware"]
    tour.call(
        "Change one field of its hardware: the other field stays", "patch", f"/v1/devices/{id}", half, data=changed
    )
    tour.read_back(f"/v1/devices?sn={tour.mark}", [changed])
    wrong = {**tour.new, "nic": [{**NEW["nic"][0], "mac": "12:34"}]}
    what = "A wrong MAC address is refused, and named"
    refusal = tour.call(what, "post", "/v1/devices", wrong, status=422, errors=dict)
    _expect("POST /v1/devices", "what 'errors' names", (["nic.0.mac"],), list(refusal["errors"]))


def use_filters(tour: Tour, undo: ExitStack) -> None:
    """Search for two devices, count them, and change both by one call. undo: gets the call that deletes them."""
    undo.callback(tour.delete_new_devices)
    what = "Add a device to search for"
    ids = sorted(tour.call(what, "post", "/v1/devices", tour.new, status=201, data=str)["data"] for _ in range(2))
    query = f"q={tour.mark.upper()}"
    tour.read_back(f"/v1/devices?{query}", [{"id": id, **tour.new} for id in ids])
    online = {"values": [{"value": NEW["status"], "count": 2}], "others": 0}
    tour.call("Count what fits by status", "get", f"/v1/counts?by=status&{query}", data={"status": online})
    offline, both = {"status": "offline"}, {"found": 2, "changed": 2, "ids": ids}
    tour.call("Ask what would be changed", "patch", f"/v1/devices?{query}&dry_run=true", offline, data=both)
    tour.call("Change all that fit, if they are two", "patch", f"/v1/devices?{query}&expect=2", offline, data=both)
    tour.read_back(f"/v1/devices?{query}&status=offline", [{"id": id, **tour.new, **offline} for id in ids])


def use_groups(tour: Tour, undo: ExitStack) -> None:
    """Add a group and two devices, and change its devices. undo: gets the calls that delete all three."""
    roof = {"id": tour.mark, "name": f"Roof of {tour.mark}", "description": "What the tour puts on the roof."}
    path = f"/v1/groups/{roof['id']}"
    undo.callback(tour.delete_new_devices)
    undo.callback(tour.undo, "Delete the group: its devices stay", "/v1/groups", [roof["id"]])
    what = "Add a device to put into a group"
    one, other = (tour.call(what, "post", "/v1/devices", tour.new, status=201, data=str)["data"] for _ in range(2))
    name = {"name": roof["name"]}
    tour.call("Add a group under an id of your own", "put", path, name, status=201, data={**roof, "description": ""})
    tour.call("Change the group", "put", "/v1/groups", roof, data=roof)
    tour.call("A second group with the same name is refused", "post", "/v1/groups", name, status=409)
    tour.call("Find a group by its name", "get", "/v1/groups", name, data=[roof])
    both = {"ids": [one, other]}
    tour.call("Put devices into the group", "post", f"{path}/devices", both, ids=[one, other])
    members = sorted(({"id": id, **tour.new} for id in (one, other)), key=lambda device: str(device["id"]))
    tour.read_back(f"{path}/devices", members)
    tour.call("From the other end: the groups of a device", "get", f"/v1/devices/{one}/groups", data=[roof])
    tour.call("Remove a device from the group", "delete", f"{path}/devices/{other}", ids=[other])
    tour.read_back(f"{path}/devices/{other}", None)
    nobody = {"ids": [tour.mark]}
    tour.call("A device that does not exist is refused", "post", f"{path}/devices", nobody, status=422)


def use_history(tour: Tour, undo: ExitStack) -> None:
    """Find the changes of a device, and take back one that the tour has made. undo: gets the call that deletes it."""
    undo.callback(tour.delete_new_devices)
    what = "Add a device whose changes are to be found"
    id = tour.call(what, "post", "/v1/devices", tour.new, status=201, data=str)["data"]
    path, online, offline = f"/v1/devices/{id}", NEW["status"], {"status": "offline"}
    tour.call("Change it", "patch", path, offline, data={"id": id, **tour.new, **offline})
    found = tour.call("Find its changes, the newest first", "get", f"{path}/history", data=list)
    _expect(
        f"GET {path}/history",
        "what they did",
        (["changed", "added"],),
        [_first_row(each)["done"] for each in found["data"]],
    )
    changed, added = found["data"]
    row = {"done": "changed", "kind": "device", "id": id, "column": "status", "before": online, "after": "offline"}
    _expect(f"GET {path}/history", "the row", (row,), _first_row(changed))
    tour.call("Get one change", "get", f"/v1/changes/{changed['number']}", data=changed)
    feed = f"/v1/changes?after={changed['number'] - 1}&limit=1"
    tour.call("The same as a feed: what comes after a number", "get", feed, data=[changed], next=changed["number"])
    back = {"count": 1, "rows": [{**row, "before": "offline", "after": online}]}
    take_back = f"/v1/changes/{changed['number']}/undo"
    tour.call("Ask what it would be to undo the change", "post", f"{take_back}?dry_run=true", data=back)
    tour.call("Undo the change", "post", take_back, data=back)
    tour.read_back(path, {"id": id, **tour.new})
    tour.call("To undo it twice is refused", "post", take_back, status=409, errors=dict)
    then = {"id": id, **tour.new, **(offline if changed["time"] == added["time"] else {})}
    tour.call("The device as it was added", "get", f"{path}?at={added['time']}", data=then)


def _first_row(change: dict[str, Any]) -> dict[str, str]:
    row: dict[str, str] = change["rows"][0]
    return row


def _expect(call: str, what: str, allowed: tuple[Any, ...], actual: Any) -> None:
    """Raise WrongAnswerError if the actual value is none of those allowed. allowed: values or types."""
    if not any(isinstance(actual, each) if isinstance(each, type) else actual == each for each in allowed):
        words = " or ".join(f"a {each.__name__}" if isinstance(each, type) else repr(each) for each in allowed)
        raise WrongAnswerError(f"{call}: {what} should be {words}, not {actual!r}.")


def _readable(answer: requests.Response) -> str:
    """The body of an answer to show: JSON with indents, at most MAX_LINES of MAX_LINE characters."""
    try:
        lines = json_block(answer.json()).split("\n")
    except ValueError:
        lines = [plain(line) for line in answer.text.strip().split("\n")]
    more = [f"... and {len(lines) - MAX_LINES} more lines"] if len(lines) > MAX_LINES else []
    return "\n".join([line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}..." for line in lines[:MAX_LINES]] + more)


def _json(answer: requests.Response) -> dict[str, Any]:
    """The JSON object in an answer; an empty one if it has none."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
