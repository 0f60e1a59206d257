"""A row of each entity, described once.

The CSV format, the tables of the databases and the mover between stores all take their columns from here. A field that
is added to a class of model.py becomes a column by its name in the list of columns and its argument in the function
below it.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, Generic, TypeVar, cast

import orjson

from devicesvc.errors import Invalid
from devicesvc.model import Checked, Device, Group, Hardware, Membership, Nic, Rule, Software, fold

T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """A column of text.

    name: the same in files and in databases. field: what it is called in the class that has it. read: gets its value
    from an item. rule: what the value must be.
    default: the value if a row of an older version lacks the column; None if no row may lack it.
    in_file, in_database: whether it is there; what is only in a database follows from other columns.
    longest: characters of a value in a database, if the rule does not say it.
    """

    name: str
    field: str
    read: Callable[[Any], str]
    rule: Rule
    default: str | None = None
    in_file: bool = True
    in_database: bool = True
    longest: int = 0

    @property
    def max_length(self) -> int:
        """The most characters of a value in a database."""
        return self.longest or self.rule.max_length


class Entity(Generic[T]):
    """Devices, network interfaces, groups or memberships, as rows.

    table: the name of the table. columns: in the order of a file. in_file, in_database: those of the columns that are
    there. keys: columns of numbers and references that a row in a database has before the others. names: all columns of
    such a row. named: makes a named tuple of such a row. own_names, own: the same without the columns that follow from
    others. from_row: makes an item of a row, which may be any object that
    has the columns as attributes; raises Invalid.
    """

    def __init__(
        self, table: str, columns: Iterable[Column], from_row: Callable[..., T], keys: tuple[str, ...] = ()
    ) -> None:
        self.table = table
        self.columns = tuple(columns)
        self.from_row = from_row
        self.in_file = tuple(column for column in self.columns if column.in_file)
        self.in_database = tuple(column for column in self.columns if column.in_database)
        self.names = (*keys, *(column.name for column in self.in_database))
        row_type = namedtuple(f"{table.title()}Row", self.names)  # type: ignore[misc]
        self.named = partial(tuple.__new__, row_type)  # its own _make takes longer, and rows come by the million
        self.own_names = (*keys, *(column.name for column in self.in_database if column.in_file))
        self.own = partial(tuple.__new__, namedtuple(f"{table.title()}Own", self.own_names))
        self._reads = tuple(column.read for column in self.in_database)

    def to_row(self, item: T, *keys: object) -> Any:
        """The row of an item in a database. keys: the values of the entity's keys."""
        return self.named((*keys, *[read(item) for read in self._reads]))

    def faults(self, row: Any) -> dict[str, str]:
        """Each column of a row whose value breaks its rule, with the rule in words."""
        own = (column for column in self.in_database if column.in_file)  # the others follow from them
        return broken_rules({column.name: (column.rule, getattr(row, column.name)) for column in own})


def broken_rules(values: Mapping[str, tuple[Rule, object]]) -> dict[str, str]:
    """Each name whose value breaks its rule, with the rule in words."""
    faults = {}
    for name, (rule, value) in values.items():
        try:
            rule(value)
        except ValueError as error:
            faults[name] = str(error)
    return faults


def _columns(of: type[Checked], *names: str, part: str = "", **options: Any) -> list[Column]:
    """The columns of some fields of a class. part: the field of a device that holds the class, if any."""
    defaults = {each.name: each.default for each in fields(of) if each.default is not MISSING}  # type: ignore[arg-type]
    return [
        Column(
            name=f"{part}_{name}" if part else name,
            field=name,
            read=attrgetter(f"{part}.{name}" if part else name),
            rule=of.RULES[name],
            default=defaults.get(name),
            **options,
        )
        for name in names
    ]


def _joined(name: str) -> Column:
    """A field of the network interfaces of a device, joined by `;`. In a database they have a table of their own."""
    return Column(
        name=f"nic_{name}",
        field="nic",
        read=lambda device: ";".join([getattr(nic, name) for nic in device.nic]),
        rule=Nic.RULES[name],
        in_database=False,
    )


def _one(kind: Callable[..., T], **fields: Any) -> T:
    return kind(**fields)


def _device(row: Any, nics: Iterable[Any], make: Callable[..., Any] = _one) -> Any:
    return make(
        Device,
        id=row.id,
        name=row.name,
        type=row.type,
        hardware=make(Hardware, model=row.hardware_model, sn=row.hardware_sn),
        software=make(Software, version=row.software_version, last_update=row.software_last_update),
        nic=tuple(nics),
        status=row.status,
    )


