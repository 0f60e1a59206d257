"""What the calls on devices and on groups share: lists in pages, and one item with preconditions."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from flask import Response
from werkzeug.routing import BaseConverter

from devicesvc.api import history
from devicesvc.api.paging import MAX_LIMIT, encode_cursor
from devicesvc.api.preconditions import Preconditions, etag
from devicesvc.api.remembered import remember
from devicesvc.api.responses import ok, ok_unless_known, store
from devicesvc.dao.base import PageRequest, Writer, noun
from devicesvc.errors import Conflict, Invalid
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter

MAX_FOUND = 10_000  # items that one change may find and change


class ItemConverter(BaseConverter):
    """An id in a path: any text without a slash, but not `batch` or `import`, which have paths of their own."""

    regex = "(?!(?:batch|import)$)[^/]+"
    part_isolating = True  # the id has no slash; without this, a slash at the end would not be ignored


class Items:
    """The calls on a table of the store.

    item: the class of its items. table: returns the table of a store or of a transaction. noun: what an item is called.
    Each method returns an answer, and raises StoreUnavailable.
    """

    def __init__(self, item: type[Device | Group], table: Callable[[Any], Writer[Any, Any]]) -> None:
        self._item = item
        self.table = table
        self.noun = noun(item)

    def find(self, where: DeviceFilter | GroupFilter, page_request: PageRequest) -> Response:
        """Answer with a page of the items that fit, at most MAX_LIMIT; with 304 if If-None-Match names its version."""
        remember()
        page = self.table(store()).page(where, replace(page_request, limit=page_request.limit or MAX_LIMIT))
        members: dict[str, Any] = {"data": page.items, "next": encode_cursor(page.next, page_request)}
        if page_request.count:
            members["total"] = page.total
        return ok_unless_known(f"{self.noun}s found: {len(page.items)}", **members)

    def create(self, data: Mapping[str, Any]) -> Response:
        """Add an item under a new id, and answer with the id. Raises Invalid, Conflict."""
        id = store().write(lambda tx: self.table(tx).create(data)).id
        return ok(f"{self.noun} added", status=201, headers={"Location": self._path(id)}, data=id)

    def update(self, id: str, changes: Mapping[str, Any]) -> Response:
        """Change some fields of an item, and answer with the whole. Raises NotFound, Invalid, Conflict."""
        return ok(f"{self.noun} changed", data=store().write(lambda tx: self.table(tx).update(id, changes)))

    def patch_found(
        self, where: DeviceFilter | GroupFilter, changes: Mapping[str, Any], dry_run: bool, expect: int | None
    ) -> Response:
        """Change some fields of all items that fit, and answer with the ids of those that then differ. dry_run: change
        nothing. expect: how many must fit. Raises Invalid, Conflict."""

        def change(tx: Any) -> tuple[int, list[str]]:
            found = self.table(tx).page(where, PageRequest(limit=MAX_FOUND, count=True))
            if expect not in (None, found.total):
                raise Conflict(f"{found.total} {self.noun}s fit, and not {expect}: nothing was changed.")
            if found.next:
                words = f"must fit at most {MAX_FOUND} {self.noun}s, not {found.total}"
                raise Invalid({"the query": words})
            return len(found.items), self.table(tx).update_many(found.items, changes)

        found, ids = store().rehearse(change) if dry_run else store().write(change)
        words = f"{self.noun}s {'that would be ' if dry_run else ''}changed: {len(ids)} of {found}"
        return ok(words, data={"found": found, "changed": len(ids), "ids": ids})

    def remove(self, ids: list[str]) -> Response:
        """Delete items, and answer with the ids really deleted. Unknown ids are not an error."""
        removed = store().write(lambda tx: self.table(tx).remove(ids))
        return ok(f"{self.noun}s deleted: {len(removed)}", ids=removed)

    def get_one(self, id: str, at: str | None = None) -> Response:
        """Answer with an item, or with 304 if If-None-Match names its version; or, without a version, as it was at a
        time. Raises NotFound, and 412."""
        if at:
            return history.as_it_was(self.noun, id, self.table(store()).find(id), at)
        remember()
        item, preconditions = self.table(store()).get(id), Preconditions()
        preconditions.check_match(item)
        if preconditions.is_not_modified(item):
            return Response(status=304, headers=_etag(orjson.dumps(item)))
        return _whole(f"{self.noun} found", item)

    def put_one(self, id: str, data: Mapping[str, Any]) -> Response:
        """Add an item under this id (201), or replace the item that has it (200). Raises Invalid, Conflict, and 412."""
        item, preconditions = self._item.build({**_without_id(id, data), "id": id}), Preconditions()

        def change(tx: Any) -> Any:
            preconditions.check(self.table(tx).find(id))
            return self.table(tx).put(item)

        if store().write(change):
            return _whole(f"{self.noun} added", item, status=201, Location=self._path(id))
        return _whole(f"{self.noun} replaced", item)

    def patch_one(self, id: str, changes: Mapping[str, Any]) -> Response:
        """Change some fields of an item, and answer with the whole. Raises NotFound, Invalid, Conflict, and 412."""
        changes, preconditions = _without_id(id, changes), Preconditions()

        def change(tx: Any) -> Any:
            preconditions.check(self.table(tx).get(id))
            return self.table(tx).update(id, changes)

        return _whole(f"{self.noun} changed", store().write(change))

    def remove_one(self, id: str) -> Response:
        """Delete an item. Raises NotFound, and 412."""
        preconditions = Preconditions()

        def change(tx: Any) -> Any:
            preconditions.check(self.table(tx).get(id))
            return self.table(tx).remove([id])

        return ok(f"{self.noun} deleted", ids=store().write(change))

    def _path(self, id: str) -> str:
        return f"/v1/{self.noun}s/{id}"


def _whole(message: str, item: Device | Group, status: int = 200, **headers: str) -> Response:
    """Answer with an item and its ETag."""
    json = orjson.dumps(item)
    return ok(message, status=status, headers={**_etag(json), **headers}, data=orjson.Fragment(json))


def _etag(json: bytes) -> dict[str, str]:
    return {"ETag": f'"{etag(json)}"'}


def _without_id(id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an item without its id. Raises Invalid if they have an id that is not the one in the path."""
    rest = dict(data)
    if rest.pop("id", id) != id:
        raise Invalid({"id": f"must be the id in the path, {id!r}, if it is given"})
    return rest
