"""The registry: devices with their NICs, groups, and who is in which."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def text(length: int) -> "sa.types.TypeEngine[str]":
    """Text that is compared by code point, and on MariaDB has a limit."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.String(length), "mysql")


def upgrade() -> None:
    is_mariadb = getattr(op.get_bind().dialect, "is_mariadb", False)
    by_code_point = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"  # of MySQL
    options: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": by_code_point}

    registry = op.create_table(
        "registry",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registry"),
        sa.CheckConstraint("id = 1", name="ck_registry_one_row"),
        **options,
    )
    op.bulk_insert(registry, [{"id": 1, "changes": 0}])

    op.create_table(
        "devices",
        sa.Column("id", text(64), nullable=False),
        sa.Column("name", text(64), nullable=False),
        sa.Column("type", text(32), nullable=False),
        sa.Column("hardware_model", text(64), nullable=False),
        sa.Column("hardware_model_folded", text(192), nullable=False),
        sa.Column("hardware_sn", text(64), nullable=False),
        sa.Column("software_version", text(32), nullable=False),
        sa.Column("software_last_update", text(19), nullable=False),
        sa.Column("status", text(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        **options,
    )
    op.create_index("ix_devices_name", "devices", ["name"])
    op.create_index("ix_devices_hardware_sn", "devices", ["hardware_sn"])
    op.create_index("ix_devices_type", "devices", ["type"])
    op.create_index("ix_devices_status", "devices", ["status"])

    op.create_table(
        "nics",
        sa.Column("device_id", text(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("type", text(32), nullable=False),
        sa.Column("mac", text(17), nullable=False),
        sa.Column("ipv4", text(15), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "position", name="pk_nics"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_nics_device_id", ondelete="CASCADE"),
        **options,
    )
    op.create_index("ix_nics_mac", "nics", ["mac"])
    op.create_index("ix_nics_ipv4", "nics", ["ipv4"])

    op.create_table(
        "groups",
        sa.Column("id", text(64), nullable=False),
        sa.Column("name", text(64), nullable=False),
        sa.Column("description", text(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
        sa.UniqueConstraint("name", name="uq_groups_name"),
        **options,
    )

    op.create_table(
        "memberships",
        sa.Column("device_id", text(64), nullable=False),
        sa.Column("group_id", text(64), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "group_id", name="pk_memberships"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_memberships_device_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_memberships_group_id", ondelete="CASCADE"),
        **options,
    )
    op.create_index("ix_memberships_group_id", "memberships", ["group_id"])


def downgrade() -> None:
    for table in ("memberships", "groups", "nics", "devices", "registry"):
        op.drop_table(table)