# What DeviceFilter looks for in any case. A database cannot fold as Python does, so it keeps the folded text too, which
# may have three times as many characters.
_FOLDED_MODEL = Column(
    name="hardware_model_folded",
    field="model",
    read=lambda device: fold(device.hardware.model),
    rule=Hardware.RULES["model"],
    in_file=False,
    longest=3 * Hardware.RULES["model"].max_length,
)
_SEARCH_TEXT = Column(
    name="search_text",
    field="q",
    read=Device.search_text,
    rule=Device.RULES["name"],
    in_file=False,
    longest=1536,
)

DEVICE = Entity[Device](
    "devices",
    [
        *_columns(Device, "id", "name", "type"),
        *_columns(Hardware, "model", part="hardware"),
        _FOLDED_MODEL,
        *_columns(Hardware, "sn", part="hardware"),
        *_columns(Software, "version", "last_update", part="software"),
        *map(_joined, Nic.RULES),
        *_columns(Device, "status"),
        _SEARCH_TEXT,
    ],
    _device,
)

NIC = Entity[Nic](
    "nics",
    _columns(Nic, "type", "mac", "ipv4"),
    lambda row: Nic(row.type, row.mac, row.ipv4),
    keys=("device_id", "position"),
)

NIC_COLUMNS = tuple(f"nic_{column.name}" for column in NIC.columns)  # of a file: each holds a list, joined by `;`

GROUP = Entity[Group](
    "groups",
    _columns(Group, "id", "name", "description"),
    lambda row: Group(row.id, row.name, row.description),
)

MEMBERSHIP = Entity[Membership](
    "memberships",
    _columns(Membership, "device_id", "group_id"),
    lambda row: Membership(row.device_id, row.group_id),
)


def devices_of_columns(columns: Any, nics: Sequence[tuple[Nic, ...]]) -> list[Device]:
    """The devices of cells that are known to keep the rules. columns: has the cells of each column as an attribute."""
    return cast(list[Device], _device(columns, nics, lambda kind, **fields: kind.all_of(**fields)))


ENTITIES: tuple[Entity[Any], ...] = (DEVICE, NIC, GROUP, MEMBERSHIP)  # what a row refers to comes before it


def nic_rows(device: Device) -> list[Any]:
    """The rows of the network interfaces of a device, in their order."""
    return [NIC.to_row(nic, device.id, position) for position, nic in enumerate(device.nic)]


def stored_device(row: Sequence[Any]) -> Device:
    """The device of a row that a store has written, so nothing is checked again. It has the own columns of DEVICE, then
    its network interfaces as JSON: lists of position, type, MAC and IPv4 address, in any order."""
    nics = [Nic.trusted(type=type, mac=mac, ipv4=ipv4) for _, type, mac, ipv4 in sorted(orjson.loads(row[-1] or "[]"))]
    return cast(Device, _device(DEVICE.own(row[:-1]), nics, lambda kind, **fields: kind.trusted(**fields)))


def stored_devices(rows: Sequence[Sequence[Any]]) -> list[Device]:
    """The devices of such rows; each takes a third of the time."""
    if not rows:
        return []
    *columns, lists = zip(*rows, strict=True)
    nics = [sorted(orjson.loads(each or "[]")) for each in lists]
    flat = list(zip(*chain.from_iterable(nics), strict=True)) or [()] * 4
    made = iter(Nic.all_of(type=flat[1], mac=flat[2], ipv4=flat[3]))
    return devices_of_columns(
        SimpleNamespace(**dict(zip(DEVICE.own_names, columns, strict=True))),
        [tuple(islice(made, len(each))) for each in nics],
    )


def stored_group(row: Sequence[Any]) -> Group:
    """The group of a row that a store has written, so nothing is checked again."""
    return Group.trusted(**dict(zip(GROUP.names, row, strict=True)))


def device_of_rows(row: Any, nics: Iterable[Any]) -> Device:
    """Make a device of its row and the rows of its network interfaces. Raises Invalid, which names each column at
    fault, as a file has it."""
    rows = list(nics)
    try:
        return DEVICE.from_row(row, map(NIC.from_row, rows))
    except Invalid as error:
        faults = DEVICE.faults(row)
        for nic in rows:
            faults |= {f"nic_{column}": rule for column, rule in NIC.faults(nic).items()}
        raise Invalid(faults or {"nic_type": "; ".join(error.errors.values())}) from None
