"""Revision 0004, on a registry that has devices."""

from importlib import import_module

import pytest
from devicesvc.migrations import downgrade, upgrade

from devicesvc.dao.urls import open_store
from devicesvc.model import DeviceFilter
from tests.hard_data import HARD


@pytest.fixture
def devices():
    """Hard devices, each under an id of its own."""
    return [each.merge({"id": f"hard-{number:02}"}) for number, each in enumerate(HARD.values())]


def test_the_devices_that_are_there_can_be_searched(url, devices, monkeypatch):
    monkeypatch.setattr(import_module("devicesvc.migrations.versions.0004_search_text"), "ROWS", 4)
    upgrade(url)
    with open_store(url, devices):
        pass
    downgrade(url, "0003")
    assert upgrade(url)[0] == "0004"
    with open_store(url) as store:
        for each in devices:
            assert each in store.devices.list(DeviceFilter(q=each.name.upper()))
        with store._reading() as connection:  # type: ignore[attr-defined]
            kept = dict(connection.exec_driver_sql("SELECT id, search_text FROM devices").all())
    assert kept == {each.id: each.search_text() for each in devices}
