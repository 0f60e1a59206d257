"""Stores: the registry in a file or a database, all behind the contract of `base`."""

import re
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from devicesvc.dao import csv_store, sql_store
from devicesvc.dao.base import Store
from devicesvc.dao.sql_store import SqlStore
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device

DATABASES = ("sqlite", "postgresql+psycopg")


def open_store(url: str, first: Sequence[Device] = ()) -> Store:
    """Open the store that url names: sqlite:///PATH, postgresql+psycopg://..., or the path of a CSV file, which may
    also be written csv:///PATH (relative; four slashes make it absolute, as in SQLAlchemy's URLs).

    A registry that is new gets the devices of `first`: a CSV file that is missing is made; the tables of a database
    must be there, devicesvc.migrations makes them. Raises StoreUnavailable with the reason.
    """
    if (database := database_url(url)) is not None:
        return SqlStore(database, first)
    return csv_store.CsvStore(csv_path(url), first)


def check_store(url: str) -> list[str]:
    """Every fault of the CSV store that url names, by file, line and column; a database has none. Raises
    StoreUnavailable where it cannot be read."""
    if (database := database_url(url)) is not None:
        SqlStore(database).close()
        return []
    return csv_store.check(csv_path(url))


def database_url(url: str) -> URL | None:
    """The URL of a database; None for any other store. Raises StoreUnavailable where it is malformed."""
    if not url.startswith(tuple(f"{name}:" for name in DATABASES)):
        return None
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # not shown: nobody knows which part is the password
        raise StoreUnavailable("The store's URL cannot be read: it must be as in sqlite:///device.db.") from error


def shown(url: str) -> str:
    """What to call the store that url names: without a password. Raises StoreUnavailable where it is malformed."""
    database = database_url(url)
    return url if database is None else sql_store.shown(database)


def csv_path(url: str) -> Path:
    """The path of the CSV file that url names. Raises StoreUnavailable where it names none."""
    scheme, colon, rest = url.partition(":///")
    if not colon and "://" not in url:
        return Path(url)
    if scheme == "csv":
        return Path(rest)
    no_secret = re.sub("//.*@", "//***@", url.partition("?")[0])
    raise StoreUnavailable(
        f"{no_secret!r} names no store: give the path of a CSV file, such as ./device.csv, or sqlite:///device.db, or"
        " postgresql+psycopg://USER:PASSWORD@HOST/DATABASE."
    )
