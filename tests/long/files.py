"""Registries in files, made and read by a store, so that the tests here know no file format."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from devicesvc.dao.urls import open_store
from devicesvc.model import Device


def make(path: Path, devices: Iterable[Device]) -> None:
    open_store(str(path), list(devices)).close()


def read(path: Path) -> dict[str, Device]:
    """Return the devices of the file, by id. Raises StoreUnavailable if it breaks a rule.

    A copy is read, because opening a store tidies up what a crash has left beside the file.
    """
    with TemporaryDirectory() as folder, open_store(shutil.copy(path, folder)) as store:
        return {device.id: device for device in store.devices.list()}
