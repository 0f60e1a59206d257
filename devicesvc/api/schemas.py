"""What comes in and what goes out, as JSON: the shapes are here, the rules of each field in model.py."""

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields

from devicesvc.api import examples, paging
from devicesvc.errors import Invalid
from devicesvc.model import MAX_NICS, Device, DeviceFilter, Group, GroupFilter, Hardware, Nic, Rule, Software

MAX_BATCH = 1000  # items

_MESSAGES: dict[str, Any] = {"required": "is required", "null": "may not be null"}


def _limits(rule: Rule) -> dict[str, Any]:
    """A rule in the words of JSON Schema."""
    return {"minLength": rule.min_length, "maxLength": rule.max_length, "pattern": f"^{rule.pattern}$"}


def path_id(of: type[Device | Group], example: str, name: str = "id") -> dict[str, Any]:
    """The documentation of an id in a path. name: that of the parameter."""
    rule = of.RULES["id"]
    schema = {"type": "string", **_limits(rule)}
    description = f"The id of the {of.__name__.lower()}: {rule.says}."
    return {"in": "path", "name": name, "description": description, "schema": schema, "example": example}


class Ruled(fields.String):
    """Text that obeys the rule of a field of model.py, which also documents it."""

    def __init__(self, of: type[Hardware | Software | Nic | Device | Group], name: str, **kwargs: Any) -> None:
        self.rule = of.RULES[name]
        documentation = {
            "description": f"{self.rule.meaning} It must be {self.rule.says}.",
            "example": self.rule.example,
            **_limits(self.rule),
        }
        super().__init__(metadata=documentation, error_messages=_MESSAGES, **kwargs)

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return self.rule(value)
        except ValueError as error:
            raise ma.ValidationError(str(error)) from error


class Schema(ma.Schema):
    """An object whose every name is known."""

    error_messages = {"type": "must be a JSON object", "unknown": "is no field of this object"}


class _Whole:
    """An object with every field given, but those in OPTIONAL."""

    OPTIONAL: frozenset[str] = frozenset()

    def on_bind_field(self, field_name: str, field: Any) -> None:
        field.required = field_name not in self.OPTIONAL


def _text(description: str, *, required: bool = False, **metadata: Any) -> fields.String:
    """Text without a rule, to be compared with what is stored."""
    messages = {**_MESSAGES, "invalid": "must be text"}
    return fields.String(required=required, metadata={"description": description, **metadata}, error_messages=messages)


def _nested(schema: ma.Schema, description: str) -> fields.Nested:
    return fields.Nested(schema, metadata={"description": description}, error_messages=_MESSAGES)


def _list(
    of: Any, description: str, *, required: bool = False, validate: Any = None, **metadata: Any
) -> fields.List[Any]:
    return fields.List(
        of,
        required=required,
        validate=validate,
        metadata={"description": description, **metadata},
        error_messages={**_MESSAGES, "invalid": "must be a list"},
    )


def _boolean(description: str, *, load_default: bool) -> fields.Boolean:
    return fields.Boolean(
        load_default=load_default,
        truthy={"true", True},
        falsy={"false", False},
        metadata={"description": description},
        error_messages={**_MESSAGES, "invalid": "must be true or false"},
    )


class _Tried(fields.Field[Any]):
    """A value that breaks rules is kept, as the error that tells of them: the view names all faults of all items."""

    def deserialize(self, *arguments: Any, **kwargs: Any) -> Any:
        try:
            return super().deserialize(*arguments, **kwargs)
        except ma.ValidationError as error:
            return error


class TriedNested(_Tried, fields.Nested):
    pass


class TriedText(_Tried, fields.String):
    pass


# Devices


class HardwarePatchSchema(Schema):
    model = Ruled(Hardware, "model")
    sn = Ruled(Hardware, "sn")


class HardwareSchema(_Whole, HardwarePatchSchema):
    pass


class SoftwarePatchSchema(Schema):
    version = Ruled(Software, "version")
    last_update = Ruled(Software, "last_update")

    @ma.pre_load
    def _accept_alias(self, data: Any, **kwargs: Any) -> Any:
        """Take "last update", as a table of the lab prints it, for last_update."""
        if isinstance(data, dict) and "last update" in data and "last_update" not in data:
            return {"last_update" if name == "last update" else name: value for name, value in data.items()}
        return data


class SoftwareSchema(_Whole, SoftwarePatchSchema):
    pass


class NicSchema(_Whole, Schema):
    type = Ruled(Nic, "type")
    mac = Ruled(Nic, "mac")
    ipv4 = Ruled(Nic, "ipv4")


def _nics() -> fields.List[Any]:
    return _list(
        fields.Nested(NicSchema(), error_messages=_MESSAGES),
        f"The network interfaces, at most {MAX_NICS}, in an order that is kept.",
        validate=ma.validate.Length(max=MAX_NICS, error=f"must be at most {MAX_NICS} network interfaces"),
    )


