"""The tables of the SQL stores. Alembic makes them, in migrations/; a test holds the two against each other.

Text is compared and sorted by code point on every database: SQLite does so by itself, PostgreSQL by the collation "C".
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

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


def _text(name: str, *more: ForeignKey) -> "Column[str]":
    return Column(name, TEXT, *more, nullable=False)


# One row, which every change writes: so changes come one after another, and 0 tells a registry that nobody has used.
registry = Table(
    "registry",
    metadata,
    Column("id", Integer, autoincrement=False, nullable=False),
    Column("changes", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    CheckConstraint("id = 1", name="one_row"),
)

devices = Table(
    "devices",
    metadata,
    _text("id"),
    _text("name"),
    _text("type"),
    _text("hardware_model"),
    _text("hardware_model_folded"),  # as DeviceFilter looks for it: in no case
    _text("hardware_sn"),
    _text("software_version"),
    _text("software_last_update"),
    _text("status"),
    PrimaryKeyConstraint("id"),
    Index(None, "name"),
    Index(None, "hardware_sn"),
    Index(None, "type"),
    Index(None, "status"),
)

nics = Table(
    "nics",
    metadata,
    _text("device_id", ForeignKey("devices.id", ondelete="CASCADE")),
    Column("position", Integer, nullable=False),
    _text("type"),
    _text("mac"),
    _text("ipv4"),
    PrimaryKeyConstraint("device_id", "position"),
    Index(None, "mac"),
    Index(None, "ipv4"),
)

groups = Table(
    "groups",
    metadata,
    _text("id"),
    _text("name"),
    _text("description"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("name"),
)

memberships = Table(
    "memberships",
    metadata,
    _text("device_id", ForeignKey("devices.id", ondelete="CASCADE")),
    _text("group_id", ForeignKey("groups.id", ondelete="CASCADE")),
    PrimaryKeyConstraint("device_id", "group_id"),
    Index(None, "group_id"),
)
