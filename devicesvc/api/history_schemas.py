"""The shapes of the arguments and answers of the calls on the history."""

import re
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
from marshmallow import fields

from devicesvc.api.answers import AnswerSchema
from devicesvc.api.fields import MESSAGES, text
from devicesvc.api.history import MAX_LIMIT, NOW
from devicesvc.api.queries import QuerySchema
from devicesvc.api.schemas import AllRequired, Schema
from devicesvc.dao.history import MAX_ROWS, HistoryFilter, now, time_text

MAX_WAIT = 30  # seconds
MAX_NUMBER = 10**15 - 1  # of a change: all programs that read JSON have such numbers
DEFAULT_LIMIT = 100

# RFC 3339, or a day. In a query, + means a space: so a zone may come as 20:00:00 08:00.
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?:([Zz])|([+ -])(\d\d:\d\d)))?", re.ASCII
)
MOMENT_SAYS = "must be a time with its zone, such as 2026-11-24T20:00:00Z, or a day, such as 2026-11-24"


class Moment(fields.String):
    """A time, which the view gets as the history has it: in UTC, with milliseconds. A day is its start in UTC."""

    def __init__(self, description: str, *, past: bool = False) -> None:
        super().__init__(
            metadata={
                "description": f"{description} A time has its zone; a day is its start in UTC.",
                "format": "moment",
            },
            error_messages={**MESSAGES, "invalid": MOMENT_SAYS},
        )
        self._past = past

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
        if not found:
            raise self.make_error("invalid")
        day, time, _, sign, offset = found.groups()
        zone = f"{sign.replace(' ', '+')}{offset}" if offset else "+00:00"
        try:
            moment = datetime.fromisoformat(f"{day}T{time or '00:00:00'}{zone}").astimezone(UTC)
        except (ValueError, OverflowError) as error:  # such as the 31st of November
            raise self.make_error("invalid") from error
        as_kept = time_text(moment)
        if self._past and as_kept > now():
            raise ma.ValidationError(f"must not be in the future; it is {now()} now")
        return as_kept


class WholeNumberUpTo(fields.Integer):
    """A whole number in these limits: in JSON a number, in a query digits."""

    def __init__(self, least: int, most: int, description: str, **options: Any) -> None:
        super().__init__(
            strict=True,
            validate=ma.validate.Range(least, most, error=f"must be from {least} to {most}"),
            metadata={"description": description},
            error_messages={**MESSAGES, "invalid": f"must be a whole number from {least} to {most}"},
            **options,
        )

    def _validated(self, value: Any) -> int:
        in_digits = isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value)
        return super()._validated(int(value) if in_digits else value)


class Place(fields.String):
    """Where the feed begins: the number of a change, or `now`, which comes to the view as NOW."""

    def __init__(self, description: str) -> None:
        metadata = {"description": description, "pattern": f"^({NOW}|[0-9]{{1,15}})$"}
        super().__init__(metadata=metadata, error_messages=MESSAGES)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if value == NOW:
            return NOW
        if type(value) is int and 0 <= value <= MAX_NUMBER:  # in a JSON body
            return value
        if isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value):
            return int(value)
        raise ma.ValidationError(f"must be a whole number from 0 to {MAX_NUMBER}, or {NOW}")


class AtSchema(QuerySchema):
    """When the item is wanted."""

    at = Moment(
        "Answer with the item as it was at this time, as far back as the history goes. No ETag is given.", past=True
    )


