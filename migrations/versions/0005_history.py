"""The history: who changed what, when. It begins with the next change."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "0005"
down_revision = "0004"


def text(length: int) -> "sa.types.TypeEngine[str]":
    """Text that is compared by code point, and on MariaDB has a limit."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.String(length), "mysql")


LONG_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(MEDIUMTEXT(), "mysql")


def upgrade() -> None:
    is_mariadb = getattr(op.get_bind().dialect, "is_mariadb", False)
    by_code_point = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"  # of MySQL
    options: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": by_code_point}

    op.create_table(
        "history",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("time", text(24), nullable=False),
        sa.Column("who", text(64), nullable=False),
        sa.Column("request_id", text(128), nullable=False),
        sa.Column("address", text(64), nullable=False),
        sa.Column("done", text(16), nullable=False),
        sa.Column("kind", text(16), nullable=False),
        sa.Column("id", text(129), nullable=False),
        sa.Column("column", text(64), nullable=False),
        sa.Column("before", LONG_TEXT, nullable=False),
        sa.Column("after", LONG_TEXT, nullable=False),
        sa.Column("device_id", text(64), nullable=True),
        sa.Column("group_id", text(64), nullable=True),
        sa.PrimaryKeyConstraint("number", "position", name="pk_history"),
        **options,
    )
    for name in ("device_id", "group_id"):
        has_one = sa.text(f"{name} IS NOT NULL")
        columns = [name, "number", "position"]
        op.create_index(f"ix_history_{name}", "history", columns, sqlite_where=has_one, postgresql_where=has_one)


def downgrade() -> None:
    op.drop_table("history")
