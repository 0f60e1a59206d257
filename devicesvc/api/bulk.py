"""/v1/devices/batch and /v1/devices/import: many devices in one change, all or nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import ValidationError

from devicesvc.api import answers, csv_body, examples, queries, schemas
from devicesvc.api.errors import flatten
from devicesvc.api.responses import ok, store
from devicesvc.api.smorest import Blueprint
from devicesvc.dao.base import Reader, Transaction
from devicesvc.errors import Invalid, shown
from devicesvc.model import Device, DeviceFilter

blp = Blueprint("bulk", __name__, url_prefix="/v1/devices", description="Many devices in one change, all or nothing.")


@blp.route("/batch")
class Batch(MethodView):
    @blp.operation("batch_devices", 400, 413, 415, 422)
    @blp.arguments(schemas.BatchSchema(), example=examples.BATCH)
    @blp.arguments(queries.DryRunSchema(), location="querystring", as_kwargs=True)
    @blp.response(200, answers.BatchAnswerSchema(), description="The ids.", example=examples.BATCHED)
    def post(self, batch: dict[str, list[Any]], dry_run: bool) -> Response:
        """Create, update and delete devices

        At most 1000 items together. They are done in this order: `create`, `update`, `delete`. If one item is wrong,
        nothing is done, and `errors` names what is wrong by list and index, at most 100 places. With `dry_run=true`
        nothing is kept, and the answer says what would be done; the ids of new devices would be others.
        """
        done = (store().rehearse if dry_run else store().write)(lambda tx: _run(tx, batch))
        counts = ", ".join(f"{verb}d: {len(ids)}" for verb, ids in done.items())
        return ok(f"devices {'that would be ' if dry_run else ''}{counts}", data=done)


def _run(tx: Transaction, batch: Mapping[str, list[Any]]) -> dict[str, list[str]]:
    if errors := dict(_faults(tx, batch)):
        raise Invalid(errors)
    return {
        "create": [tx.devices.create(data).id for data in batch.get("create", [])],
        "update": [tx.devices.update(each["id"], _changes(each)).id for each in batch.get("update", [])],
        "delete": tx.devices.remove(batch.get("delete", [])),
    }


def _changes(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "id"}


def _faults(tx: Transaction, batch: Mapping[str, list[Any]]) -> Iterator[tuple[str, str]]:
    """Each place in the batch that breaks a rule, and the rule."""
    for name, items in batch.items():
        for number, item in enumerate(items):
            if isinstance(item, ValidationError):
                yield from flatten(item.messages, name, str(number))
            elif name == "update" and not tx.devices.find(item["id"]):
                yield (
                    f"{name}.{number}.id",
                    f"must be the id of a device; there is none with the id {shown(item['id'])}",
                )


@blp.route("/import")
class Import(MethodView):
    @blp.operation("import_devices", 400, 413, 415)
    @blp.takes(**csv_body.DOCUMENTED)
    @blp.arguments(queries.DryRunSchema(), location="querystring", as_kwargs=True)
    @blp.response(
        200, answers.ImportAnswerSchema(), description="The ids, by what was done.", example=examples.IMPORTED
    )
    def post(self, dry_run: bool) -> Response:
        """Add and change devices from a CSV file

        The file has the format of `device.csv`. Each row adds a device, or replaces the device with its id; all other
        devices stay as they are. If one row is wrong, nothing is changed, and `errors` names the wrong cells by line
        and column, at most 100. With `dry_run=true` nothing is changed, and the answer says what would be changed.
        """
        devices = csv_body.read()
        done = _compare(store().devices, devices) if dry_run else store().write(lambda tx: _import(tx, devices))
        counts = ", ".join(f"{verb}: {len(ids)}" for verb, ids in done.items())
        return ok(f"devices {'that would be ' if dry_run else ''}{counts}", data=done)


def _compare(table: Reader[Device, DeviceFilter], devices: list[Device]) -> dict[str, list[str]]:
    """The ids of the devices by what an import does: added, changed, or unchanged."""
    done: dict[str, list[str]] = {"added": [], "changed": [], "unchanged": []}
    old_devices = table.find_many(device.id for device in devices)
    for device in devices:
        old = old_devices.get(device.id)
        done["unchanged" if old == device else "changed" if old else "added"].append(device.id)
    return done


def _import(tx: Transaction, devices: list[Device]) -> dict[str, list[str]]:
    done = _compare(tx.devices, devices)
    tx.devices.put_many(devices)
    return done