class ItemHistorySchema(QuerySchema):
    """Which changes of an item to find."""

    who = text("Only changes of the token with this name; or `-`, `file`, `import`, `migrate` or `restore`.")
    request_id = text("Only the change that the request with this id has made.")
    since = Moment("Only changes from this time on.")
    until = Moment("Only changes before this time.")
    limit = WholeNumberUpTo(
        1, MAX_LIMIT, f"The most changes in the answer; {DEFAULT_LIMIT} if it is not given.", load_default=DEFAULT_LIMIT
    )
    cursor = WholeNumberUpTo(1, MAX_NUMBER, "The `next` of an earlier answer, to get the page after it.")

    @ma.post_load
    def _arguments(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of the view."""
        page = {"limit": data.pop("limit"), "cursor": data.pop("cursor", None)}
        return {"where": HistoryFilter(**data), **page}


class DeviceHistorySchema(ItemHistorySchema):
    """Which changes of a device to find."""

    group_id = text("Only changes of its membership in the group with this id.")


class GroupHistorySchema(ItemHistorySchema):
    """Which changes of a group to find."""

    device_id = text("Only changes of the membership of the device with this id.")


class ChangesSchema(ItemHistorySchema):
    """Which changes to find; or, with `after`, the feed."""

    device_id = text("Only changes of the device with this id, and of its memberships.")
    group_id = text("Only changes of the group with this id, and of its memberships.")
    after = Place(
        "The feed: the changes after the one with this number, the oldest first. 0 is the beginning; `now` is the end."
    )
    wait = WholeNumberUpTo(
        1,
        MAX_WAIT,
        "With `after`: the seconds to wait for a change, if there is none yet. Without it, the answer comes at once.",
    )

    @ma.validates_schema
    def _check(self, data: dict[str, Any], **kwargs: Any) -> None:
        if "wait" in data and "after" not in data:
            raise ma.ValidationError({"wait": "needs `after`: the number of the last change that you know"})
        if others := sorted(data.keys() - {"after", "wait", "limit"}) if "after" in data else []:
            raise ma.ValidationError({"after": f"takes `wait` and `limit` beside it, and not `{others[0]}`"})

    @ma.post_load
    def _arguments(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of the view."""
        feed = {"after": data.pop("after", None), "wait": data.pop("wait", 0)}
        return {**super()._arguments(data), **feed}


class RowsSchema(QuerySchema):
    """Which rows of a change."""

    cursor = WholeNumberUpTo(1, MAX_NUMBER, "The `next` of an earlier answer, to get the rows after it.")


class RowSchema(AllRequired, Schema):
    """What a change did to one item, or to one column of it."""

    done = fields.String(metadata={"description": "`added`, `changed`, `deleted`, or, of the registry, `replaced`."})
    kind = fields.String(metadata={"description": "`device`, `group`, `membership` or `registry`."})
    id = fields.String(metadata={"description": "The id of the item; of a membership, `DEVICE_ID/GROUP_ID`."})
    column = fields.String(
        metadata={"description": "The column of the CSV file that was changed; empty if an item was added or deleted."}
    )
    before = fields.String(metadata={"description": "The cell before; of a deleted item, its line of the CSV file."})
    after = fields.String(metadata={"description": "The cell after; of an added item, its line of the CSV file."})


class ChangeSchema(AllRequired, Schema):
    """A change."""

    number = fields.Integer(metadata={"description": "Its number. Later changes have greater ones; there are gaps."})
    time = fields.String(metadata={"description": "When it was made, in UTC."})
    who = fields.String(
        metadata={
            "description": "The name of the token; `-` without tokens; `file` for an edit by hand; or `import`,"
            " `migrate` or `restore`."
        }
    )
    request_id = fields.String(metadata={"description": "The `X-Request-ID` of its request; empty if there was none."})
    address = fields.String(metadata={"description": "The address of the client; empty if there was none."})
    count = fields.Integer(metadata={"description": "How many rows it has in all."})
    rows = fields.List(
        fields.Nested(RowSchema()),
        metadata={"description": f"What it did. In a list of changes, the first {MAX_ROWS} rows that fit."},
    )


class NextSchema(AnswerSchema):
    """An answer with the place of what comes after it."""

    next = fields.Integer(
        allow_none=True,
        metadata={
            "description": "To send back as `cursor`, or null on the last page; in the feed, as the next `after`."
        },
    )


class ChangesAnswerSchema(NextSchema):
    """An answer with changes."""

    data = fields.List(fields.Nested(ChangeSchema()), metadata={"description": "The changes."})


class ChangeAnswerSchema(NextSchema):
    """An answer with a change."""

    data = fields.Nested(ChangeSchema())


class UndoneSchema(AllRequired, Schema):
    """What an undo did."""

    count = fields.Integer(metadata={"description": "How many rows the history has of it."})
    rows = fields.List(fields.Nested(RowSchema()), metadata={"description": f"These rows; at most {MAX_LIMIT}."})


class UndoAnswerSchema(AnswerSchema):
    """The answer to an undo."""

    data = fields.Nested(UndoneSchema())
