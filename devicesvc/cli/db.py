"""devicesvc db"""

from typing import Any

import click

from devicesvc.cli.common import one_sentence, store_argument
from devicesvc.dao.urls import parse


@click.group()
def db() -> None:
    """The tables of a database: make, upgrade and show them.

    STORE is sqlite:///device.db, sqlite:////an/absolute/path.db, postgresql+psycopg://user:password@host/name or
    mysql+pymysql://user:password@host/name.

    Without STORE: the value of DEVICESVC_STORE in the environment.
    """


@db.command("upgrade")
@store_argument
def upgrade_db(store: str) -> None:
    """Make the tables in STORE, or bring them to the newest revision. For SQLite, serve does this itself."""
    with one_sentence():
        click.echo(upgrade(store))


@db.command("downgrade")
@store_argument
@click.option("--to", "revision", metavar="REVISION", required=True, help='Such as 0001, or "base" for no tables.')
@click.confirmation_option(prompt="Some tables or columns are removed, and their data is lost. Continue?")
def downgrade_db(store: str, revision: str) -> None:
    """Change the tables in STORE to those of an earlier revision."""
    with one_sentence():
        schema, where = _schema(store), parse(store).redacted
        undone = schema.downgrade(store, revision)
    click.echo(f"Downgraded {where}: without {', '.join(undone)}." if undone else f"{where} is at {revision} already.")


@db.command("current")
@store_argument
def current_db(store: str) -> None:
    """Show the revision of the tables in STORE. Nothing is changed."""
    with one_sentence():
        schema, where = _schema(store), parse(store).redacted
        current, head = schema.current(store), schema.head()
    if current == head:
        click.echo(f"{where} is up to date ({head}).")
    else:
        at = f"is at {current}" if current else "has no tables"
        click.echo(f"{where} {at}: devicesvc db upgrade brings it to {head}.")


def _schema(store: str) -> Any:
    """The module devicesvc.migrations. If the store is a CSV file, end the command with one sentence."""
    schema = parse(store).schema()
    if not schema:
        click.echo(f"{store} is a CSV file, which has no tables and needs no upgrade.")
        click.get_current_context().exit()
    return schema


def upgrade(store: str) -> str:
    """Upgrade the database, and return a sentence that says what was done."""
    schema, where = _schema(store), parse(store).redacted
    if applied := schema.upgrade(store):
        return f"Upgraded {where}: {', '.join(applied)}."
    return f"{where} is up to date ({schema.head()})."
