"""The fields that schemas are made of. Each checks one value, and documents the values that it takes."""

import re
from dataclasses import MISSING, fields
from typing import Any

import marshmallow as ma
from flask import g

from devicesvc.api.errors import flatten
from devicesvc.errors import MAX_FAULTS
from devicesvc.model import Device, Group, Hardware, Nic, Rule, Software

MAX_SET = 16  # ids in a filter; a database looks for each of them

MESSAGES: dict[str, Any] = {"required": "is required", "null": "may not be null"}


def limits(rule: Rule) -> dict[str, Any]:
    """A rule as keywords of JSON Schema."""
    return {"minLength": rule.min_length, "maxLength": rule.max_length, "pattern": f"^{rule.pattern}$"}


class RuleField(ma.fields.String):
    """Text that must fit the rule of a field in model.py. The rule also documents it.

    has_default: whether the model has a default for the field.
    """

    def __init__(self, of: type[Hardware | Software | Nic | Device | Group], name: str, **options: Any) -> None:
        self.rule = of.RULES[name]
        self.has_default = any(each.name == name and each.default is not MISSING for each in fields(of))
        documentation = {
            "description": f"{self.rule.meaning} It must be {self.rule.says}.",
            "example": self.rule.example,
            **limits(self.rule),
        }
        super().__init__(metadata=documentation, error_messages=MESSAGES, **options)

    def _deserialize(self, value: object, attr: str | None, data: Any, **options: Any) -> str:
        try:
            return self.rule(value)
        except ValueError as error:
            raise ma.ValidationError(str(error)) from error


def text(description: str, *, required: bool = False, **metadata: Any) -> ma.fields.String:
    """Text without a rule: it is only compared with stored values. metadata: more keywords of JSON Schema."""
    messages = {**MESSAGES, "invalid": "must be text"}
    metadata = {"description": description, **metadata}
    return ma.fields.String(required=required, metadata=metadata, error_messages=messages)


def nested(schema: ma.Schema, description: str) -> ma.fields.Nested:
    """An object inside an object, described by a schema of its own."""
    return ma.fields.Nested(schema, metadata={"description": description}, error_messages=MESSAGES)


class LimitedList(ma.fields.List[Any]):
    """A list that is refused for its length before what is in it is looked at."""

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(value, list):
            self._validate(value)
        return super()._deserialize(value, *arguments, **options)


def list_of(
    of: Any, description: str, most: int, noun: str, *, required: bool = False, **metadata: Any
) -> ma.fields.List[Any]:
    """A list. of: the field that each value must fit. most: values. noun: what these are called. metadata: more
    keywords of JSON Schema: maxItems too, because a query has room for fewer ids than a body may have."""

    def check(values: list[Any]) -> None:
        if len(values) > most:
            raise ma.ValidationError(f"must be at most {most} {noun}")

    return LimitedList(
        of,
        required=required,
        validate=check,
        metadata={"description": description, **metadata},
        error_messages={**MESSAGES, "invalid": "must be a list"},
    )


def boolean(description: str, *, load_default: bool) -> ma.fields.Boolean:
    """true or false: in JSON a boolean, in a query the word."""
    return ma.fields.Boolean(
        load_default=load_default,
        truthy={"true", True},
        falsy={"false", False},
        metadata={"description": description},
        error_messages={**MESSAGES, "invalid": "must be true or false"},
    )


class CollectErrors(ma.fields.Field[Any]):
    """A field that returns a ValidationError for a wrong value and does not raise it: so a view can name all faults.
    Once MAX_FAULTS are found in a request, no more are looked for: the error for each other value names none."""

    def deserialize(self, *arguments: Any, **options: Any) -> Any:
        """Return the value, or the ValidationError that names the rules that it breaks."""
        found = g.get("faults", 0)
        if found >= MAX_FAULTS:
            return ma.ValidationError({})
        try:
            return super().deserialize(*arguments, **options)
        except ma.ValidationError as error:
            g.faults = found + sum(1 for _ in flatten(error.messages))
            return error


class CollectErrorsNested(CollectErrors, ma.fields.Nested):
    """An object, or its ValidationError."""


class CollectErrorsText(CollectErrors, ma.fields.String):
    """Text, or its ValidationError."""


class WholeNumber(ma.fields.Integer):
    """A whole number: in JSON a number, in a query 1 to 9 ASCII digits."""

    def _validated(self, value: Any) -> int:
        in_digits = isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value)
        return super()._validated(int(value) if in_digits else value)


class SetOfIds(LimitedList):
    """One id, or a list of ids: in a query, the name once for each. The view gets a set, because filters take sets.

    attribute: the name of the filter's field.
    """

    def __init__(self, attribute: str, description: str) -> None:
        rule = f"must be at most {MAX_SET} ids"
        super().__init__(
            text("An id."),
            attribute=attribute,
            validate=ma.validate.Length(max=MAX_SET, error=rule),
            metadata={"description": description, "maxItems": MAX_SET},
            error_messages={**MESSAGES, "invalid": "must be text, or a list of texts"},
        )

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> Any:
        return frozenset(super()._deserialize([value] if isinstance(value, str) else value, *arguments, **options))
