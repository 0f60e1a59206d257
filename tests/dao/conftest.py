"""What the tests of the CSV store ask for."""

import pytest

from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES


@pytest.fixture
def path(tmp_path):
    return tmp_path / "device.csv"


@pytest.fixture
def csv_store(path):
    """An open store in `path`, with the five sample devices."""
    with open_store(str(path), DEVICES) as store:
        yield store
