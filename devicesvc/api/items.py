"""What the calls on devices and on groups share: lists in pages, and one item under the conditions of the request."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import Response
from werkzeug.routing import BaseConverter

from devicesvc.api.answers import ok, store
from devicesvc.api.conditions import Conditions, etag
from devicesvc.api.paging import MAX_LIMIT, cursor
from devicesvc.dao.base import Window, Writer
from devicesvc.errors import Invalid
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter


class ItemConverter(BaseConverter):
    """An id in a path. `batch` and `import` are none, but paths of their own."""

    regex = "(?!(?:batch|import)$)[^/]+"
    part_isolating = True  # it has no slash: else a slash at the end would not be let go


class Items:
    """The calls on a table of the store.

    item: what is in it; kind: that in words. table: gets it from a store, or from the transaction of an op.
    """

    def __init__(self, item: type[Device | Group], table: Callable[[Any], Writer[Any, Any]]) -> None:
        self._item = item
        self.table = table
        self.kind = item.__name__.lower()

    def find(self, where: DeviceFilter | GroupFilter, window: Window) -> Response:
        """Answer with a page of the items that fit."""
        page = self.table(store()).page(where, replace(window, limit=window.limit or MAX_LIMIT))
        members: dict[str, Any] = {"data": page.items, "next": cursor(page.next, window)}
        if window.count:
            members["total"] = page.total
        return ok(f"{self.kind}s found: {len(page.items)}", **members)

    def create(self, data: Mapping[str, Any]) -> Response:
        """Add an item under a new id."""
        id = store().write(lambda to: self.table(to).create(data)).id
        return ok(f"{self.kind} added", status=201, headers={"Location": self._path(id)}, data=id)

    def update(self, id: str, changes: Mapping[str, Any]) -> Response:
        """Change some fields of an item."""
        return ok(f"{self.kind} changed", data=store().write(lambda to: self.table(to).update(id, changes)))

    def remove(self, ids: list[str]) -> Response:
        """Delete items; unknown ids are no error."""
        removed = store().write(lambda to: self.table(to).remove(ids))
        return ok(f"{self.kind}s deleted: {len(removed)}", ids=removed)

    def get_one(self, id: str) -> Response:
        """Answer with an item, or with 304 where the client has it."""
        item, conditions = self.table(store()).get(id), Conditions()
        conditions.check_match(item)
        if conditions.is_not_modified(item):
            return Response(status=304, headers=_headers(item))
        return ok(f"{self.kind} found", headers=_headers(item), data=item)

    def put_one(self, id: str, data: Mapping[str, Any]) -> Response:
        """Put an item under this id, whether or not there is one."""
        item, conditions = self._item.build({**_without_id(id, data), "id": id}), Conditions()

        def op(to: Any) -> Any:
            conditions.check(self.table(to).find(id))
            return self.table(to).put(item)

        if store().write(op):
            headers = {**_headers(item), "Location": self._path(id)}
            return ok(f"{self.kind} added", status=201, headers=headers, data=item)
        return ok(f"{self.kind} replaced", headers=_headers(item), data=item)

    def patch_one(self, id: str, changes: Mapping[str, Any]) -> Response:
        """Change some fields of an item."""
        changes, conditions = _without_id(id, changes), Conditions()

        def op(to: Any) -> Any:
            conditions.check(self.table(to).get(id))
            return self.table(to).update(id, changes)

        item = store().write(op)
        return ok(f"{self.kind} changed", headers=_headers(item), data=item)

    def remove_one(self, id: str) -> Response:
        """Delete an item that must be there."""
        conditions = Conditions()

        def op(to: Any) -> Any:
            conditions.check(self.table(to).get(id))
            return self.table(to).remove([id])

        return ok(f"{self.kind} deleted", ids=store().write(op))

    def _path(self, id: str) -> str:
        return f"/v1/{self.kind}s/{id}"


def _headers(item: Any) -> dict[str, str]:
    return {"ETag": f'"{etag(item)}"'}


def _without_id(id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an item but its id, which may come along, as it was got. Raises Invalid where it is another."""
    rest = dict(data)
    if rest.pop("id", id) != id:
        raise Invalid({"id": f"must be the id in the path, {id!r}, where it is given"})
    return rest
