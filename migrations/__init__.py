"""The schema of the SQL stores, as Alembic's revisions in versions/.

An upgrade or a downgrade is one transaction, and nobody else can begin one in the meantime. So it is done as a whole or
not at all, also if several processes try at once or one is killed. MariaDB, however, commits each table and each index
by itself: there, what failed in the middle is run again, and passes over the steps that are done. To add a revision, in
a checkout: `alembic -c setup.cfg revision --rev-id 0006 -m "what changes"`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from devicesvc.dao.sql import schema
from devicesvc.dao.sql.mariadb import make_engine
from devicesvc.dao.urls import StoreUrl, parse
from devicesvc.errors import StoreUnavailable

WAIT = 30  # seconds for what somebody else does in the database

# MariaDB's numbers for: there is such a table, column, index, row, foreign key; there is none such to drop.
DONE_ALREADY = {1050, 1060, 1061, 1062, 1826, 1051, 1091}


def upgrade(url: str) -> list[str]:
    """Bring the database that url names to the newest revision; an SQLite file that is missing is made.

    Returns the revisions that were applied, the oldest first: none if it was up to date. Raises StoreUnavailable;
    then nothing is changed, or, on MariaDB, it says so.
    """
    return _change(url, lambda config: command.upgrade(config, "head"))


def downgrade(url: str, revision: str) -> list[str]:
    """Take the database that url names back to a revision, or to "base", which has no tables; what is in the tables and
    columns that go is lost.

    Returns the revisions that were taken back, the newest first. Raises StoreUnavailable; then nothing is changed, or,
    on MariaDB, it says so.
    """
    _must_exist(_read(url))
    return _change(url, lambda config: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """The revision of the database that url names; None if it is empty. Raises StoreUnavailable if it cannot be read,
    or is not one of this program's."""
    _must_exist(_read(url))
    with _transaction(_read(url), change=False) as connection:
        return _revision(connection, _read(url).redacted)


def head() -> str:
    """The newest revision."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision
    return revision


def must_be_current(url: str) -> None:
    """Raises StoreUnavailable if the database that url names is not at the newest revision, or cannot be read."""
    if current(url) != head():
        name = _read(url).redacted
        raise StoreUnavailable(f"{name} is not up to date: first run  devicesvc db upgrade {name}")


def _change(url: str, run: Callable[[Config], None]) -> list[str]:
    applied: list[str] = []
    begun = False
    try:
        with _transaction(_read(url), change=True) as connection:
            _revision(connection, _read(url).redacted)
            begun = _commits_each_step(connection)
            run(_config(connection=connection, on_version_apply=lambda step, **_: applied.append(step.up_revision_id)))
    except StoreUnavailable as error:
        if not begun or not isinstance(error.__cause__, DBAPIError):
            raise
        kept = f"revision {', '.join(applied)} and " if applied else ""
        advice = f"MariaDB keeps {kept}each step that was done: run the command again, and it goes on from there."
        raise StoreUnavailable(f"{error} {advice}") from error
    return applied


def _config(**attributes: Any) -> Config:
    """Alembic's settings; env.py finds the attributes."""
    config = Config(attributes=attributes)
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _revision(connection: Connection, where: str) -> str | None:
    revisions = MigrationContext.configure(connection).get_current_heads()
    known = {revision.revision for revision in ScriptDirectory.from_config(_config()).walk_revisions()}
    for revision in revisions:
        if revision not in known:
            raise StoreUnavailable(
                f"{where} is at revision {revision}, which this devicesvc does not know: use the one that made it."
            )
    found = set(inspect(connection).get_table_names())
    tables = found - {"alembic_version"}
    # Alembic makes its own table first.
    is_half_made = _commits_each_step(connection) and tables < found and tables <= {*schema.metadata.tables}
    if tables and not revisions and not is_half_made:
        raise StoreUnavailable(
            f"{where} holds tables of another program, such as {min(tables)}: name a database of devicesvc's own."
        )
    return revisions[0] if revisions else None


