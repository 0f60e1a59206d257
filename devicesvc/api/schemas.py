"""The shapes of the JSON in requests and answers. Their fields are in fields.py, the rules of these in model.py."""

from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Any, cast

import marshmallow as ma
from flask import g
from marshmallow import fields

from devicesvc.api.errors import LongRule
from devicesvc.api.fields import (
    MESSAGES,
    CollectErrorsNested,
    CollectErrorsText,
    RuleField,
    limits,
    list_of,
    nested,
    text,
)
from devicesvc.errors import MAX_FAULTS
from devicesvc.model import MAX_NICS, Device, Group, Hardware, Nic, Software

MAX_BATCH = 1000  # items
MAX_SUGGESTIONS = 100  # unknown fields of one request that are compared with the known ones: comparing takes time
MAX_COMPARED_NAME = 64  # characters; a longer name is not compared


def path_id(of: type[Device | Group], example: str, name: str = "id") -> dict[str, Any]:
    """An id in a path, as a parameter of OpenAPI. of: the class of the item. name: the name of the parameter."""
    rule = of.RULES["id"]
    schema = {"type": "string", **limits(rule)}
    description = f"The id of the {of.__name__.lower()}: {rule.says}."
    return {"in": "path", "name": name, "description": description, "schema": schema, "example": example}


class Schema(ma.Schema):
    """An object that has no other fields than these. The error for an unknown field names the known ones, and suggests
    the one whose name is close to it.

    advice: what to say instead of an unknown field that people expect here, by its name.
    """

    error_messages = {"type": "must be a JSON object", "unknown": "is not a field of this object"}
    advice: Mapping[str, str] = {}

    def load(self, data: Any, **options: Any) -> Any:
        """As marshmallow's: but fields that are not given, and need not be, cost no time; nor do those that are unknown
        and that no answer names."""
        known = self.load_fields.keys()
        if not isinstance(data, Mapping):
            return super().load(data, **options)
        if data.keys() <= known:
            schema = _narrowed(self, frozenset(data)) if len(data) < len(known) else self
            return super(Schema, schema).load(data, **options)
        unnamed = islice((name for name in data if name not in known), MAX_FAULTS, None)
        errors = dict.fromkeys(unnamed, self.error_messages["unknown"])
        try:
            return super().load({name: value for name, value in data.items() if name not in errors}, **options)
        except ma.ValidationError as error:
            cast(dict[str, Any], error.messages).update(errors)
            raise

    def handle_error(self, error: ma.ValidationError, data: Any, **kwargs: Any) -> None:
        """Say more of each unknown field, in the order in which they came. marshmallow calls this before it raises the
        error. The known fields are named once, in `errors`, with the first of the unknown ones."""
        unknown = self.error_messages["unknown"]
        if not (isinstance(error.messages, dict) and isinstance(data, Mapping)):
            return
        messages = error.messages
        known = f" (known: {', '.join(self.load_fields)})"
        for name in [name for name in data if messages.get(name) == [unknown] and name not in self.fields]:
            del messages[name]  # it is added again, after those before it in the data
            if name in self.advice:
                messages[name] = [self.advice[name]]
                continue
            field = self._closest_field(name, data)
            rule = f"{unknown}; did you mean `{field}`?" if field else unknown
            messages[name] = [LongRule(rule, known) if known else rule]
            known = ""

    def _closest_field(self, name: str, data: Mapping[str, Any]) -> str | None:
        """The field with the name that is closest to this one, in upper or lower case, and that `data` does not have
        yet. None if there is none, or a limit is reached."""
        compared = g.get("compared_names", 0)  # counted for the whole request, because a batch has many objects
        if len(name) > MAX_COMPARED_NAME or compared >= MAX_SUGGESTIONS:
            return None
        g.compared_names = compared + 1
        known = {field.casefold(): field for field in self.fields if field not in data}
        closest = get_close_matches(name.casefold(), known, n=1)
        return known[closest[0]] if closest else None


@lru_cache(maxsize=1024)
def _narrowed(schema: Schema, names: frozenset[str]) -> Schema:
    """The schema with only the fields of these names, those that are required, and those that have a default."""
    narrow = copy(schema)
    narrow.load_fields = {
        name: field
        for name, field in schema.load_fields.items()
        if name in names or field.required or field.load_default is not ma.missing
    }
    return narrow


class AllRequired:
    """An object that must have every field, except those in OPTIONAL."""

    OPTIONAL: frozenset[str] = frozenset()

    def on_bind_field(self, field_name: str, field: Any) -> None:
        """Set whether a new field of the schema is required; marshmallow calls this."""
        field.required = field_name not in self.OPTIONAL


class AllRules(AllRequired):
    """An object that must have every field, and each field has a rule."""

    fields: dict[str, Any]

    def load(self, data: Any, **options: Any) -> Any:
        """As marshmallow's; but a right object takes a tenth of the time, and a device may have 18 of them."""
        if isinstance(data, dict) and data.keys() == self.fields.keys():
            with suppress(ValueError):  # marshmallow names all rules that are broken
                return {name: self.fields[name].rule(value) for name, value in data.items()}
        return super().load(data, **options)  # type: ignore[misc]


class NewItem(AllRequired):
    """An object that makes an item. A field that has a default in model.py may be left out too."""

    def on_bind_field(self, field_name: str, field: Any) -> None:
        """As in AllRequired, but a field with a default is not required."""
        super().on_bind_field(field_name, field)
        field.required = field.required and not getattr(field, "has_default", False)