class NewDeviceSchema(_Whole, Schema):
    """A device without id: the service makes the id."""

    name = Ruled(Device, "name")
    type = Ruled(Device, "type")
    hardware = _nested(HardwareSchema(), "The hardware.")
    software = _nested(SoftwareSchema(), "The software.")
    nic = _nics()
    status = Ruled(Device, "status")


class DeviceItemSchema(NewDeviceSchema):
    """A device under the id in the path."""

    OPTIONAL = frozenset({"id"})
    id = _text("The id in the path; it may be left out.")


class DeviceSchema(_Whole, Schema):
    """A device."""

    id = Ruled(Device, "id")
    name = Ruled(Device, "name")
    type = Ruled(Device, "type")
    hardware = _nested(HardwareSchema(), "The hardware.")
    software = _nested(SoftwareSchema(), "The software.")
    nic = _nics()
    status = Ruled(Device, "status")


class DevicePatchSchema(Schema):
    """What changes in the device that the path names."""

    id = _text("The id in the path; it may be left out.")
    name = Ruled(Device, "name")
    type = Ruled(Device, "type")
    hardware = _nested(HardwarePatchSchema(), "The hardware; what is not given stays.")
    software = _nested(SoftwarePatchSchema(), "The software; what is not given stays.")
    nic = _nics()
    status = Ruled(Device, "status")


class DeviceChangeSchema(DevicePatchSchema):
    """The id of a device and what changes in it."""

    id = _text("The id of the device to change.", required=True)


# Groups


class NewGroupSchema(Schema):
    """A group without id: the service makes the id."""

    name = Ruled(Group, "name", required=True)
    description = Ruled(Group, "description")


class GroupItemSchema(NewGroupSchema):
    """A group under the id in the path."""

    id = _text("The id in the path; it may be left out.")


class GroupSchema(_Whole, Schema):
    """A group of devices."""

    id = Ruled(Group, "id")
    name = Ruled(Group, "name")
    description = Ruled(Group, "description")


class GroupPatchSchema(Schema):
    """What changes in the group that the path names."""

    id = _text("The id in the path; it may be left out.")
    name = Ruled(Group, "name")
    description = Ruled(Group, "description", allow_none=True)

    @ma.post_load
    def _remove(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """A description that is removed (null) is the empty one."""
        return {name: "" if value is None else value for name, value in data.items()}


class GroupChangeSchema(GroupPatchSchema):
    """The id of a group and what changes in it."""

    id = _text("The id of the group to change.", required=True)


# Queries


def _ids(of: str, example: list[str], **metadata: Any) -> fields.List[Any]:
    return _list(_text("An id."), f"The ids of {of}.", required=True, example=example, **metadata)


class DeviceIdsSchema(Schema):
    """Devices, by their ids."""

    ids = _ids("devices", examples.IDS)


class DeviceIdsQuerySchema(Schema):
    ids = _ids("devices", examples.IDS, minItems=1)  # a query has no way to say: none


class GroupIdsSchema(Schema):
    """Groups, by their ids."""

    ids = _ids("groups", examples.GROUP_IDS)


class GroupIdsQuerySchema(Schema):
    ids = _ids("groups", examples.GROUP_IDS, minItems=1)


class _Limit(fields.Integer):
    """A whole number: in ASCII digits, as the query has it, or in a JSON body."""

    def _validated(self, value: Any) -> int:
        in_digits = isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value)
        return super()._validated(int(value) if in_digits else value)


def _limit() -> _Limit:
    return _Limit(
        strict=True,
        validate=ma.validate.Range(1, paging.MAX_LIMIT, error=f"must be from 1 to {paging.MAX_LIMIT}"),
        metadata={"description": f"At most so many; {paging.MAX_LIMIT} where it is not given."},
        error_messages={**_MESSAGES, "invalid": f"must be a whole number from 1 to {paging.MAX_LIMIT}"},
    )


def _cursor() -> fields.String:
    return _text("Go on after an earlier answer: its `next`.", format="cursor")


def _total() -> fields.Boolean:
    return _boolean("Whether to count all that fit; `false` is faster in a large registry.", load_default=True)


def _sort(filter: type[DeviceFilter | GroupFilter]) -> fields.String:
    choices = [sign + name for name in filter.SORTS for sign in ("", "-")]
    return fields.String(
        validate=ma.validate.OneOf(choices, error=f"must be a field, or - and a field: {', '.join(filter.SORTS)}"),
        metadata={"description": "The field to sort by, with - before it in descending order; equal ones by id."},
        error_messages={**_MESSAGES, "invalid": "must be text"},
    )


