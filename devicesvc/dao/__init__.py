"""Stores: the registry in a file or a database, all behind the contract of `base`."""

from collections.abc import Sequence
from pathlib import Path

from devicesvc.dao.base import Store
from devicesvc.dao.csv_store import CsvStore
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Device


def open_store(url: str, first: Sequence[Device] = ()) -> Store:
    """Open the store that url names: the path of a CSV file, which may also be written csv:/// and the path (relative;
    four slashes make it absolute, as in SQLAlchemy's URLs).

    A CSV file that is missing is made, with the devices of `first`. Raises StoreUnavailable with the reason.
    """
    scheme, colon, rest = url.partition(":///")
    if not colon and "://" not in url:
        return CsvStore(Path(url), first)
    if scheme == "csv":
        return CsvStore(Path(rest), first)
    raise StoreUnavailable(f"{url!r} names no store: give the path of a CSV file, such as ./device.csv.")
