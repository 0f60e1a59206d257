"""The source of a migration, and its targets."""

import pytest
from devicesvc.migrations import upgrade

from devicesvc.dao.urls import KINDS
from tests.transfer.moves import fill


@pytest.fixture
def source(tmp_path):
    return fill(tmp_path / "from")


@pytest.fixture
def database(tmp_path):
    return tmp_path / "device.db"


@pytest.fixture
def url(database):
    return f"sqlite:///{database}"


@pytest.fixture(params=[kind.name for kind in KINDS])
def target(request, tmp_path):
    """The URL of a target, ready to be filled."""
    if request.param in ("postgresql", "mariadb"):
        if "store_url" in request.fixturenames:  # which may be on the same server
            url: str = request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param])
            upgrade(url)
            return url
        registry = {"postgresql": "upgraded_server", "mariadb": "upgraded_mariadb"}[request.param]
        return request.getfixturevalue(registry).emptied()
    return {"csv": str(tmp_path / "to.csv"), "sqlite": f"sqlite:///{tmp_path}/to.db"}[request.param]
