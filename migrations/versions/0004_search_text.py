"""The text in which devices are searched for: what people know them by, folded, each field on a line."""

from collections import defaultdict

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ROWS = 1_000  # that are read and changed together

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.String(1536), "mysql")

_NAMES = ("id", "name", "type", "status", "hardware_model", "hardware_sn")
_FIELDS: list[sa.ColumnClause[str]] = [sa.column(name) for name in _NAMES]
_DEVICES = sa.table("devices", *_FIELDS, sa.column("search_text"))
_NICS = sa.table("nics", *map(sa.column, ("device_id", "position", "mac", "ipv4")))
_CHANGED = (
    sa.update(_DEVICES).where(_DEVICES.c.id == sa.bindparam("its_id")).values(search_text=sa.bindparam("its_text"))
)


def upgrade() -> None:
    op.add_column("devices", sa.Column("search_text", TEXT, nullable=False, server_default=""))
    after = ""
    while rows := _devices(after):
        last = rows[-1][0]
        macs, addresses = _nics(after, last)
        texts = {row[0]: "\n".join((*row, *macs[row[0]], *addresses[row[0]])).casefold() for row in rows}
        op.get_bind().execute(_CHANGED, [{"its_id": id, "its_text": text} for id, text in texts.items()])
        after = last


def _devices(after: str) -> list[tuple[str, ...]]:
    query = sa.select(*_FIELDS).where(_DEVICES.c.id > after).order_by(_DEVICES.c.id).limit(ROWS)
    return [tuple(row) for row in op.get_bind().execute(query)]


def _nics(after: str, last: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The MAC addresses and the IPv4 addresses of the devices with these ids, in their order."""
    macs, addresses = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    query = sa.select(_NICS.c.device_id, _NICS.c.mac, _NICS.c.ipv4)
    query = query.where(_NICS.c.device_id > after, _NICS.c.device_id <= last)
    for id, mac, ipv4 in op.get_bind().execute(query.order_by(_NICS.c.device_id, _NICS.c.position)):
        macs[id].append(mac)
        addresses[id].append(ipv4)
    return macs, addresses


def downgrade() -> None:
    op.drop_column("devices", "search_text")
