"""The shapes of the arguments of calls, in the query or in the body."""

from typing import Any

import marshmallow as ma
from marshmallow import fields

from devicesvc.api import examples, paging
from devicesvc.api.fields import (
    MESSAGES,
    SetOfIds,
    WholeNumber,
    boolean,
    list_of,
    text,
)
from devicesvc.api.schemas import Schema
from devicesvc.dao.base import DeviceReader
from devicesvc.errors import Invalid
from devicesvc.model import DeviceFilter, GroupFilter

# What devices can be counted by, and what DeviceReader.COUNTED calls it.
COUNTED = {field.replace("group_ids", "group_id"): field for field in DeviceReader.COUNTED}

MAX_IDS = 10_000  # in one request


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
