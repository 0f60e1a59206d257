"""The URLs of stores, and the kinds of store that there are: a new kind is a package and an entry in KINDS.

What works on a store is named here as `module:object`, and imported when it is first used: so a service on a CSV file
loads no database driver, and this package needs to know neither the migrations nor the mover.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device

if TYPE_CHECKING:
    from sqlalchemy import URL

    from devicesvc.dao.base import Store
    from devicesvc.dao.history import History


@dataclass(frozen=True)
class StoreKind:
    """A kind of store.

    scheme: its URLs begin with it. opened_by: opens a store, given a StoreUrl and the first devices of a new one.
    history_by: opens its history to read. checked_by: names every fault of a store. read_by, written_by: the source and
    the target of a migration. schema_by: the module that makes its tables; empty if it has none. upgraded_at_start:
    whether `serve` upgrades the tables itself, because no other host can be at them. options: those of its URLs that
    are not the driver's.
    """

    name: str
    scheme: str
    opened_by: str
    history_by: str
    checked_by: str
    read_by: str
    written_by: str
    schema_by: str = ""
    upgraded_at_start: bool = False
    options: tuple[str, ...] = ()


KINDS = (
    StoreKind(
        name="csv",
        scheme="csv",
        opened_by="devicesvc.dao.csv.store:CsvStore",
        history_by="devicesvc.dao.csv.history:opened_history",
        checked_by="devicesvc.dao.csv.store:check",
        read_by="devicesvc.transfer.csv_source:CsvSource",
        written_by="devicesvc.transfer.csv_target:CsvTarget",
    ),
    StoreKind(
        name="sqlite",
        scheme="sqlite",
        opened_by="devicesvc.dao.sql.sqlite:SqliteStore",
        history_by="devicesvc.dao.sql.sqlite:opened_history",
        checked_by="devicesvc.dao.sql.store:check",
        read_by="devicesvc.transfer.sql_source:SqliteSource",
        written_by="devicesvc.transfer.sql_target:SqliteTarget",
        schema_by="devicesvc.migrations",
        upgraded_at_start=True,
        options=("journal_mode",),
    ),
    StoreKind(
        name="postgresql",
        scheme="postgresql+psycopg",
        opened_by="devicesvc.dao.sql.postgresql:PostgresqlStore",
        history_by="devicesvc.dao.sql.store:opened_history",
        checked_by="devicesvc.dao.sql.store:check",
        read_by="devicesvc.transfer.sql_source:PostgresSource",
        written_by="devicesvc.transfer.sql_target:PostgresTarget",
        schema_by="devicesvc.migrations",
        options=("retry_seconds",),
    ),
    StoreKind(
        name="mariadb",
        scheme="mysql+pymysql",  # SQLAlchemy takes mariadb+pymysql for MariaDB alone, and this for MySQL too
        opened_by="devicesvc.dao.sql.mariadb:MariadbStore",
        history_by="devicesvc.dao.sql.store:opened_history",
        checked_by="devicesvc.dao.sql.store:check",
        read_by="devicesvc.transfer.mariadb:MariadbSource",
        written_by="devicesvc.transfer.mariadb:MariadbTarget",
        schema_by="devicesvc.migrations",
    ),
)

_SECRETS = ["password", "passwd", "sslpassword", "ssl_key_password"]  # options of URLs

_CSV, *_DATABASES = KINDS  # CSV first; SQLAlchemy reads the URLs of all others


class StoreUrl:
    """The URL of a store, of a kind that there is.

    text: the URL as it was given, with its password.
    """

    def __init__(self, text: str, kind: StoreKind) -> None:
        self.text = text
        self.kind = kind

    @cached_property
    def path(self) -> Path:
        """The file that it names. Not for a store on a server."""
        if self.kind is _CSV:
            return Path(self.text.removeprefix("csv:///"))
        return Path(self.sql.database or "")

    @cached_property
    def sql(self) -> "URL":
        """The URL of a database, as its driver takes it. Raises StoreUnavailable if it cannot be read."""
        return self._given.difference_update_query(self.kind.options)

    def option(self, name: str, default: str) -> str:
        """The value of an option that is not the driver's; if it is given more than once, the last one."""
        return self._given.normalized_query.get(name, (default,))[-1]

    @cached_property
    def _given(self) -> "URL":
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            return make_url(self.text)
        except (ArgumentError, ValueError) as error:  # the text is not shown: any part may be the password
            raise StoreUnavailable("The store's URL cannot be read: it must be as in sqlite:///device.db.") from error

    @property
    def redacted(self) -> str:
        """The URL without its password, also without one among the options: what to call the store in messages."""
        if self.kind is _CSV:
            return self.text
        return self._given.difference_update_query(_SECRETS).render_as_string()

    def open(self, first: Sequence[Device] = ()) -> "Store":
        """As open_store."""
        return cast("Store", resolve_name(self.kind.opened_by)(self, first))

    def history(self) -> "AbstractContextManager[History]":
        """Open the history to read; the store is not changed, not even if it is new. Raises StoreUnavailable."""
        return cast("AbstractContextManager[History]", resolve_name(self.kind.history_by)(self))

    def check(self) -> list[str]:
        """Every fault of the store, by file, line and column; a database has none. Raises StoreUnavailable if it cannot
        be read."""
        return cast(list[str], resolve_name(self.kind.checked_by)(self))

    def schema(self) -> Any:
        """The module devicesvc.migrations, which makes the tables of the store; None if it has none."""
        return resolve_name(self.kind.schema_by) if self.kind.schema_by else None

    def source(self) -> Any:
        """The store as the source of a migration: a transfer.source.Source. Raises StoreUnavailable."""
        return resolve_name(self.kind.read_by)(self)

    def target(self, replace: bool) -> Any:
        """The store as the target of a migration: a transfer.target.Target. replace: whether one that exists may be
        replaced. Raises StoreUnavailable."""
        return resolve_name(self.kind.written_by)(self, replace)


