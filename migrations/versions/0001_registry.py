"""The registry: devices with their NICs, groups, and who is in which."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    registry = op.create_table(
        "registry",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registry"),
        sa.CheckConstraint("id = 1", name="ck_registry_one_row"),
    )
    op.bulk_insert(registry, [{"id": 1, "changes": 0}])

    op.create_table(
        "devices",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("hardware_model", TEXT, nullable=False),
        sa.Column("hardware_model_folded", TEXT, nullable=False),
        sa.Column("hardware_sn", TEXT, nullable=False),
        sa.Column("software_version", TEXT, nullable=False),
        sa.Column("software_last_update", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
    )
    op.create_index("ix_devices_name", "devices", ["name"])
    op.create_index("ix_devices_hardware_sn", "devices", ["hardware_sn"])
    op.create_index("ix_devices_type", "devices", ["type"])
    op.create_index("ix_devices_status", "devices", ["status"])

    op.create_table(
        "nics",
        sa.Column("device_id", TEXT, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("mac", TEXT, nullable=False),
        sa.Column("ipv4", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "position", name="pk_nics"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_nics_device_id", ondelete="CASCADE"),
    )
    op.create_index("ix_nics_mac", "nics", ["mac"])
    op.create_index("ix_nics_ipv4", "nics", ["ipv4"])

    op.create_table(
        "groups",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
        sa.UniqueConstraint("name", name="uq_groups_name"),
    )

    op.create_table(
        "memberships",
        sa.Column("device_id", TEXT, nullable=False),
        sa.Column("group_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "group_id", name="pk_memberships"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_memberships_device_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_memberships_group_id", ondelete="CASCADE"),
    )
    op.create_index("ix_memberships_group_id", "memberships", ["group_id"])


def downgrade() -> None:
    for table in ("memberships", "groups", "nics", "devices", "registry"):
        op.drop_table(table)
