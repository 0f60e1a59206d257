"""The service as the documentation of flask-smorest teaches it: schemas, paging, and a dictionary in memory."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api, Blueprint, abort
from flask_smorest.pagination import PaginationParameters
from marshmallow import Schema, fields

Device = dict[str, Any]
DEVICES: dict[str, Device] = {device["id"]: device for device in json.loads(Path(os.environ["DEVICES"]).read_text())}


class HardwareSchema(Schema):
    model = fields.String(required=True)
    sn = fields.String(required=True)


class SoftwareSchema(Schema):
    version = fields.String(required=True)
    last_update = fields.String(required=True)


class NicSchema(Schema):
    type = fields.String(required=True)
    mac = fields.String(required=True)
    ipv4 = fields.String(required=True)


class DeviceSchema(Schema):
    id = fields.String(dump_only=True)
    name = fields.String(required=True)
    type = fields.String(required=True)
    hardware = fields.Nested(HardwareSchema, required=True)
    software = fields.Nested(SoftwareSchema, required=True)
    nic = fields.List(fields.Nested(NicSchema), required=True)
    status = fields.String(required=True)


class DeviceChangeSchema(Schema):
    name = fields.String()
    type = fields.String()
    status = fields.String()


class DeviceQuerySchema(Schema):
    id = fields.String()


blp = Blueprint("devices", __name__, url_prefix="/v1/devices")


@blp.route("")
class Devices(MethodView):
    @blp.arguments(DeviceQuerySchema, location="query")
    @blp.response(200, DeviceSchema(many=True))
    @blp.paginate()
    def get(self, query: dict[str, str], pagination_parameters: PaginationParameters) -> list[Device]:
        """List devices"""
        found = (
            [DEVICES[query["id"]]] if query.get("id") in DEVICES else [] if "id" in query else list(DEVICES.values())
        )
        pagination_parameters.item_count = len(found)
        return found[pagination_parameters.first_item : pagination_parameters.last_item + 1]


@blp.route("/<id>")
class DeviceItem(MethodView):
    @blp.response(200, DeviceSchema)
    def get(self, id: str) -> Device:
        """Get one device"""
        return DEVICES.get(id) or abort(404)

    @blp.arguments(DeviceChangeSchema)
    @blp.response(200, DeviceSchema)
    def patch(self, changes: Device, id: str) -> Device:
        """Change one device"""
        device = DEVICES.get(id) or abort(404)
        device.update(changes)
        return device


@blp.route("/export")
class Export(MethodView):
    def get(self) -> Response:
        """All devices as CSV"""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(
            ["id", "name", "type", "model", "sn", "version", "last_update", "types", "macs", "ipv4s", "status"]
        )
        for device in DEVICES.values():
            nics = [";".join(nic[key] for nic in device["nic"]) for key in ("type", "mac", "ipv4")]
            parts = (*device["hardware"].values(), *device["software"].values(), *nics)
            writer.writerow([device["id"], device["name"], device["type"], *parts, device["status"]])
        return Response(text.getvalue(), mimetype="text/csv")


app = Flask(__name__)
app.config.update(API_TITLE="Devices", API_VERSION="1", OPENAPI_VERSION="3.0.3")
Api(app).register_blueprint(blp)
