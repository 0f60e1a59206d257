"""What the calls on devices and on groups share: lists in pages, and one item with preconditions."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import Response
from werkzeug.routing import BaseConverter

from devicesvc.api.paging import MAX_LIMIT, encode_cursor
from devicesvc.api.preconditions import Preconditions, etag
from devicesvc.api.remembered import remember
from devicesvc.api.responses import ok, store
from devicesvc.dao.base import PageRequest, Writer, noun
from devicesvc.errors import Invalid
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter


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
        """Answer with a page of the items that fit, at most MAX_LIMIT."""
        remember()
        page = self.table(store()).page(where, replace(page_request, limit=page_request.limit or MAX_LIMIT))
        members: dict[str, Any] = {"data": page.items, "next": encode_cursor(page.next, page_request)}
        if page_request.count:
            members["total"] = page.total
        return ok(f"{self.noun}s found: {len(page.items)}", **members)

    def create(self, data: Mapping[str, Any]) -> Response:
        """Add an item under a new id, and answer with the id. Raises Invalid, Conflict."""
        id = store().write(lambda tx: self.table(tx).create(data)).id
        return ok(f"{self.noun} added", status=201, headers={"Location": self._path(id)}, data=id)

    def update(self, id: str, changes: Mapping[str, Any]) -> Response:
        """Change some fields of an item, and answer with the whole. Raises NotFound, Invalid, Conflict."""
        return ok(f"{self.noun} changed", data=store().write(lambda tx: self.table(tx).update(id, changes)))

    def remove(self, ids: list[str]) -> Response:
        """Delete items, and answer with the ids really deleted. Unknown ids are not an error."""
        removed = store().write(lambda tx: self.table(tx).remove(ids))
        return ok(f"{self.noun}s deleted: {len(removed)}", ids=removed)

    def get_one(self, id: str) -> Response:
        """Answer with an item, or with 304 if If-None-Match names its version. Raises NotFound, and 412."""
        remember()
        item, preconditions = self.table(store()).get(id), Preconditions()
        preconditions.check_match(item)
        if preconditions.is_not_modified(item):
            return Response(status=304, headers=_headers(item))
        return ok(f"{self.noun} found", headers=_headers(item), data=item)

    def put_one(self, id: str, data: Mapping[str, Any]) -> Response:
        """Add an item under this id (201), or replace the item that has it (200). Raises Invalid, Conflict, and 412."""
        item, preconditions = self._item.build({**_without_id(id, data), "id": id}), Preconditions()

        def change(tx: Any) -> Any:
            preconditions.check(self.table(tx).find(id))
            return self.table(tx).put(item)

        if store().write(change):
            headers = {**_headers(item), "Location": self._path(id)}
            return ok(f"{self.noun} added", status=201, headers=headers, data=item)
        return ok(f"{self.noun} replaced", headers=_headers(item), data=item)

    def patch_one(self, id: str, changes: Mapping[str, Any]) -> Response:
        """Change some fields of an item, and answer with the whole. Raises NotFound, Invalid, Conflict, and 412."""
        changes, preconditions = _without_id(id, changes), Preconditions()

        def change(tx: Any) -> Any:
            preconditions.check(self.table(tx).get(id))
            return self.table(tx).update(id, changes)

        item = store().write(change)
        return ok(f"{self.noun} changed", headers=_headers(item), data=item)

    def remove_one(self, id: str) -> Response:
        """Delete an item. Raises NotFound, and 412."""
        preconditions = Preconditions()

        def change(tx: Any) -> Any:
            preconditions.check(self.table(tx).get(id))
            return self.table(tx).remove([id])

        return ok(f"{self.noun} deleted", ids=store().write(change))

    def _path(self, id: str) -> str:
        return f"/v1/{self.noun}s/{id}"


def _headers(item: Any) -> dict[str, str]:
    return {"ETag": f'"{etag(item)}"'}


def _without_id(id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an item without its id. Raises Invalid if they have an id that is not the one in the path."""
    rest = dict(data)
    if rest.pop("id", id) != id:
        raise Invalid({"id": f"must be the id in the path, {id!r}, if it is given"})
    return rest
