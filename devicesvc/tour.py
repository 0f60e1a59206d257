"""The calls of the lab, in order, and then some calls on groups: devicesvc tour http://localhost:8000

The tour shows each call to a running service and its answer, and names each difference between the answer and the one
that the API promises. At the end it undoes its changes: it deletes all that it added, which has its mark, and puts back
the devices that it deleted, under their ids and into their groups (as the last rows of the files). Each change is
registered to be undone before it is sent, so it is undone also if the answer is lost, or after Ctrl-C.
"""

import secrets
import sys
import time
from contextlib import ExitStack, suppress
from typing import Any

import requests

from devicesvc.errors import RegistryError

TIMEOUT = 10  # seconds
PAUSES = (0.2, 1, 3)  # seconds before the next try to undo a change
READS = 4  # how often a change is read back: a proxy may ask another service each time

KNOWN = "5661391086"
DELETED = ("3635138853", "5394030919")
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


class NoTourError(RegistryError):
    """The tour cannot start; the text says why."""


class WrongAnswerError(Exception):
    """An answer is not as the API promises. It ends its part of the tour, because the calls after it depend on it."""


def run(url: str, token: str | None = None) -> int:
    """Make the tour of the service at this URL, and return the number of differences. token: one that may write. Raises
    NoTourError if the service does not answer or refuses the token."""
    tour = Tour(url, token)
    tour.check_service()
    for part in (find_devices, delete_devices, add_and_change_a_device, use_groups):
        try:
            with ExitStack() as undo:
                part(tour, undo)
        except (WrongAnswerError, requests.RequestException) as error:
            tour.report(str(error) if isinstance(error, WrongAnswerError) else f"{tour.last_call}: {_reason(error)}.")
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

    def __init__(self, url: str, token: str | None) -> None:
        self.mark = f"tour-{secrets.token_hex(4)}"
        self.new = {**NEW, "hardware": {"model": "test-model", "sn": self.mark}}
        self.calls = self.differences = 0
        self.last_call = ""
        self._url = url.rstrip("/")
        self._token = token

    def check_service(self) -> None:
        """Check that a devicesvc answers, and that the tour may read and write. Changes nothing. Raises NoTourError."""
        for method, query in (("get", "limit=1"), ("delete", f"ids={self.mark}")):
            try:
                answer = self._send(method, f"/v1/devices?{query}")
            except (requests.RequestException, ValueError) as error:
                raise NoTourError(f"Nobody answers at {self._url}: {_reason(error)}.") from error
            body = _json(answer)
            if body.get("status") != answer.status_code:
                kind = answer.headers.get("Content-Type", "no Content-Type")
                raise NoTourError(f"What answers at {self._url} is not devicesvc: {answer.status_code}, {kind}.")
            if answer.status_code in (401, 403):
                raise NoTourError(f"{body['message']} The tour needs a token that may write: give it with --token.")
            if answer.status_code != 200:
                raise NoTourError(f"{self._url} answers {answer.status_code}: {body['message']}")

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
        requests.RequestException if there is no answer.
        """
        self.calls += 1
        sent = f", json={body!r}" if body is not None else ""
        self.last_call = call = f"requests.{method}({self._url + path!r}{sent})"
        self.show(f"# {what}\n>>> {call}")
        for number in range(times):
            answer = self._send(method, path, body, headers)
            if not number:
                self.show(f"{answer.status_code} {answer.text.strip()}")
            came = _json(answer)
            _expect(call, "the status", (status,) if isinstance(status, int) else status, answer.status_code)
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

    def put_back(self, what: str, method: str, path: str, body: Any = None, **options: Any) -> None:
        """Make a call that undoes a change. If it fails, try again after each of PAUSES; then report the call to make
        by hand."""
        for pause in (*PAUSES, None):
            try:
                self.call(what, method, path, body, **options)
                return
            except (WrongAnswerError, requests.RequestException) as error:
                if pause is None:
                    self.report(f"{_reason(error)} This is left to do: {self.last_call}")
                else:
                    time.sleep(pause)

    def delete_new_devices(self) -> None:
        """Delete all devices with the mark, also one whose id was in a lost answer. Others are not deleted, even if a
        wrong answer lists them."""
        found = self.call("What is there to be deleted?", "get", f"/v1/devices?sn={self.mark}", data=list)
        ids = [device["id"] for device in found["data"] if device["hardware"]["sn"] == self.mark]
        self.put_back("Delete the new devices", "delete", "/v1/devices", {"ids": ids}, ids=ids)

    def show(self, text: str) -> None:
        """Print the text to stdout."""
        # If nobody reads stdout (`| head`) or it cannot show a character, the tour goes on, to undo its changes.
        with suppress(BrokenPipeError, UnicodeEncodeError):
            print(text, flush=True)

    def report(self, sentence: str) -> None:
        """Count a difference, and print its sentence to stderr."""
        self.differences += 1
        print(sentence, file=sys.stderr, flush=True)

    def _send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        options: dict[str, Any] = {"json": body, "headers": headers, "timeout": TIMEOUT, "allow_redirects": False}
        return requests.request(method, self._url + path, auth=self._authorize, **options)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:  # by `auth`, because a .netrc would replace a header
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


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
    """Delete those of the two sample devices that exist. undo: gets the calls that put them back, with their groups."""
    there = []
    for id in DELETED:
        path = f"/v1/devices/{id}"
        device = tour.call("Look at a device, to put it back", "get", path, status=(200, 404)).get("data")
        if not device:
            continue
        _expect(f"GET {path}", "the id", (id,), device.pop("id"))
        groups = tour.call("Look at its groups", "get", f"{path}/groups", data=list, next=None)["data"]
        if groups:
            ids = {"ids": [group["id"] for group in groups]}
            undo.callback(tour.put_back, "Put it back into its groups", "post", f"{path}/groups", ids)
        unless: dict[str, Any] = {"headers": {"If-None-Match": "*"}, "status": (201, 412)}
        undo.callback(tour.put_back, f"Put {id} back, unless it exists", "put", path, device, **unless)
        there.append(id)
    what = "Delete devices: the answer names those that existed"
    tour.call(what, "delete", "/v1/devices", {"ids": [*there, "1234567890 "]}, ids=there)
    for id in there:
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


def use_groups(tour: Tour, undo: ExitStack) -> None:
    """Add a group and two devices, and change its devices. undo: gets the calls that delete all three."""
    roof = {"id": tour.mark, "name": f"Roof of {tour.mark}", "description": "What the tour puts on the roof."}
    path = f"/v1/groups/{roof['id']}"
    undo.callback(tour.delete_new_devices)
    undo.callback(tour.put_back, "Delete the group: its devices stay", "delete", "/v1/groups", {"ids": [roof["id"]]})
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


def _expect(call: str, what: str, allowed: tuple[Any, ...], actual: Any) -> None:
    """Raise WrongAnswerError if the actual value is none of those allowed. allowed: values or types."""
    if not any(isinstance(actual, each) if isinstance(each, type) else actual == each for each in allowed):
        words = " or ".join(f"a {each.__name__}" if isinstance(each, type) else repr(each) for each in allowed)
        raise WrongAnswerError(f"{call}: {what} should be {words}, not {actual!r}.")


def _reason(error: BaseException) -> str:
    """The text of the first error in the chain: the texts of requests are not sentences."""
    while error.__context__:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error).rstrip(".")


def _json(answer: requests.Response) -> dict[str, Any]:
    """The JSON object in an answer; an empty one if it has none."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