_ID_ADVICE = "is made by the service here; to choose it yourself, call PUT /v1/{0}s/{{id}}"


class PathId(Schema):
    """An item that may repeat the id in the path."""

    id = text("The id in the path; it may be left out.")


# Devices


class HardwarePatchSchema(Schema):
    """The changes of a device's hardware."""

    model = RuleField(Hardware, "model")
    sn = RuleField(Hardware, "sn")


class HardwareSchema(AllRules, HardwarePatchSchema):
    """The hardware of a device."""


class SoftwarePatchSchema(Schema):
    """The changes of a device's software."""

    version = RuleField(Software, "version")
    last_update = RuleField(Software, "last_update")

    @ma.pre_load
    def _accept_alias(self, data: Any, **kwargs: Any) -> Any:
        """Accept the name "last update" for last_update, because a table of the lab prints it so."""
        if isinstance(data, dict) and "last update" in data and "last_update" not in data:
            return {"last_update" if name == "last update" else name: value for name, value in data.items()}
        return data


class SoftwareSchema(AllRules, SoftwarePatchSchema):
    """The software of a device."""


class NicSchema(AllRules, Schema):
    """A network interface of a device."""

    type = RuleField(Nic, "type")
    mac = RuleField(Nic, "mac")
    ipv4 = RuleField(Nic, "ipv4")


class DeviceFields(Schema):
    """The fields of a device without the id; each may be left out."""

    name = RuleField(Device, "name")
    type = RuleField(Device, "type")
    hardware = nested(HardwarePatchSchema(), "The hardware; fields that are not given keep their values.")
    software = nested(SoftwarePatchSchema(), "The software; fields that are not given keep their values.")
    nic = list_of(
        fields.Nested(NicSchema(), error_messages=MESSAGES),
        f"The network interfaces, at most {MAX_NICS}, in the order to keep.",
        MAX_NICS,
        "network interfaces",
        maxItems=MAX_NICS,
    )
    status = RuleField(Device, "status")


class DevicesPatchSchema(DeviceFields):
    """The changes of all devices that fit a filter."""


class DevicePatchSchema(DeviceFields, PathId):
    """The changes of the device in the path."""


class DeviceChangeSchema(DevicePatchSchema):
    """The id of a device, and its changes."""

    id = text("The id of the device to change.", required=True)


class WholeDeviceFields(DeviceFields):
    """The fields of a device, with all fields of its hardware and software."""

    hardware = nested(HardwareSchema(), "The hardware.")
    software = nested(SoftwareSchema(), "The software.")


class NewDeviceSchema(NewItem, WholeDeviceFields):
    """A device without id: the service makes the id."""

    advice = {"id": _ID_ADVICE.format("device")}


class DeviceItemSchema(NewDeviceSchema, PathId):
    """A device under the id in the path."""

    OPTIONAL = frozenset({"id"})


class DeviceSchema(AllRequired, WholeDeviceFields, PathId):
    """A device."""

    id = RuleField(Device, "id")


# Groups


class GroupFields(Schema):
    """The fields of a group without the id; each may be left out."""

    name = RuleField(Group, "name")
    description = RuleField(Group, "description")


class NewGroupSchema(NewItem, GroupFields):
    """A group without id: the service makes the id."""

    advice = {"id": _ID_ADVICE.format("group")}


class GroupItemSchema(NewGroupSchema, PathId):
    """A group under the id in the path."""

    OPTIONAL = frozenset({"id"})


class GroupSchema(AllRequired, GroupFields, PathId):
    """A group of devices."""

    id = RuleField(Group, "id")


class GroupPatchSchema(GroupFields, PathId):
    """The changes of the group in the path."""

    description = RuleField(Group, "description", allow_none=True)

    @ma.post_load
    def _remove(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Replace null by the empty text: so a description is removed."""
        return {name: "" if value is None else value for name, value in data.items()}


class GroupChangeSchema(GroupPatchSchema):
    """The id of a group, and its changes."""

    id = text("The id of the group to change.", required=True)


# The batch and the import


def _of_batch(of: Any, description: str) -> fields.List[Any]:
    return list_of(of, description, MAX_BATCH, "items", maxItems=MAX_BATCH)


class BatchSchema(Schema):
    """Devices to create, to update and to delete, in this order: at most 1000 together, and all or none."""

    create = _of_batch(
        CollectErrorsNested(NewDeviceSchema(), error_messages=MESSAGES),
        "Devices without id.",
    )
    update = _of_batch(
        CollectErrorsNested(DeviceChangeSchema(), error_messages=MESSAGES),
        "Ids of devices, with their changes.",
    )
    delete = _of_batch(
        CollectErrorsText(error_messages=MESSAGES | {"invalid": "must be text"}),
        "Ids of devices; an unknown id is not an error.",
    )

    @ma.pre_load
    def _limit(self, data: Any, **kwargs: Any) -> Any:
        """Refuse too many items before one of them is looked at."""
        lists = [each for each in data.values() if isinstance(each, list)] if isinstance(data, dict) else []
        if (count := sum(map(len, lists))) > MAX_BATCH:
            raise ma.ValidationError(f"must have at most {MAX_BATCH} items, not {count}")
        return data
