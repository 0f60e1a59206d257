"""PostgreSQL counts changes by a sequence: a row that each change writes would have them wait for each other."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

CHANGES = sa.Sequence("changes")


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(sa.schema.CreateSequence(CHANGES))


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(sa.schema.DropSequence(CHANGES))
