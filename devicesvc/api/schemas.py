"""What comes in and what goes out, as JSON: the shapes are here, the rules of each field in model.py."""

from typing import Any

import marshmallow as ma
from marshmallow import fields

from devicesvc.api import examples
from devicesvc.model import MAX_NICS, Device, Hardware, Nic, Software

_MESSAGES: dict[str, Any] = {"required": "is required", "null": "may not be null"}


class Ruled(fields.String):
    """Text that obeys the rule of a field of model.py, which also documents it."""

    def __init__(self, of: type[Hardware | Software | Nic | Device], name: str, **kwargs: Any) -> None:
        self.rule = of.RULES[name]
        documentation = {
            "description": f"{self.rule.meaning} It must be {self.rule.says}.",
            "example": self.rule.example,
            "minLength": self.rule.min_length,
            "maxLength": self.rule.max_length,
            "pattern": f"^{self.rule.pattern}$",
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
    """An object with every field given."""

    def on_bind_field(self, field_name: str, field: Any) -> None:
        field.required = True


def _text(description: str, *, required: bool = False, **metadata: Any) -> fields.String:
    """Text without a rule, to be compared with what is stored."""
    messages = {**_MESSAGES, "invalid": "must be text"}
    return fields.String(required=required, metadata={"description": description, **metadata}, error_messages=messages)


def _nested(schema: ma.Schema, description: str) -> fields.Nested:
    return fields.Nested(schema, metadata={"description": description}, error_messages=_MESSAGES)


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
    return fields.List(
        fields.Nested(NicSchema(), error_messages=_MESSAGES),
        validate=ma.validate.Length(max=MAX_NICS, error=f"must be at most {MAX_NICS} network interfaces"),
        metadata={"description": f"The network interfaces, at most {MAX_NICS}, in an order that is kept."},
        error_messages={**_MESSAGES, "invalid": "must be a list"},
    )


class NewDeviceSchema(_Whole, Schema):
    """A device without id: the service makes the id."""

    name = Ruled(Device, "name")
    type = Ruled(Device, "type")
    hardware = _nested(HardwareSchema(), "The hardware.")
    software = _nested(SoftwareSchema(), "The software.")
    nic = _nics()
    status = Ruled(Device, "status")


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
    """The id of a device and what changes in it."""

    id = _text("The id of the device to change.", required=True)
    name = Ruled(Device, "name")
    type = Ruled(Device, "type")
    hardware = _nested(HardwarePatchSchema(), "The hardware; what is not given stays.")
    software = _nested(SoftwarePatchSchema(), "The software; what is not given stays.")
    nic = _nics()
    status = Ruled(Device, "status")


class DeviceQuerySchema(Schema):
    """What to look for: a DeviceFilter."""

    id = _text("Only the device with this id.", example=examples.ID)
    sn = _text("Only devices with this serial number.")
    model = _text("Only devices with this in their hardware model, in upper or lower case.")
    name = _text("Only devices with this name.")
    type = _text("Only devices of this type.")
    status = _text("Only devices with this status.")
    mac = _text("Only devices with this MAC address, in any of its forms.")
    ipv4 = _text("Only devices with this IPv4 address.")


class IdsSchema(Schema):
    ids = fields.List(
        _text("An id."),
        required=True,
        metadata={"description": "The ids; unknown ones are no error.", "example": examples.IDS},
        error_messages={**_MESSAGES, "invalid": "must be a list"},
    )


class AnswerSchema(Schema):
    """What every success answers."""

    status = fields.Integer(metadata={"description": "The HTTP status code."})
    message = fields.String(metadata={"description": "What was done, in words."})


class DeviceAnswerSchema(AnswerSchema):
    data = fields.Nested(DeviceSchema())


class DevicesAnswerSchema(AnswerSchema):
    data = fields.List(fields.Nested(DeviceSchema()), metadata={"description": "The devices, by id."})


class NewDeviceAnswerSchema(AnswerSchema):
    data = fields.String(metadata={"description": "The id of the new device."})


class IdsAnswerSchema(AnswerSchema):
    ids = fields.List(fields.String(), metadata={"description": "The ids really deleted."})