class _OneOf(fields.String):
    """One id, as the set of ids that a filter takes."""

    def __init__(self, attribute: str, description: str) -> None:
        messages = {**_MESSAGES, "invalid": "must be text"}
        super().__init__(attribute=attribute, metadata={"description": description}, error_messages=messages)

    def _deserialize(self, *arguments: Any, **kwargs: Any) -> frozenset[str]:  # type: ignore[override]
        return frozenset([super()._deserialize(*arguments, **kwargs)])


class _QuerySchema(Schema):
    """What to look for, and which part of that to answer with, in which order."""

    filter: type[DeviceFilter | GroupFilter]

    @ma.post_load
    def _arguments(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Part the arguments of the view."""
        asked = {name: data.pop(name, None) for name in ("sort", "limit", "cursor", "total")}
        try:
            return {"where": self.filter(**data), "window": paging.window(self.filter.SORTS, **asked)}
        except Invalid as error:
            raise ma.ValidationError(error.errors) from error


class DeviceQuerySchema(_QuerySchema):
    """What devices to look for."""

    id = _text("Only the device with this id.", example=examples.ID)
    sn = _text("Only devices with this serial number.")
    model = _text("Only devices with this in their hardware model, in upper or lower case.")
    name = _text("Only devices with this name.")
    type = _text("Only devices of this type.")
    status = _text("Only devices with this status.")
    mac = _text("Only devices with this MAC address, in any of its forms.")
    ipv4 = _text("Only devices with this IPv4 address.")
    group_id = _OneOf("group_ids", "Only devices in the group with this id.")
    sort = _sort(DeviceFilter)
    limit = _limit()
    cursor = _cursor()
    total = _total()

    filter = DeviceFilter


class GroupQuerySchema(_QuerySchema):
    """What groups to look for."""

    id = _text("Only the group with this id.")
    name = _text("Only the group with this name.")
    device_id = _OneOf("device_ids", "Only groups that the device with this id is in.")
    sort = _sort(GroupFilter)
    limit = _limit()
    cursor = _cursor()
    total = _total()

    filter = GroupFilter


# The batch and the import


class BatchSchema(Schema):
    """Devices to create, to update and to delete, in this order, all or nothing; at most 1000 in all."""

    create = _list(TriedNested(NewDeviceSchema(), error_messages=_MESSAGES), "Devices without id.")
    update = _list(TriedNested(DeviceChangeSchema(), error_messages=_MESSAGES), "Ids of devices, and what changes.")
    delete = _list(TriedText(error_messages=_MESSAGES | {"invalid": "must be text"}), "Ids; unknown ones are no error.")

    @ma.validates_schema
    def _limit(self, data: dict[str, list[Any]], **kwargs: Any) -> None:
        if (count := sum(map(len, data.values()))) > MAX_BATCH:
            raise ma.ValidationError(f"must hold at most {MAX_BATCH} items, not {count}")


class ImportSchema(Schema):
    dry_run = _boolean("Whether only to say what would be done.", load_default=False)


# Answers


class AnswerSchema(_Whole, Schema):
    """What every success answers."""

    status = fields.Integer(metadata={"description": "The HTTP status code."})
    message = fields.String(metadata={"description": "What was done, in words."})


class DeviceAnswerSchema(AnswerSchema):
    data = fields.Nested(DeviceSchema())


class GroupAnswerSchema(AnswerSchema):
    data = fields.Nested(GroupSchema())


class PageAnswerSchema(AnswerSchema):
    OPTIONAL = frozenset({"total"})
    total = fields.Integer(metadata={"description": "The number of all that fit; left out where total=false."})
    next = fields.String(allow_none=True, metadata={"description": "The cursor of the next page; null on the last."})


class DevicesAnswerSchema(PageAnswerSchema):
    data = fields.List(fields.Nested(DeviceSchema()), metadata={"description": "The devices, sorted."})


class GroupsAnswerSchema(PageAnswerSchema):
    data = fields.List(fields.Nested(GroupSchema()), metadata={"description": "The groups, sorted."})


class NewIdAnswerSchema(AnswerSchema):
    data = fields.String(metadata={"description": "The new id."})


class IdsAnswerSchema(AnswerSchema):
    ids = fields.List(fields.String(), metadata={"description": "The ids really changed."})


class BatchIdsSchema(_Whole, Schema):
    create = fields.List(fields.String(), metadata={"description": "The new ids, in the order of the items."})
    update = fields.List(fields.String(), metadata={"description": "The ids, in the order of the items."})
    delete = fields.List(fields.String(), metadata={"description": "The ids really deleted."})


class BatchAnswerSchema(AnswerSchema):
    data = fields.Nested(BatchIdsSchema())


class ImportedSchema(_Whole, Schema):
    added = fields.List(fields.String(), metadata={"description": "The ids that there were not."})
    changed = fields.List(fields.String(), metadata={"description": "The ids whose device was another."})
    left = fields.List(fields.String(), metadata={"description": "The ids whose device was the same."})


class ImportAnswerSchema(AnswerSchema):
    data = fields.Nested(ImportedSchema())