def parse(text: str) -> StoreUrl:
    """Read the URL of a store: sqlite:///PATH, postgresql+psycopg://..., mysql+pymysql://..., or the path of a CSV
    file, which may also be written csv:///PATH (relative; four slashes make it absolute, as in SQLAlchemy's URLs).

    Raises StoreUnavailable if it names no store.
    """
    for kind in _DATABASES:
        if text.startswith(f"{kind.scheme}:"):
            url = StoreUrl(text, kind)
            if kind.name == "sqlite" and url.sql.database in (None, "", ":memory:"):
                raise StoreUnavailable(f"{url.redacted!r} names no file: it must be as in sqlite:///device.db.")
            if kind.name == "sqlite" and url.sql.query:
                raise StoreUnavailable(f"{url.redacted!r} has options: only journal_mode can be one.")
            return _possible(url) if kind.name == "sqlite" else url
    if "://" not in text or text.startswith("csv:///"):
        return _possible(StoreUrl(text, _CSV))
    no_secret = re.sub("//.*@", "//***@", text).partition("?")[0]
    raise StoreUnavailable(
        f"{no_secret!r} names no store: give the path of a CSV file, such as ./device.csv, or sqlite:///device.db,"
        " postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, or mysql+pymysql://USER:PASSWORD@HOST/DATABASE."
    )


def _possible(url: StoreUrl) -> StoreUrl:
    """The URL, if there can be a file of its name. Raises StoreUnavailable."""
    try:
        url.path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # who opens it says what to do
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreUnavailable(f"{url.redacted} cannot be used: {reason}.") from error
    return url


def open_store(url: str, first: Sequence[Device] = ()) -> "Store":
    """Open the store that the URL names, as `parse` reads it.

    A registry that is new gets the devices of `first`: a CSV file that is missing is made; the tables of a database
    must exist, devicesvc.migrations makes them. Raises StoreUnavailable with the reason.
    """
    return parse(url).open(first)
