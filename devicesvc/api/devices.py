"""/v1/devices: the calls of the lab. /v1/devices/{id}: the calls on one device."""

from operator import attrgetter
from typing import Any

from flask import Response
from flask.views import MethodView

from devicesvc.api import answers, csv_body, examples, history_schemas, queries, schemas
from devicesvc.api.items import Items
from devicesvc.api.smorest import ETAG, LOCATION, Blueprint
from devicesvc.dao.base import PageRequest
from devicesvc.model import Device, DeviceFilter

blp = Blueprint("devices", __name__, url_prefix="/v1/devices", description="Find, add, change and delete devices.")
devices = Items(Device, attrgetter("devices"))


@blp.route("")
class Devices(MethodView):
    @blp.operation("get_devices", 400, 413, 422, sample=examples.FIND)
    @blp.arguments(queries.DeviceListSchema(), location="query", as_kwargs=True)
    @blp.response(200, answers.DevicesAnswerSchema(), description="The devices that fit.", example=examples.FOUND)
    @blp.alt_response(200, **csv_body.DOCUMENTED, description="The devices that fit.")
    def get(self, where: DeviceFilter, page_request: PageRequest, form: str | None) -> Response:
        """Find devices

        Without arguments, all devices fit. A device must fit all arguments that are given; if none fits, the list is
        empty. An answer has at most 1000 devices. The arguments may also be a JSON object in the request body.

        With `format=csv`, or the header `Accept: text/csv`, the answer is a CSV file of all devices that fit, or of the
        first `limit`. `POST /v1/devices/import` takes such a file. With `excel=true` it is a file for Excel.
        """
        if csv_body.is_wanted(form):
            return csv_body.answer(where, page_request, form)
        return devices.find(where, page_request)

    @blp.operation("add_devices", 400, 413, 415, 422)
    @blp.arguments(schemas.NewDeviceSchema(), example=examples.ADD)
    @blp.response(201, answers.NewIdAnswerSchema(), description="The new id.", example=examples.ADDED, headers=LOCATION)
    def post(self, data: dict[str, Any]) -> Response:
        """Add a device

        The service makes the id: ten random digits. If the same body is sent twice, there are two new devices. The
        header Location is the path of the new device.
        """
        return devices.create(data)

    @blp.operation("update_devices", 400, 404, 413, 415, 422)
    @blp.arguments(schemas.DeviceChangeSchema(), example=examples.CHANGE)
    @blp.response(200, answers.DeviceAnswerSchema(), description="The whole device.", example=examples.CHANGED)
    def put(self, changes: dict[str, Any]) -> Response:
        """Change a device

        Only the fields that are given change, also inside `hardware` and `software`. `nic` replaces the whole list.
        """
        return devices.update(changes.pop("id"), changes)

    @blp.operation("patch_devices", 400, 409, 413, 415, 422, sample=examples.FIND_ALL)
    @blp.arguments(schemas.DevicesPatchSchema(), example=examples.PATCH_ALL)
    @blp.arguments(queries.DevicesPatchQuerySchema(), location="querystring", as_kwargs=True)
    @blp.response(200, answers.FoundIdsAnswerSchema(), description="What was changed.", example=examples.PATCHED_ALL)
    def patch(self, changes: dict[str, Any], where: DeviceFilter, dry_run: bool, expect: int | None) -> Response:
        """Change all devices that fit

        The filters in the query are those of `GET /v1/devices`, and at least one must be given. The body is as in
        `PATCH /v1/devices/{id}`. All devices that fit are changed together, at most 10,000, or none. First ask with
        `dry_run=true` how many there are, and then send that number as `expect`: if others fit by then, nothing is
        changed.
        """
        return devices.patch_found(where, changes, dry_run, expect)

    @blp.operation("delete_devices", 400, 413, 422)
    @blp.arguments(queries.DeviceIdsQuerySchema(), location="query", as_kwargs=True)
    @blp.response(200, answers.IdsAnswerSchema(), description="The ids really deleted.", example=examples.DELETED)
    def delete(self, ids: list[str]) -> Response:
        """Delete devices

        Answers with the ids really deleted; an unknown id is not an error. The memberships of the devices are deleted
        too, but no group is. The ids may also be a JSON object in the request body.
        """
        return devices.remove(ids)


@blp.route("/<item:id>", parameters=[schemas.path_id(Device, examples.ID)])
class DeviceItem(MethodView):
    @blp.operation("get_device", 400, 404, 422, conditional=True)
    @blp.rare_arguments(history_schemas.AtSchema())
    @blp.response(
        200, answers.DeviceAnswerSchema(), description="The device.", example=examples.FOUND_ONE, headers=ETAG
    )
    @blp.alt_response(304, description="Not modified: If-None-Match names this version.")
    def get(self, id: str, at: str | None = None) -> Response:
        """Get one device

        The header ETag names this version of the device. Send it in If-Match to change only this version. With
        `at=2026-11-24T20:00:00Z` the answer is the device as it was then, and 404 if there was none.
        """
        return devices.get_one(id, at)

    @blp.operation("put_device", 400, 413, 415, 422, conditional=True)
    @blp.arguments(schemas.DeviceItemSchema(), example=examples.ADD)
    @blp.response(200, answers.DeviceAnswerSchema(), description="Replaced.", example=examples.REPLACED, headers=ETAG)
    @blp.alt_response(201, schema=answers.DeviceAnswerSchema(), description="Added.", example=examples.ADDED_ONE)
    def put(self, data: dict[str, Any], id: str) -> Response:
        """Add or replace a device

        You choose the id. If the same call is sent twice, there is one device: it is safe to try again.
        """
        return devices.put_one(id, data)

    @blp.operation("patch_device", 400, 404, 413, 415, 422, conditional=True)
    @blp.arguments(schemas.DevicePatchSchema(), example=examples.PATCH)
    @blp.response(
        200,
        answers.DeviceAnswerSchema(),
        description="The whole device.",
        example=examples.CHANGED,
        headers=ETAG,
    )
    def patch(self, changes: dict[str, Any], id: str) -> Response:
        """Change one device

        The body is a JSON Merge Patch (RFC 7396): only the fields that are given change. `nic` replaces the whole list.
        No field may be null, because no field of a device can be removed.
        """
        return devices.patch_one(id, changes)

    @blp.operation("delete_device", 404, conditional=True)
    @blp.response(200, answers.IdsAnswerSchema(), description="Deleted.", example=examples.DELETED_ONE)
    def delete(self, id: str) -> Response:
        """Delete one device

        Its memberships are deleted too, but no group is.
        """
        return devices.remove_one(id)
