"""Stores: the registry in a file or a database, all behind the contract of `base`."""

from collections.abc import Sequence
from pathlib import Path

from devicesvc.dao import csv_store
from devicesvc.dao.base import Store
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device


def open_store(url: str, first: Sequence[Device] = ()) -> Store:
    """Open the store that url names: the path of a CSV file, which may also be written csv:/// and the path (relative;
    four slashes make it absolute, as in SQLAlchemy's URLs).

    A CSV file that is missing is made, with the devices of `first`. Raises StoreUnavailable with the reason.
    """
    return csv_store.CsvStore(_csv_path(url), first)


def check_store(url: str) -> list[str]:
    """Every fault of the store that url names, by line and column. Raises StoreUnavailable where it cannot be read."""
    return csv_store.check(_csv_path(url))


def _csv_path(url: str) -> Path:
    scheme, colon, rest = url.partition(":///")
    if not colon and "://" not in url:
        return Path(url)
    if scheme == "csv":
        return Path(rest)
    raise StoreUnavailable(f"{url!r} names no store: give the path of a CSV file, such as ./device.csv.")
