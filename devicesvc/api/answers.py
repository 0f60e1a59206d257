"""The shapes of answers that are a success."""

from marshmallow import fields

from devicesvc.api.schemas import AllRequired, DeviceSchema, GroupSchema, Schema


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
