"""Alembic runs this around the revisions; the connection, and the transaction on it, are those of __init__.py."""

from alembic import context
from alembic.util import CommandError

attributes = context.config.attributes
if "connection" not in attributes:
    raise CommandError("devicesvc db upgrade, downgrade and current do this.")
context.configure(**attributes, render_as_batch=True)
context.run_migrations()