def _commits_each_step(connection: Connection) -> bool:
    return connection.dialect.name == "mysql"


@contextmanager
def _transaction(url: StoreUrl, *, change: bool) -> Iterator[Connection]:
    """One transaction; of those that change something there is one at a time. Raises StoreUnavailable in place of what
    SQLAlchemy, Alembic and the database raise."""
    where = url.redacted
    try:
        engine = _ENGINES[url.sql.get_backend_name()](url, change)
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"{where} cannot be opened: {error}.") from error
    try:
        with engine.begin() as connection:
            yield connection
    except (SQLAlchemyError, CommandError, UnicodeError) as error:  # UnicodeError: a host that cannot be one
        done = "changed" if change else "read"
        raise StoreUnavailable(f"{where} cannot be {done}: {_reason(error)}.") from error
    finally:
        engine.dispose()


def _sqlite(url: StoreUrl, change: bool) -> Engine:
    if not os.path.isdir(url.path.parent):
        raise StoreUnavailable(f"{url.redacted} cannot be opened: there is no folder {url.path.parent}.")
    engine = create_engine(url.sql, poolclass=NullPool, connect_args={"timeout": WAIT})

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # Python's sqlite3 would begin only at an INSERT. Foreign keys are off, since nobody asks for them: so that a
        # revision may make a table anew.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if change else "BEGIN")

    return engine


def _postgresql(url: StoreUrl, change: bool) -> Engine:
    settings: dict[str, Any] = {} if "connect_timeout" in url.sql.query else {"connect_timeout": 10}
    settings["client_encoding"] = "utf8"  # else psycopg gives bytes for text if the server has no encoding
    engine = create_engine(url.sql, poolclass=NullPool, isolation_level="READ COMMITTED", connect_args=settings)

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if change:
            connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('devicesvc.migrations'))"))
        encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise StoreUnavailable(
                f"{url.redacted} keeps text as {encoding}, which cannot hold all: make a database with ENCODING 'UTF8'."
            )

    return engine


def _mariadb(url: StoreUrl, change: bool) -> Engine:
    engine = make_engine(url, patience=WAIT, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.execute(text("SELECT JSON_ARRAYAGG(1)"))  # which old servers do not have
        if change and not connection.scalar(text(f"SELECT GET_LOCK(CONCAT('devicesvc.', SHA1(DATABASE())), {WAIT})")):
            raise StoreUnavailable(f"{url.redacted} is being changed by another process: wait until it has ended.")

    if change:

        @event.listens_for(engine, "do_execute")
        def execute(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
            """Run the statement, unless it was done when the same revision failed."""
            try:
                cursor.execute(statement, parameters)
            except engine.dialect.loaded_dbapi.Error as error:
                if error.args[0] not in DONE_ALREADY:
                    raise
            return True

    return engine


_ENGINES = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mariadb}


def _read(url: str) -> StoreUrl:
    read = parse(url)
    if not read.schema():
        raise StoreUnavailable(f"{url} is a CSV file, which has no tables: a database is as in sqlite:///device.db.")
    return read


def _must_exist(url: StoreUrl) -> None:
    if url.kind.name == "sqlite" and not os.path.exists(url.path):
        raise StoreUnavailable(f"{url.redacted} cannot be read: there is no file {url.path}.")


def _reason(error: Exception) -> str:
    """What went wrong, in the words of the database and on one line."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if primary := getattr(getattr(cause, "diag", None), "message_primary", None):
        return str(primary)
    words = str((getattr(cause, "args", None) or (cause,))[-1])  # PyMySQL gives a number before them
    lines = [line for line in words.splitlines() if not line.startswith("\t")]  # \t: libpq's advice
    return lines[-1].removeprefix("- ").rstrip(".") if lines else type(cause).__name__
