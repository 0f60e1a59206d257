"""/v1/groups/{id}/devices and /v1/devices/{id}/groups: what device is in what group, from both ends."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from flask import Response
from flask.views import MethodView

from devicesvc.api import examples, schemas
from devicesvc.api.answers import ok, store
from devicesvc.api.devices import devices
from devicesvc.api.groups import groups
from devicesvc.api.items import Items
from devicesvc.api.smorest import Blueprint
from devicesvc.dao.base import Transaction, Window
from devicesvc.errors import Invalid, NotFound
from devicesvc.model import Device, DeviceFilter, Group, GroupFilter, Membership

blp = Blueprint("memberships", __name__, url_prefix="/v1", description="What device is in what group, from both ends.")


class End:
    """Memberships from one end: an owner there, and the members that it has at the other.

    From the groups, a group is the owner and devices are its members; from the devices, the other way about.
    """

    def __init__(self, owners: Items, members: Items) -> None:
        self._owners = owners
        self._members = members
        self._owner_id = f"{owners.kind}_id"
        self._member_id = f"{members.kind}_id"

    def find(self, owner: str, where: Any, window: Window) -> Response:
        """Answer with a page of the members that fit."""
        self._owners.table(store()).get(owner)
        owners = f"{self._owner_id}s"
        return self._members.find(replace(where, **{owners: getattr(where, owners) | {owner}}), window)

    def add(self, owner: str, ids: list[str]) -> Response:
        """Add members; answer with the ids of those that are new."""
        new = store().write(lambda to: to.memberships.add(self._memberships(to, owner, ids)))
        return ok(f"memberships added: {len(new)}", ids=self._ids(new))

    def replace(self, owner: str, ids: list[str]) -> Response:
        """Have these members and no others; answer with the ids of those that have come or gone."""

        def op(to: Transaction) -> tuple[Collection[Membership], Collection[Membership]]:
            after = self._memberships(to, owner, ids)
            before = to.memberships.list(**{self._owner_id: owner})
            gone = to.memberships.remove(dict.fromkeys(before).keys() - after)
            return to.memberships.add(after), gone

        new, gone = store().write(op)
        return ok(f"memberships added: {len(new)}, removed: {len(gone)}", ids=self._ids([*new, *gone]))

    def remove(self, owner: str, ids: list[str]) -> Response:
        """Remove members; answer with the ids of those that were."""
        gone = store().write(lambda to: to.memberships.remove(self._memberships(to, owner, ids)))
        return ok(f"memberships removed: {len(gone)}", ids=self._ids(gone))

    def get_one(self, owner: str, member: str) -> Response:
        """Answer with the member, if it is one."""
        item, membership = self._members.table(store()).get(member), self._membership(store(), owner, member)
        if not store().memberships.has(membership):
            raise self._no_member(owner, member)
        return ok("membership found", data=item)

    def add_one(self, owner: str, member: str) -> Response:
        """Add a member, if it is none yet."""
        new = store().write(lambda to: to.memberships.add([self._membership(to, owner, member)]))
        return ok(f"memberships added: {len(new)}", status=201 if new else 200, ids=self._ids(new))

    def remove_one(self, owner: str, member: str) -> Response:
        """Remove what must be a member."""
        gone = store().write(lambda to: to.memberships.remove([self._membership(to, owner, member)]))
        if not gone:
            raise self._no_member(owner, member)
        return ok("memberships removed: 1", ids=self._ids(gone))

    def _memberships(self, to: Any, owner: str, ids: list[str]) -> list[Membership]:
        """Raises NotFound for the owner, Invalid with the place of each member that is not there."""
        self._owners.table(to).get(owner)
        places = {id: f"ids.{number}" for number, id in reversed(list(enumerate(ids)))}
        rule = f"must be the id of a {self._members.kind}; there is none with the id"
        if missing := self._members.table(to).missing(ids):
            raise Invalid({places[id]: f"{rule} {id!r}" for id in missing})
        return [Membership(**{self._owner_id: owner, self._member_id: id}) for id in ids]

    def _membership(self, to: Any, owner: str, member: str) -> Membership:
        """Raises NotFound where one of the two is not there."""
        ids = {
            self._owner_id: self._owners.table(to).get(owner).id,
            self._member_id: self._members.table(to).get(member).id,
        }
        return Membership(**ids)

    def _ids(self, memberships: Collection[Membership]) -> list[str]:
        return [getattr(each, self._member_id) for each in memberships]

    def _no_member(self, owner: str, member: str) -> NotFound:
        kinds = self._members.kind, self._owners.kind
        return NotFound(f"No membership joins the {kinds[0]} {member!r} and the {kinds[1]} {owner!r}.")


GROUP_ID = schemas.path_id(Group, examples.GROUP["id"])
MEMBER_ID = schemas.path_id(Device, examples.ID, "device_id")
DEVICE_ID = schemas.path_id(Device, examples.ID)
OWNER_ID = schemas.path_id(Group, examples.GROUP["id"], "group_id")

of_group = End(owners=groups, members=devices)
of_device = End(owners=devices, members=groups)


@blp.route("/groups/<id>/devices", parameters=[GROUP_ID])
class GroupDevices(MethodView):
    @blp.operation("get_devices_of_group", 400, 404, 413, 422)
    @blp.arguments(schemas.DeviceQuerySchema(), location="query", as_kwargs=True)
    @blp.response(200, schemas.DevicesAnswerSchema(), description="The devices in it that fit.", example=examples.FOUND)
    def get(self, id: str, where: DeviceFilter, window: Window) -> Response:
        """Find devices in a group

        Takes the same arguments as `GET /v1/devices`.
        """
        return of_group.find(id, where, window)

    @blp.operation("add_devices_to_group", 400, 404, 413, 415, 422)
    @blp.arguments(schemas.DeviceIdsSchema(), example=examples.MEMBER_IDS)
    @blp.response(
        200,
        schemas.IdsAnswerSchema(),
        description="The devices that are new in it.",
        example=examples.joined(*examples.MEMBER_IDS["ids"]),
    )
    def post(self, data: dict[str, list[str]], id: str) -> Response:
        """Add devices to a group

        Answers with the ids of those that were not in it. An unknown device is refused, and then nothing is changed.
        """
        return of_group.add(id, data["ids"])

    @blp.operation("set_devices_of_group", 400, 404, 413, 415, 422)
    @blp.arguments(schemas.DeviceIdsSchema(), example=examples.MEMBER_IDS)
    @blp.response(
        200,
        schemas.IdsAnswerSchema(),
        description="The devices that came or went.",
        example=examples.replaced(*examples.MEMBER_IDS["ids"]),
    )
    def put(self, data: dict[str, list[str]], id: str) -> Response:
        """Set the devices of a group

        These and no others are in it then. Answers with the ids of those that came or went. An unknown device is
        refused, and then nothing is changed.
        """
        return of_group.replace(id, data["ids"])

    @blp.operation("remove_devices_from_group", 400, 404, 413, 422)
    @blp.arguments(schemas.DeviceIdsQuerySchema(), location="query", as_kwargs=True)
    @blp.response(
        200, schemas.IdsAnswerSchema(), description="The devices that were in it.", example=examples.left(*examples.IDS)
    )
    def delete(self, id: str, ids: list[str]) -> Response:
        """Remove devices from a group

        Answers with the ids of those that were in it. An unknown device is refused, and then nothing is changed. The
        ids may also come as a JSON object in the request body.
        """
        return of_group.remove(id, ids)


@blp.route("/groups/<id>/devices/<device_id>", parameters=[GROUP_ID, MEMBER_ID])
class GroupDevice(MethodView):
    @blp.operation("get_device_of_group", 404)
    @blp.response(200, schemas.DeviceAnswerSchema(), description="It is.", example=examples.FOUND_MEMBER)
    def get(self, id: str, device_id: str) -> Response:
        """Is a device in a group"""
        return of_group.get_one(id, device_id)

    @blp.operation("put_device_into_group", 404)
    @blp.response(200, schemas.IdsAnswerSchema(), description="It was in it already.", example=examples.joined())
    @blp.alt_response(
        201, schema=schemas.IdsAnswerSchema(), description="Added.", example=examples.joined(examples.ID, status=201)
    )
    def put(self, id: str, device_id: str) -> Response:
        """Add one device to a group

        Sent twice, the same call changes nothing the second time.
        """
        return of_group.add_one(id, device_id)

    @blp.operation("remove_device_from_group", 404)
    @blp.response(200, schemas.IdsAnswerSchema(), description="Removed.", example=examples.left(examples.ID))
    def delete(self, id: str, device_id: str) -> Response:
        """Remove one device from a group"""
        return of_group.remove_one(id, device_id)


@blp.route("/devices/<id>/groups", parameters=[DEVICE_ID])
class DeviceGroups(MethodView):
    @blp.operation("get_groups_of_device", 400, 404, 413, 422)
    @blp.arguments(schemas.GroupQuerySchema(), location="query", as_kwargs=True)
    @blp.response(200, schemas.GroupsAnswerSchema(), description="Its groups that fit.", example=examples.FOUND_GROUPS)
    def get(self, id: str, where: GroupFilter, window: Window) -> Response:
        """Find the groups that a device is in

        Takes the same arguments as `GET /v1/groups`.
        """
        return of_device.find(id, where, window)

    @blp.operation("add_groups_to_device", 400, 404, 413, 415, 422)
    @blp.arguments(schemas.GroupIdsSchema(), example=examples.OWNER_IDS)
    @blp.response(
        200, schemas.IdsAnswerSchema(), description="The new groups.", example=examples.joined(examples.GROUP["id"])
    )
    def post(self, data: dict[str, list[str]], id: str) -> Response:
        """Add a device to groups

        Answers with the ids of the groups that it was not in. An unknown group is refused, and then nothing is changed.
        """
        return of_device.add(id, data["ids"])

    @blp.operation("set_groups_of_device", 400, 404, 413, 415, 422)
    @blp.arguments(schemas.GroupIdsSchema(), example=examples.OWNER_IDS)
    @blp.response(
        200,
        schemas.IdsAnswerSchema(),
        description="Groups entered or left.",
        example=examples.replaced(examples.GROUP["id"]),
    )
    def put(self, data: dict[str, list[str]], id: str) -> Response:
        """Set the groups of a device

        It is in these and no others then. Answers with the ids of the groups that it entered or left. An unknown group
        is refused, and then nothing is changed.
        """
        return of_device.replace(id, data["ids"])

    @blp.operation("remove_groups_from_device", 400, 404, 413, 422)
    @blp.arguments(schemas.GroupIdsQuerySchema(), location="query", as_kwargs=True)
    @blp.response(
        200,
        schemas.IdsAnswerSchema(),
        description="The groups that it was in.",
        example=examples.left(examples.GROUP["id"]),
    )
    def delete(self, id: str, ids: list[str]) -> Response:
        """Remove a device from groups

        Answers with the ids of the groups that it was in. An unknown group is refused, and then nothing is changed. The
        ids may also come as a JSON object in the request body.
        """
        return of_device.remove(id, ids)


@blp.route("/devices/<id>/groups/<group_id>", parameters=[DEVICE_ID, OWNER_ID])
class DeviceGroup(MethodView):
    @blp.operation("get_group_of_device", 404)
    @blp.response(200, schemas.GroupAnswerSchema(), description="It is.", example=examples.FOUND_OWNER)
    def get(self, id: str, group_id: str) -> Response:
        """Is a device in a group, from its end"""
        return of_device.get_one(id, group_id)

    @blp.operation("put_group_onto_device", 404)
    @blp.response(200, schemas.IdsAnswerSchema(), description="It was in it already.", example=examples.joined())
    @blp.alt_response(
        201,
        schema=schemas.IdsAnswerSchema(),
        description="Added.",
        example=examples.joined(examples.GROUP["id"], status=201),
    )
    def put(self, id: str, group_id: str) -> Response:
        """Add a device to one group

        Sent twice, the same call changes nothing the second time.
        """
        return of_device.add_one(id, group_id)

    @blp.operation("remove_group_from_device", 404)
    @blp.response(200, schemas.IdsAnswerSchema(), description="Removed.", example=examples.left(examples.GROUP["id"]))
    def delete(self, id: str, group_id: str) -> Response:
        """Remove a device from one group"""
        return of_device.remove_one(id, group_id)
