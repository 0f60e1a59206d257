"""/v1/devices: the devices, as the lab calls them."""

from typing import Any

from flask import Response
from flask.views import MethodView

from devicesvc.api import examples, schemas
from devicesvc.api.answers import ok, store
from devicesvc.api.smorest import Blueprint
from devicesvc.model import Device, DeviceFilter

blp = Blueprint("devices", __name__, url_prefix="/v1/devices", description="Find, add, change and delete devices.")


@blp.route("")
class Devices(MethodView):
    @blp.operation("get_devices", 400, 413, 422)
    @blp.arguments(schemas.DeviceQuerySchema(), location="query")
    @blp.response(200, schemas.DevicesAnswerSchema(), description="The devices that fit.", example=examples.FOUND)
    def get(self, query: dict[str, Any]) -> Response:
        """Find devices

        Without arguments: all devices. Each argument narrows the list; where nothing fits it is empty. The arguments
        may also come as a JSON object in the request body.
        """
        found = store().devices.list(DeviceFilter(**query))
        return ok(f"devices found: {len(found)}", data=found)

    @blp.operation("add_devices", 400, 413, 415, 422)
    @blp.arguments(schemas.NewDeviceSchema(), example=examples.ADD)
    @blp.response(201, schemas.NewDeviceAnswerSchema(), description="The new id.", example=examples.ADDED)
    def post(self, data: dict[str, Any]) -> Response:
        """Add a device

        The service makes the id: ten random digits. Sent twice, the same body makes two devices. The header Location
        is the path of the new device.
        """
        device = store().write(lambda to: to.devices.create(data))
        return ok("device added", status=201, location=f"/v1/devices/{device.id}", data=device.id)

    @blp.operation("update_devices", 400, 404, 413, 415, 422)
    @blp.arguments(schemas.DevicePatchSchema(), example=examples.CHANGE)
    @blp.response(200, schemas.DeviceAnswerSchema(), description="The whole device.", example=examples.CHANGED)
    def put(self, changes: dict[str, Any]) -> Response:
        """Change a device

        Only what is given changes: half of `hardware` or `software` leaves the other half alone, `nic` replaces the
        whole list.
        """
        id = changes.pop("id")
        device = store().write(lambda to: to.devices.update(id, changes))
        return ok("device changed", data=device)

    @blp.operation("delete_devices", 400, 413, 422)
    @blp.arguments(schemas.IdsSchema(), location="query")
    @blp.response(200, schemas.IdsAnswerSchema(), description="The ids really deleted.", example=examples.DELETED)
    def delete(self, query: dict[str, list[str]]) -> Response:
        """Delete devices

        Answers with the ids really deleted; an unknown id is no error. The ids may also come as a JSON object in the
        request body.
        """
        ids = store().write(lambda to: to.devices.remove(query["ids"]))
        return ok(f"devices deleted: {len(ids)}", ids=ids)


@blp.route("/<id>", parameters=[examples.DEVICE_ID])
class DeviceItem(MethodView):
    @blp.operation("get_device", 404)
    @blp.response(200, schemas.DeviceAnswerSchema(), description="The device.", example=examples.FOUND_ONE)
    def get(self, id: str) -> Response:
        """Get one device"""
        return ok("device found", data=store().devices.get(id))

    @blp.operation("put_device", 400, 413, 415, 422)
    @blp.arguments(schemas.NewDeviceSchema(), example=examples.ADD)
    @blp.response(200, schemas.DeviceAnswerSchema(), description="Replaced.", example=examples.REPLACED_ONE)
    @blp.alt_response(201, schema=schemas.DeviceAnswerSchema(), description="Added.", example=examples.ADDED_ONE)
    def put(self, data: dict[str, Any], id: str) -> Response:
        """Add or replace a device

        The id is yours to choose. Sent twice, the same call leaves one device: a retry is safe.
        """
        device = Device.build({"id": id, **data})
        if store().write(lambda to: to.devices.put(device)):
            return ok("device added", status=201, location=f"/v1/devices/{id}", data=device)
        return ok("device replaced", data=device)
