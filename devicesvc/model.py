"""What devices, groups and memberships are: the one place that states each field's meaning, its limits and its rule.

A field is declared with its rule beside it, and every value is checked when it is made: a Device that exists is a
valid Device. The JSON schemas and the CSV reader take the rules from the RULES of each class.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self, get_type_hints

from devicesvc.errors import Invalid, shown

MAX_NICS = 16


@dataclass(frozen=True)
class Rule:
    """The rule of one text field.

    meaning: what the field holds. example: a value that fits. says: the rule in the words that follow "must be".
    pattern: a regular expression for the whole value. min_length, max_length: in characters (Unicode code points).
    normalize: turns a value that fits the pattern into the form to keep, or raises ValueError.
    """

    meaning: str
    example: str
    says: str
    pattern: str
    min_length: int
    max_length: int
    normalize: Callable[[str], str] | None = None
    _fits: Callable[[str], object] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fits", re.compile(self.pattern).fullmatch)

    def __call__(self, value: object) -> str:
        """Return the value in the form to keep. Raises ValueError with the rule in words."""
        try:
            if isinstance(value, str) and self.min_length <= len(value) <= self.max_length:
                value.encode()  # a lone surrogate fails here: UTF-8 cannot carry it
                if self._fits(value):
                    return self.normalize(value) if self.normalize else value
        except ValueError:
            pass
        raise ValueError(f"must be {self.says}, not {shown(value)}")


def _text(meaning: str, limit: int, example: str, *, least: int = 1, without: str = "") -> Rule:
    """Text of `least` to `limit` characters: any but the control characters (C0, DEL, C1) and those in `without`."""
    says = f"{least} to {limit} characters with no control character" + (f" and no {without!r}" if without else "")
    return Rule(meaning, example, says, rf"[^\x00-\x1f\x7f-\x9f{without}]*", least, limit)


def _id(meaning: str, example: str) -> Rule:
    return Rule(
        meaning=f"{meaning}: the service makes ten random digits; a client that names the item may choose another id.",
        example=example,
        says="1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit, but not 'batch' or 'import'",
        pattern="(?!(batch|import)$)[A-Za-z0-9][A-Za-z0-9._-]*",
        min_length=1,
        max_length=64,
    )


# A real date, YYYY-MM-DD, of the years 0001 to 9999: written as a pattern, so that the API can show the whole rule.
_BY_4 = "(0[48]|[2468][048]|[13579][26])"  # of two digits: 04 to 96; 00 is the turn of a century
_MONTH_AND_DAY = (
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = f"((?!0000)[0-9]{{4}}-{_MONTH_AND_DAY}|([0-9]{{2}}{_BY_4}|{_BY_4}00)-02-29)"


def plain_mac(value: str) -> str:
    """A MAC address in the form that is kept."""
    return value.lower().replace("-", ":")


def fold(value: str) -> str:
    """Text without its case, as Unicode folds it: what is found in any case is compared so."""
    return value.casefold()


def search_text(fields: Iterable[str]) -> str:
    """Fields of an item as one text to search in: folded, each on a line. No field has a line break, so what is found
    does not reach from one into another. Empty ones are left out."""
    return fold("\n".join(filter(None, fields)))


class Checked:
    """Checks each field that has a rule when a value is made, and keeps the normalized form. Raises Invalid."""

    __slots__ = ()
    RULES: ClassVar[Mapping[str, Rule]]  # the rule of each field that has one, by its name

    def __init_subclass__(cls) -> None:
        hints = get_type_hints(cls, include_extras=True)
        cls.RULES = {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}

    def __post_init__(self) -> None:
        errors = {}
        for name, rule in self.RULES.items():
            given = getattr(self, name)
            try:
                if (kept := rule(given)) is not given:
                    object.__setattr__(self, name, kept)
            except ValueError as error:
                errors[name] = str(error)
        if errors:
            raise Invalid(errors)

    @classmethod
    def trusted(cls, **fields: Any) -> Self:
        """One value, of which nothing is checked: the caller knows that each field keeps its rule and has the
        normalized form."""
        value = object.__new__(cls)
        for name, given in fields.items():
            object.__setattr__(value, name, given)
        return value

    @classmethod
    def all_of(cls, **columns: Sequence[Any]) -> list[Self]:
        """Many values, as `trusted` makes one, each field given as a column of all of them: in a fraction of the
        time."""
        values = list(map(object.__new__, repeat(cls, len(next(iter(columns.values()))))))
        for name, column in columns.items():
            deque(map(getattr(cls, name).__set__, values, column), maxlen=0)
        return values


@dataclass(frozen=True, slots=True)
class Hardware(Checked):
    model: Annotated[str, _text("The hardware model.", 64, "Raspberry Pi 4")]
    sn: Annotated[str, _text("The serial number of the hardware; two devices may share one.", 64, "itOYJ")]


@dataclass(frozen=True, slots=True)
class Software(Checked):
    version: Annotated[str, _text("The version of the software on the device.", 32, "0.1")]
    last_update: Annotated[
        str,
        Rule(
            meaning="When the software was last updated: wall clock, without a time zone, kept as written.",
            example="2023-08-06 20:00:00",
            says="a real date and time written YYYY-MM-DD HH:MM:SS",
            pattern=f"{_DATE} ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]",
            min_length=19,
            max_length=19,
        ),
    ]


@dataclass(frozen=True, slots=True)
class Nic(Checked):
    """A network interface."""

    type: Annotated[str, _text("The kind of network interface.", 32, "wifi", without=";")]
    mac: Annotated[
        str,
        Rule(
            meaning="The MAC address; kept in lower case with colons.",
            example="12:34:56:78:9a:bc",
            says="six pairs of hex digits joined by ':' or '-'",
            pattern="[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}",
            min_length=17,
            max_length=17,
            normalize=plain_mac,
        ),
    ]
    ipv4: Annotated[
        str,
        Rule(
            meaning="The IPv4 address.",
            example="192.168.1.2",
            says="four numbers from 0 to 255 joined by '.', without leading zeros",
            pattern=r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}",
            min_length=7,
            max_length=15,
        ),
    ]


@dataclass(frozen=True, slots=True)
class Device(Checked):
    id: Annotated[str, _id("The id of the device", "4322159209")]
    name: Annotated[str, _text("What people call the device.", 64, "test-name")]
    type: Annotated[str, _text("The kind of device.", 32, "controller")]
    hardware: Hardware
    software: Software
    nic: tuple[Nic, ...]
    status: Annotated[str, _text("The state of the device.", 32, "online")]

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        if not isinstance(self.nic, tuple):
            object.__setattr__(self, "nic", tuple(self.nic))
        if len(self.nic) > MAX_NICS:
            raise Invalid({"nic": f"must be at most {MAX_NICS} network interfaces, not {len(self.nic)}"})

    @classmethod
    def build(cls, data: Mapping[str, Any]) -> "Device":
        """Make a device of nested dictionaries in the shape of the JSON form. Raises Invalid."""
        hardware, software = Hardware(**data["hardware"]), Software(**data["software"])
        nic = tuple(Nic(**each) for each in data["nic"])
        return cls(**{**data, "hardware": hardware, "software": software, "nic": nic})

    def merge(self, changes: Mapping[str, Any]) -> "Device":
        """Make this device with some fields changed: half of hardware or software keeps its other half, nic replaces
        the whole list. Raises Invalid."""
        parts: dict[str, Any] = {
            "hardware": replace(self.hardware, **changes.get("hardware", {})),
            "software": replace(self.software, **changes.get("software", {})),
            "nic": tuple(Nic(**each) for each in changes["nic"]) if "nic" in changes else self.nic,
        }
        return replace(self, **{**changes, **parts})

    def search_text(self) -> str:
        """The text in which `q` of DeviceFilter is looked for: the fields that people know a device by."""
        macs, addresses = [nic.mac for nic in self.nic], [nic.ipv4 for nic in self.nic]
        own = (self.id, self.name, self.type, self.status, self.hardware.model, self.hardware.sn)
        return search_text((*own, *macs, *addresses))


@dataclass(frozen=True, slots=True)
class Group(Checked):
    """A group of devices. A device may be in many groups."""

    id: Annotated[str, _id("The id of the group", "classroom")]
    name: Annotated[str, _text("What people call the group; no two groups share a name.", 64, "Classroom 101")]
    description: Annotated[str, _text("What the group is for.", 256, "The controllers of room 101.", least=0)] = ""

    @classmethod
    def build(cls, data: Mapping[str, Any]) -> "Group":
        """Make a group of its JSON form. Raises Invalid."""
        return cls(**data)

    def merge(self, changes: Mapping[str, Any]) -> "Group":
        """Make this group with some fields changed. Raises Invalid."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Membership(Checked):
    """A device is in a group."""

    device_id: Annotated[str, Device.RULES["id"]]
    group_id: Annotated[str, Group.RULES["id"]]


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """What to look for. None leaves a field out. The others must all fit, and exactly, but `q` and `model` do not: see
    `matches`."""

    id: str | None = None
    sn: str | None = None
    model: str | None = None
    name: str | None = None
    type: str | None = None
    status: str | None = None
    mac: str | None = None
    ipv4: str | None = None
    software_version: str | None = None
    hardware_model: str | None = None
    q: str | None = None
    group_ids: frozenset[str] = frozenset()

    # What devices may be sorted by, and how to read it from one.
    SORTS: ClassVar[Mapping[str, Callable[[Device], str]]] = {
        **{name: attrgetter(name) for name in Device.RULES},
        **{name: attrgetter(f"hardware.{name}") for name in Hardware.RULES},
        **{name: attrgetter(f"software.{name}") for name in Software.RULES},
    }

    def __post_init__(self) -> None:
        # Once, and not for each device: each may be as long as a request.
        if self.model is not None:
            object.__setattr__(self, "model", fold(self.model))
        if self.q is not None:
            object.__setattr__(self, "q", fold(self.q))
        if self.mac is not None:
            object.__setattr__(self, "mac", plain_mac(self.mac))

    def matches(self, device: Device) -> bool:
        """Whether the device fits. `model` fits any part of the hardware model, in any case (Unicode case folding), and
        `q` any part of one of the fields of `search_text`; `mac`, in any of its forms, and `ipv4` fit if one of the
        network interfaces has them. Whether the device is in all the groups of `group_ids` only a store can tell."""
        return (
            self.id in (None, device.id)
            and self.sn in (None, device.hardware.sn)
            and self.name in (None, device.name)
            and self.type in (None, device.type)
            and self.status in (None, device.status)
            and self.software_version in (None, device.software.version)
            and self.hardware_model in (None, device.hardware.model)
            and self.model_fits(device.hardware.model)
            and (self.mac is None or self.mac in (nic.mac for nic in device.nic))
            and (self.ipv4 is None or self.ipv4 in (nic.ipv4 for nic in device.nic))
            and self.q_fits(device)
        )

    def model_fits(self, model: str) -> bool:
        """Whether a hardware model has the part that is looked for, if any is."""
        return self.model is None or self.model in fold(model)

    def q_fits(self, device: Device) -> bool:
        """Whether a device has the text that is looked for, if any is."""
        return self.q is None or ("\n" not in self.q and self.q in device.search_text())


@dataclass(frozen=True, slots=True)
class GroupFilter:
    """What groups to look for; as for devices, all that is given must fit."""

    id: str | None = None
    name: str | None = None
    device_ids: frozenset[str] = frozenset()

    SORTS: ClassVar[Mapping[str, Callable[[Group], str]]] = {name: attrgetter(name) for name in Group.RULES}

    def matches(self, group: Group) -> bool:
        """Whether the group fits. Whether all the devices of `device_ids` are in it only a store can tell."""
        return self.id in (None, group.id) and self.name in (None, group.name)
