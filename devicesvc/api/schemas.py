"""The shapes of the JSON in requests and answers. Their fields are in fields.py, the rules of these in model.py."""

from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

import marshmallow as ma
from flask import g
from marshmallow import fields

from devicesvc.api import examples, paging
from devicesvc.api.errors import LongRule
from devicesvc.api.fields import (
    MESSAGES,
    CollectErrorsNested,
    CollectErrorsText,
    RuleField,
    SetOfIds,
    WholeNumber,
    boolean,
    limits,
    list_of,
    nested,
    text,
)
from devicesvc.dao.base import DeviceReader
from devicesvc.errors import Invalid
from devicesvc.model import MAX_NICS, Device, DeviceFilter, Group, GroupFilter, Hardware, Nic, Software

# What devices can be counted by, and what DeviceReader.COUNTED calls it.
COUNTED = {field.replace("group_ids", "group_id"): field for field in DeviceReader.COUNTED}

MAX_BATCH = 1000  # items
MAX_IDS = 10_000  # in one request
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
        """As marshmallow's: but fields that are not given, and need not be, cost no time."""
        known = self.load_fields.keys()
        if isinstance(data, Mapping) and data.keys() <= known and len(data) < len(known):
            return super(Schema, _narrowed(self, frozenset(data))).load(data, **options)
        return super().load(data, **options)

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


# Queries


class QuerySchema(Schema):
    """The arguments of a call, in the query or in the body."""

    error_messages = {"unknown": "is not an argument of this call"}


def _ids(of: str, example: list[str], **metadata: Any) -> fields.List[Any]:
    return list_of(
        text("An id."),
        f"The ids of {of}, at most {MAX_IDS}.",
        MAX_IDS,
        "ids",
        required=True,
        example=example,
        **metadata,
    )


class DeviceIdsSchema(Schema):
    """Devices, by their ids."""

    ids = _ids("devices", examples.IDS)


class DeviceIdsQuerySchema(QuerySchema):
    """Devices, by their ids in a query."""

    ids = _ids("devices", examples.IDS, minItems=1)  # a query cannot express an empty list


class GroupIdsSchema(Schema):
    """Groups, by their ids."""

    ids = _ids("groups", examples.GROUP_IDS)


class GroupIdsQuerySchema(QuerySchema):
    """Groups, by their ids in a query."""

    ids = _ids("groups", examples.GROUP_IDS, minItems=1)


