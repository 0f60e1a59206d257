"""Indexes that end with an id: a page of a list is read in its order, and nothing is sorted."""

from alembic import op

revision = "0003"
down_revision = "0002"

# Each index, by its table and first column. Those of the first kind are there, without the id.
WITHOUT_ID = (
    ("devices", "name", "id"),
    ("devices", "hardware_sn", "id"),
    ("devices", "type", "id"),
    ("devices", "status", "id"),
    ("nics", "mac", "device_id"),
    ("nics", "ipv4", "device_id"),
    ("memberships", "group_id", "device_id"),
)
NEW = (
    ("devices", "hardware_model", "id"),
    ("devices", "software_version", "id"),
    ("devices", "software_last_update", "id"),
)


def upgrade() -> None:
    for table, column, _ in WITHOUT_ID:
        op.drop_index(f"ix_{table}_{column}", table)
    for table, column, id in (*WITHOUT_ID, *NEW):
        op.create_index(f"ix_{table}_{column}", table, [column, id])


def downgrade() -> None:
    for table, column, _ in (*WITHOUT_ID, *NEW):
        op.drop_index(f"ix_{table}_{column}", table)
    for table, column, _ in WITHOUT_ID:
        op.create_index(f"ix_{table}_{column}", table, [column])
