"""A client of the API of a running service, for programs of your own and for the command line.

>>> from devicesvc.client import Client
>>> client = Client("localhost:8000")
>>> for device in client.devices.list(status="online", type="gateway"):
...     print(device["id"], device["name"])
5394030919 rooftop-gateway
5661391086 greenhouse-gateway

Items are dictionaries in the JSON form of the API, which <http://localhost:8000/docs> describes. Whatever goes wrong is
an ApiError:

>>> client.devices.get("1234567890")
Traceback (most recent call last):
...
devicesvc.client.ApiError: There is no device with the id '1234567890'.

What was changed can be found, and taken back:

>>> changed = client.devices.set("5661391086", {"status": "offline"})
>>> (last,) = client.changes.list(limit=1)
>>> [(row["id"], row["column"], row["before"], row["after"]) for row in last["rows"]]
[('5661391086', 'status', 'online', 'offline')]
>>> client.changes.undo(last["number"])["count"]
1
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import quote

import requests
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from devicesvc.errors import RegistryError
from devicesvc.handover import STALE

URL = "http://localhost:8000"
CONNECT_TIMEOUT = 5  # seconds
TIMEOUT = 60  # seconds
PAGE = 1000  # items that are fetched together
PIECE = 1 << 16  # bytes of a CSV file that are read together

PAUSE = 1  # seconds until the feed is asked again, if the service could not let it wait
WAIT = 25  # seconds that the feed waits for a change in one call

Item = dict[str, Any]  # a device or a group as JSON
Change = dict[str, Any]  # as JSON
Ids = list[str]


class ApiError(RegistryError):
    """The service refused a call, or did not answer; the text is one sentence.

    status: the status code of the answer, such as 404; None if there was no proper answer. errors: the rule that is
    broken, by the field at fault.

    >>> try:
    ...     client.devices.set("5661391086", {"nic": [{"type": "eth", "mac": "12:34", "ipv4": "10.0.0.1"}]})
    ... except ApiError as error:
    ...     print(error.status, error.errors)
    422 {'nic.0.mac': "must be six pairs of hex digits joined by ':' or '-', not '12:34'"}
    """

    def __init__(self, sentence: str, status: int | None = None, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence, errors)
        self.status = status


class NobodyAnswersError(ApiError):
    """There is no service at the address."""


class Client:
    """Calls one service. It keeps its connection, so each thread needs a client of its own.

    url: http:// may be left out. token: as `devicesvc token create` printed it, if the service needs one. timeout: for
    how many seconds the service may be silent. devices, groups, changes: the calls on each. stale_since: since when the
    service cannot read what is new, as its last answer says; None if it can.

    `with` closes the connection at the end, and need not be used:

    >>> with Client("localhost:8000", timeout=10) as other:
    ...     other.devices.get("5661391086")["name"]
    'greenhouse-gateway'
    """

    def __init__(self, url: str = URL, token: str | None = None, timeout: float = TIMEOUT) -> None:
        if token and not (token.isascii() and token.isprintable()):
            raise ApiError("The token has characters that no token has: give it as devicesvc token create printed it.")
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self.timeout = timeout
        self.devices = Devices(self, "device")
        self.groups = Groups(self, "group")
        self.changes = Changes(self)
        self.stale_since: str | None = None
        self._token = token
        self._session = requests.Session()

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Make any call of the API, and return the JSON of its answer. options: those of requests, such as `json`,
        `params` and `headers`. Raises ApiError.

        >>> client.call("GET", "/v1/devices", params={"status": "offline"})["total"]
        2
        """
        return self.read(self.send(method, path, **options))

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """As `call`, but return the answer of requests, whatever it is. Raises ApiError if there is none."""
        all_options: dict[str, Any] = {
            "auth": self._authorize,
            "timeout": (CONNECT_TIMEOUT, self.timeout),
            "allow_redirects": False,
            **options,
        }
        try:
            answer = self._session.request(method, self.url + path, **all_options)
            self.stale_since = answer.headers.get(STALE)
            return answer
        except (requests.RequestException, ValueError) as error:  # ValueError: of a name that no host can have
            raise self._unanswered(error, changes=method.upper() != "GET") from error

    def read(self, answer: requests.Response) -> dict[str, Any]:
        """The JSON object in an answer. Raises ApiError if it is a refusal, or no answer of this API."""
        try:
            body = answer.json()
        except (requests.RequestException, ValueError):
            body = None
        if not isinstance(body, dict) or body.get("status") != answer.status_code:
            kind = answer.headers.get("Content-Type", "no Content-Type")
            words = f"What answers at {self.url} is not devicesvc: {answer.status_code}, {kind}."
            if location := answer.headers.get("Location"):
                words = f"{self.url} sends its callers to {location}: use that address."
            raise ApiError(words)
        if not answer.ok:
            raise ApiError(str(body.get("message")), answer.status_code, body.get("errors"))
        return body

    def pieces(self, answer: requests.Response) -> Iterator[bytes]:
        """The body of an answer that was asked for with stream=True. Raises ApiError if it breaks off."""
        try:
            with answer:
                yield from answer.iter_content(PIECE)
        except requests.RequestException as error:
            raise self._unanswered(error, changes=False) from error

    def close(self) -> None:
        """Close the connection. The next call opens another."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:  # by `auth`, because a .netrc would replace a header
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _unanswered(self, error: BaseException, changes: bool) -> ApiError:
        """The error for a request without an answer. changes: whether it may have changed something."""
        causes = [error]
        while cause := causes[-1].__context__:
            causes.append(cause)
        # The texts of requests are not sentences: the first error in the chain says more.
        reason = getattr(causes[-1], "strerror", None) or str(causes[-1]).rstrip(".")
        if isinstance(error, ValueError):
            return ApiError(f"{self.url} is not the address of a service: give one such as {URL}.")
        if any(isinstance(each, ReadTimeoutError) for each in causes):
            words = f"{self.url} has been silent for {self.timeout:g} s."
        elif any(isinstance(each, ProtocolError) for each in causes):
            words = f"The connection to {self.url} broke off: {reason}."
        else:
            return NobodyAnswersError(f"Nobody answers at {self.url}: {reason}.")
        return ApiError(words + (" Look whether the change was made before you send it again." if changes else ""))


class Items:
    """The calls that are the same on devices and on groups. Each raises ApiError."""

    def __init__(self, client: Client, noun: str) -> None:
        self._client = client
        self._noun = noun
        self._all = f"/v1/{noun}s"

    def list(
        self, *, sort: str | None = None, limit: int | None = None, **where: str | Sequence[str]
    ) -> Iterator[Item]:
        """The items that fit all of `where`, by id. They are fetched page by page while you go through them, so there
        may be any number. sort: a field, with - before it for descending order. limit: at most so many. where: the
        arguments of the API; some take several values, as group_id does.

        >>> [device["name"] for device in client.devices.list(model="raspberry", sort="-name", limit=2)]
        ['workshop-controller', 'greenhouse-gateway']
        >>> list(client.groups.list(name="Nobody has this name"))
        []
        """
        query = {**where, "sort": sort, "total": "false", "limit": PAGE if limit is None else max(1, min(limit, PAGE))}
        return islice(self._pages(query), limit)

    def get(self, id: str, *, at: str | None = None) -> Item:
        """The item with this id. at: as it was at this time, such as 2026-11-24T20:00:00Z.

        >>> client.devices.get("5661391086")["hardware"]
        {'model': 'Raspberry Pi 4', 'sn': 'itOYJ'}
        >>> before = client.changes.last()["time"]
        >>> client.devices.set("5661391086", {"type": "sensor"})["type"]
        'sensor'
        >>> client.devices.get("5661391086", at=before)["type"]
        'gateway'
        """
        return self._item("GET", id, params={"at": at})

    def history(self, id: str, *, limit: int | None = None, **where: str) -> Iterator[Change]:
        """The changes of the item and of its memberships, the newest first, also if it is deleted. They are fetched as
        `list` does it. limit: at most so many. where: the arguments of the API, such as `since` and `who`.

        >>> [(change["who"], change["rows"][0]["after"]) for change in client.devices.history("5661391086", limit=1)]
        [('-', 'sensor')]
        """
        return self._client.changes.pages(f"{self._path(id)}/history", limit, where)

    def add(self, item: Mapping[str, Any]) -> str:
        """Add an item, and return its id. If it has no id, the service makes one; if its id is taken, nothing is
        changed and the error has the status 409.

        >>> client.groups.add({"id": "classroom", "name": "Classroom 101"})
        'classroom'
        >>> client.groups.add({"id": "classroom", "name": "Another one"})
        Traceback (most recent call last):
        ...
        devicesvc.client.ApiError: There is a group with the id 'classroom' already.
        """
        if "id" not in item:
            return str(self._client.call("POST", self._all, json=item)["data"])
        try:
            return str(self._item("PUT", str(item["id"]), json=item, headers={"If-None-Match": "*"})["id"])
        except ApiError as error:
            if error.status == 412:
                raise ApiError(f"There is a {self._noun} with the id {item['id']!r} already.", 409) from error
            raise

    def set(self, id: str, changes: Mapping[str, Any]) -> Item:
        """Change only the fields that are given (JSON Merge Patch, RFC 7396), and return the whole item.

        >>> client.devices.set("5661391086", {"software": {"version": "0.5"}})["software"]
        {'version': '0.5', 'last_update': '2023-05-12 09:45:00'}
        """
        return self._item("PATCH", id, json=changes)

    def put(self, id: str, item: Mapping[str, Any]) -> Item:
        """Add the item under this id, or put it in the place of the one that has the id. To call it twice is safe.

        >>> client.groups.put("classroom", {"name": "Classroom 102"})
        {'id': 'classroom', 'name': 'Classroom 102', 'description': ''}
        """
        return self._item("PUT", id, json=item)

    def remove(self, *ids: str) -> Ids:
        """Remove the items with these ids, and return the ids really removed: an unknown one is no error.

        >>> client.devices.remove("4322159209", "1234567890")
        ['4322159209']
        """
        return Ids(self._client.call("DELETE", self._all, json={"ids": ids})["ids"])

    def _pages(self, query: Mapping[str, Any]) -> Iterator[Item]:
        cursor = None
        while True:
            page = self._client.call("GET", self._all, params={**query, "cursor": cursor})
            yield from page["data"]
            if not (cursor := page["next"]):
                return

    def _item(self, method: str, id: str, **options: Any) -> Item:
        return Item(self._client.call(method, self._path(id), **options)["data"])

    def _path(self, id: str) -> str:
        if id in ("", ".", ".."):  # in a path they would name something else
            raise ApiError(f"There is no {self._noun} with the id {id!r}.", 404)
        return f"{self._all}/{quote(id, safe='')}"


class Devices(Items):
    """The calls on devices. Those of a group: `list(group_id="classroom")`."""

    def export_csv(
        self, *, sort: str | None = None, limit: int | None = None, **where: str | Sequence[str]
    ) -> Iterator[bytes]:
        """The devices that fit, as a CSV file in pieces. The arguments are those of `list`.

        >>> with open("offline.csv", "wb") as file:
        ...     file.writelines(client.devices.export_csv(status="offline"))
        """
        query = {**where, "sort": sort, "limit": limit}
        answer = self._client.send("GET", self._all, params=query, headers={"Accept": "text/csv"}, stream=True)
        if not answer.headers.get("Content-Type", "").startswith("text/csv"):
            self._client.read(answer)  # it says what is wrong
        yield from self._client.pieces(answer)

    def import_csv(self, file: IO[Any] | bytes, *, dry_run: bool = False) -> dict[str, Ids]:
        """Add and change devices from a CSV file: all rows, or none if one is wrong. Return the ids that were `added`,
        `changed` and `unchanged`. dry_run: only say what would be done.

        >>> with open("offline.csv", "rb") as file:
        ...     client.devices.import_csv(file, dry_run=True)
        {'added': [], 'changed': [], 'unchanged': ['3635138853', '8170245536']}
        """
        raw = getattr(file, "buffer", file)  # of a file that was opened as text
        options: dict[str, Any] = {"params": {"dry_run": "true"} if dry_run else {}, "data": raw}
        answer = self._client.call("POST", f"{self._all}/import", headers={"Content-Type": "text/csv"}, **options)
        return {str(done): Ids(ids) for done, ids in answer["data"].items()}


class Groups(Items):
    """The calls on groups. Those that a device is in: `list(device_id="5661391086")`."""

    def add_devices(self, id: str, *device_ids: str) -> Ids:
        """Add devices to a group, and return the ids of those that were not in it.

        >>> client.groups.add_devices("classroom", "5661391086", "8170245536")
        ['5661391086', '8170245536']
        >>> [device["name"] for device in client.devices.list(group_id="classroom")]
        ['greenhouse-gateway', 'workshop-controller']
        """
        return self._members("POST", id, device_ids)

    def remove_devices(self, id: str, *device_ids: str) -> Ids:
        """Remove devices from a group, and return the ids of those that were in it. The devices stay in the registry.

        >>> client.groups.remove_devices("classroom", "8170245536")
        ['8170245536']
        """
        return self._members("DELETE", id, device_ids)

    def set_devices(self, id: str, *device_ids: str) -> Ids:
        """Make these the devices of a group, and no others. Return the ids of those that were added or removed.

        >>> client.groups.set_devices("classroom", "8170245536")
        ['8170245536', '5661391086']
        """
        return self._members("PUT", id, device_ids)

    def _members(self, method: str, id: str, device_ids: tuple[str, ...]) -> Ids:
        return Ids(self._client.call(method, f"{self._path(id)}/devices", json={"ids": device_ids})["ids"])


class Changes:
    """The calls on the history. Each raises ApiError. A change is a dictionary: `number`, `time`, `who`, `request_id`,
    `address`, `count`, and of its `rows` the first hundred."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, *, limit: int | None = None, **where: str) -> Iterator[Change]:
        """The changes that fit all of `where`, the newest first. They are fetched page by page while you go through
        them. limit: at most so many. where: the arguments of the API.

        >>> client.devices.set("5661391086", {"status": "offline"})["status"]
        'offline'
        >>> [change["count"] for change in client.changes.list(device_id="5661391086", limit=1)]
        [1]
        """
        return self.pages("/v1/changes", limit, where)

    def last(self) -> Change:
        """The newest change. Raises ApiError if there is none.

        >>> client.changes.last()["rows"][0]["column"]
        'status'
        """
        for change in self.list(limit=1):
            return change
        raise ApiError("The history has no change.", 404)

    def get(self, number: int) -> Change:
        """The change with this number, with all its rows.

        >>> client.changes.get(client.changes.last()["number"])["count"]
        1
        """
        path, rows, cursor = f"/v1/changes/{number}", [], None
        while True:
            page = self._client.call("GET", path, params={"cursor": cursor})
            rows += page["data"]["rows"]
            if not (cursor := page["next"]):
                return {**page["data"], "rows": rows}

    def follow(self, after: int, *, wait: int = WAIT) -> Iterator[Change]:
        """All changes after the one with this number, the oldest first, as they come, without end. wait: for at most so
        many seconds in each call; with 0, end when there are no more now. Keep the number of the last change that you
        have dealt with, and begin with it again.

        >>> for change in client.changes.follow(client.changes.last()["number"] - 1, wait=0):
        ...     print(change["rows"][0]["after"])
        offline
        """
        query: dict[str, Any] = {"after": after, "limit": PAGE, **({"wait": wait} if wait else {})}
        while True:
            answer = self._client.send("GET", "/v1/changes", params=query)
            page = self._client.read(answer)
            yield from page["data"]
            query["after"] = page["next"]
            if not page["data"] and not wait:
                return
            if "Retry-After" in answer.headers:
                time.sleep(PAUSE)

    def undo(self, number: int, *, dry_run: bool = False) -> dict[str, Any]:
        """Put all that a change did back as it was before, or nothing, if something differs now. Return the `rows` of
        that, at most a thousand, and their `count`. dry_run: only say what would be done.

        >>> client.changes.undo(client.changes.last()["number"], dry_run=True)["rows"][0]["after"]
        'online'
        """
        options: dict[str, Any] = {"params": {"dry_run": "true"}} if dry_run else {}
        return dict(self._client.call("POST", f"/v1/changes/{number}/undo", **options)["data"])

    def pages(self, path: str, limit: int | None, where: Mapping[str, str]) -> Iterator[Change]:
        """The changes at a path, fetched page by page, at most `limit`."""
        query = {**where, "limit": PAGE if limit is None else max(1, min(limit, PAGE))}
        return islice(self._pages(path, query), limit)

    def _pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Change]:
        cursor = None
        while True:
            page = self._client.call("GET", path, params={**query, "cursor": cursor})
            yield from page["data"]
            if not (cursor := page["next"]):
                return