class PageSchema(QuerySchema):
    """Which page to answer with, after the fields of a filter. filter: the class that the view gets as `where`."""

    filter: type[DeviceFilter | GroupFilter]

    limit = WholeNumber(
        strict=True,
        validate=ma.validate.Range(1, paging.MAX_LIMIT, error=f"must be from 1 to {paging.MAX_LIMIT}"),
        metadata={"description": f"The most items in the answer; {paging.MAX_LIMIT} if it is not given."},
        error_messages={**MESSAGES, "invalid": f"must be a whole number from 1 to {paging.MAX_LIMIT}"},
    )
    cursor = text("The `next` of an earlier answer, to get the page after it.", format="cursor")
    total = boolean("Whether to count all items that fit; `false` is faster in a large registry.", load_default=True)

    @ma.post_load
    def _arguments(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of the view: the filter and the page request."""
        page = {name: data.pop(name, None) for name in ("sort", "limit", "cursor", "total")}
        try:
            return {"where": self.filter(**data), "page_request": paging.page_request(self.filter.SORTS, **page)}
        except Invalid as error:
            raise ma.ValidationError(error.errors) from error


def _sort(of: type[DeviceFilter | GroupFilter]) -> fields.String:
    choices = [sign + name for name in of.SORTS for sign in ("", "-")]
    return fields.String(
        validate=ma.validate.OneOf(
            choices, error=f"must be one of these fields, with or without - before it: {', '.join(of.SORTS)}"
        ),
        metadata={
            "description": "The field to sort by; with - before it, in descending order. Equal items are sorted by id."
        },
        error_messages={**MESSAGES, "invalid": "must be text"},
    )


class DeviceFilterSchema(QuerySchema):
    """Which devices to find."""

    q = text(
        "Only devices that have this text, in upper or lower case, in their id, name, type, status, model, serial"
        " number, or in a MAC or IPv4 address."
    )
    id = text("Only the device with this id.")
    sn = text("Only devices with this serial number.")
    model = text("Only devices whose hardware model contains this text, in upper or lower case.")
    name = text("Only devices with this name.")
    type = text("Only devices of this type.")
    status = text("Only devices with this status.")
    mac = text("Only devices with this MAC address, in any of its forms.")
    ipv4 = text("Only devices with this IPv4 address.")
    software_version = text("Only devices with this version of the software.")
    hardware_model = text("Only devices with exactly this hardware model; `model` also finds a part of it.")
    group_id = SetOfIds(
        "group_ids", "Only devices in the group with this id; if it is given more than once, in all these groups."
    )


class DeviceQuerySchema(PageSchema, DeviceFilterSchema):
    """Which page of which devices to find, in which order."""

    filter = DeviceFilter
    sort = _sort(DeviceFilter)


class DeviceListSchema(DeviceQuerySchema):
    """The same, and the form of the answer."""

    format = fields.String(
        validate=ma.validate.OneOf(["json", "csv"], error="must be json or csv"),
        metadata={"description": "The form of the answer, whatever Accept says."},
        error_messages={**MESSAGES, "invalid": "must be text"},
    )
    excel = boolean(
        "Whether to answer with a CSV file that Excel reads and does not compute: `'` comes before `=`, `+`, `-` and"
        " `@` at the start of a cell. Such a file is not for an import.",
        load_default=False,
    )

    @ma.post_load
    def _arguments(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of the view."""
        form, excel = data.pop("format", None), data.pop("excel")
        return {**super()._arguments(data), "form": "excel" if excel else form}


class CountsQuerySchema(DeviceFilterSchema):
    """Which devices to count, and by what."""

    by = list_of(
        fields.String(
            validate=ma.validate.OneOf(COUNTED, error=f"must be one of {', '.join(COUNTED)}"), error_messages=MESSAGES
        ),
        f"What to count by, once for each: {', '.join(COUNTED)}. All of them if it is not given.",
        len(COUNTED),
        "names",
        maxItems=len(COUNTED),
    )
    limit = WholeNumber(
        strict=True,
        load_default=20,
        validate=ma.validate.Range(1, paging.MAX_LIMIT, error=f"must be from 1 to {paging.MAX_LIMIT}"),
        metadata={"description": "The most values of each, the most frequent ones."},
        error_messages={**MESSAGES, "invalid": f"must be a whole number from 1 to {paging.MAX_LIMIT}"},
    )

    @ma.post_load
    def _arguments(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of the view."""
        by, limit = data.pop("by", list(COUNTED)), data.pop("limit")
        return {"by": by, "where": DeviceFilter(**data), "limit": limit}


class DryRunSchema(QuerySchema):
    """Whether a change is only tried out."""

    dry_run = boolean("Whether to change nothing, and only to say what would be changed.", load_default=False)


class DevicesPatchQuerySchema(DryRunSchema, DeviceFilterSchema):
    """Which devices to change."""

    expect = WholeNumber(
        strict=True,
        validate=ma.validate.Range(0, error="must be 0 or more"),
        metadata={"description": "How many devices must fit. If it is another number, nothing is changed: 409."},
        error_messages={**MESSAGES, "invalid": "must be a whole number"},
    )

    @ma.post_load
    def _arguments(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of the view."""
        dry_run, expect = data.pop("dry_run"), data.pop("expect", None)
        if not data:
            rule = "must have a filter, such as status=offline: without one, all devices would change"
            raise ma.ValidationError({"the query": rule})
        return {"where": DeviceFilter(**data), "dry_run": dry_run, "expect": expect}


class GroupQuerySchema(PageSchema):
    """Which page of which groups to find, in which order."""

    filter = GroupFilter
    id = text("Only the group with this id.")
    name = text("Only the group with this name.")
    device_id = SetOfIds(
        "device_ids",
        "Only groups that the device with this id is in; if it is given more than once, that all these devices are in.",
    )
    sort = _sort(GroupFilter)


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


# Answers


class AnswerSchema(AllRequired, Schema):
    """The members of every answer that is a success."""

    status = fields.Integer(metadata={"description": "The HTTP status code."})
    message = fields.String(metadata={"description": "What was done, in one sentence."})


class DeviceAnswerSchema(AnswerSchema):
    """An answer with a device."""

    data = fields.Nested(DeviceSchema())


class GroupAnswerSchema(AnswerSchema):
    """An answer with a group."""

    data = fields.Nested(GroupSchema())


class PageAnswerSchema(AnswerSchema):
    """An answer with a page of a list."""

    OPTIONAL = frozenset({"total"})
    total = fields.Integer(
        metadata={"description": "The number of all items that fit, on all pages; left out if total=false."}
    )
    next = fields.String(
        allow_none=True, metadata={"description": "The cursor of the next page; null on the last page."}
    )


class DevicesAnswerSchema(PageAnswerSchema):
    """An answer with a page of devices."""

    data = fields.List(fields.Nested(DeviceSchema()), metadata={"description": "The devices, sorted."})


class GroupsAnswerSchema(PageAnswerSchema):
    """An answer with a page of groups."""

    data = fields.List(fields.Nested(GroupSchema()), metadata={"description": "The groups, sorted."})


class NewIdAnswerSchema(AnswerSchema):
    """An answer with the id of a new item."""

    data = fields.String(metadata={"description": "The new id."})


class IdsAnswerSchema(AnswerSchema):
    """An answer with the ids of the items that were changed."""

    ids = fields.List(fields.String(), metadata={"description": "The ids really changed."})


class FoundIdsSchema(AllRequired, Schema):
    """What came of a change of all devices that fit a filter."""

    found = fields.Integer(metadata={"description": "How many devices fit."})
    changed = fields.Integer(metadata={"description": "How many of them were not so already."})
    ids = fields.List(fields.String(), metadata={"description": "The ids really changed."})


class FoundIdsAnswerSchema(AnswerSchema):
    """The answer to a change of all devices that fit a filter."""

    data = fields.Nested(FoundIdsSchema())


class CountSchema(AllRequired, Schema):
    """How many devices have a value."""

    OPTIONAL = frozenset({"name"})
    value = fields.String(metadata={"description": "The value; of a group, its id."})
    name = fields.String(metadata={"description": "Of a group, its name."})
    count = fields.Integer(metadata={"description": "How many devices have it."})


class CountedSchema(AllRequired, Schema):
    """The most frequent values of a field."""

    values = fields.List(fields.Nested(CountSchema()), metadata={"description": "The most frequent values first."})
    others = fields.Integer(metadata={"description": "How many devices have other values than these."})


class CountsAnswerSchema(AnswerSchema):
    """An answer with counts."""

    data = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(CountedSchema()),
        metadata={"description": "The counts, by what was asked for in `by`."},
    )


class BatchIdsSchema(AllRequired, Schema):
    """The ids of the devices in a batch."""

    create = fields.List(fields.String(), metadata={"description": "The new ids, in the order of the items."})
    update = fields.List(fields.String(), metadata={"description": "The ids, in the order of the items."})
    delete = fields.List(fields.String(), metadata={"description": "The ids really deleted."})


class BatchAnswerSchema(AnswerSchema):
    """The answer to a batch."""

    data = fields.Nested(BatchIdsSchema())


class ImportedSchema(AllRequired, Schema):
    """The ids of the devices in an import, by what was done."""

    added = fields.List(fields.String(), metadata={"description": "The ids of new devices."})
    changed = fields.List(
        fields.String(), metadata={"description": "The ids of devices that were replaced by other values."}
    )
    unchanged = fields.List(
        fields.String(), metadata={"description": "The ids of devices that have these values already."}
    )


class ImportAnswerSchema(AnswerSchema):
    """The answer to an import."""

    data = fields.Nested(ImportedSchema())


class ItemSchemas(NamedTuple):
    """The schemas of the calls that are the same for devices and for groups."""

    query: Schema
    ids: Schema
    ids_query: Schema
    answer: Schema
    page: Schema


OF = {  # by the noun of the item
    "device": ItemSchemas(
        DeviceQuerySchema(), DeviceIdsSchema(), DeviceIdsQuerySchema(), DeviceAnswerSchema(), DevicesAnswerSchema()
    ),
    "group": ItemSchemas(
        GroupQuerySchema(), GroupIdsSchema(), GroupIdsQuerySchema(), GroupAnswerSchema(), GroupsAnswerSchema()
    ),
}
