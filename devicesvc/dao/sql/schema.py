"""The tables of the SQL stores. Alembic makes them, in migrations/; a test compares the two.

Text is compared and sorted by code point on every database: SQLite does so by itself, PostgreSQL by the collation "C",
MariaDB by a collation of each table, which the revisions choose: MySQL calls it otherwise.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from devicesvc.columns import DEVICE, GROUP, MEMBERSHIP, NIC, Entity
from devicesvc.model import Device, Group, Rule

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _text(name: str, length: int, *more: ForeignKey, nullable: bool = False) -> "Column[str]":
    """A column of text. length: in characters; only MariaDB needs to know, which has no index of a text without one."""
    return Column(name, TEXT.with_variant(String(length), "mysql"), *more, nullable=nullable)


def _long_text(name: str) -> "Column[str]":
    return Column(name, TEXT.with_variant(MEDIUMTEXT(), "mysql"), nullable=False)


def _columns(entity: Entity[Any]) -> "list[Column[str]]":
    return [_text(column.name, column.max_length) for column in entity.in_database]


def _reference(name: str, to: str, rule: Rule) -> "Column[str]":
    return _text(name, rule.max_length, ForeignKey(to, ondelete="CASCADE"))


# One row; 0: nobody has used the registry. Except on PostgreSQL, each change writes it: so they come one by one.
registry = Table(
    "registry",
    metadata,
    Column("id", Integer, autoincrement=False, nullable=False),
    Column("changes", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    CheckConstraint("id = 1", name="one_row"),
)

devices = Table(
    DEVICE.table,
    metadata,
    *_columns(DEVICE),
    PrimaryKeyConstraint("id"),
    # A page by any of these is read in the order of an index, which is also that of all devices with one value.
    *(Index(None, column.name, "id") for column in DEVICE.in_database if column.in_file and column.name != "id"),
)

nics = Table(
    NIC.table,
    metadata,
    _reference("device_id", "devices.id", Device.RULES["id"]),
    Column("position", Integer, nullable=False),
    *_columns(NIC),
    PrimaryKeyConstraint("device_id", "position"),
    Index(None, "mac", "device_id"),
    Index(None, "ipv4", "device_id"),
)

groups = Table(
    GROUP.table,
    metadata,
    *_columns(GROUP),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("name"),
)

memberships = Table(
    MEMBERSHIP.table,
    metadata,
    _reference("device_id", "devices.id", Device.RULES["id"]),
    _reference("group_id", "groups.id", Group.RULES["id"]),
    PrimaryKeyConstraint("device_id", "group_id"),
    Index(None, "group_id", "device_id"),
)


def _rows_of(name: str) -> Index:
    """An index that leads to the rows of an item in their order. Only those rows are in it that have one."""
    has_one = text(f"{name} IS NOT NULL")
    return Index(None, name, "number", "position", sqlite_where=has_one, postgresql_where=has_one)


# The history: the columns of its files, whose `change` is called `number` here, and besides: the place of a row in its
# change, and the device and the group that the row is about, if any. PostgreSQL has a sequence with the name `changes`.
history = Table(
    "history",
    metadata,
    Column("number", BigInteger, autoincrement=False, nullable=False),
    Column("position", Integer, nullable=False),
    _text("time", 24),
    _text("who", 64),
    _text("request_id", 128),
    _text("address", 64),
    _text("done", 16),
    _text("kind", 16),
    _text("id", Device.RULES["id"].max_length + 1 + Group.RULES["id"].max_length),
    _text("column", 64),
    _long_text("before"),
    _long_text("after"),
    _text("device_id", Device.RULES["id"].max_length, nullable=True),
    _text("group_id", Group.RULES["id"].max_length, nullable=True),
    PrimaryKeyConstraint("number", "position"),
    _rows_of("device_id"),
    _rows_of("group_id"),
)
