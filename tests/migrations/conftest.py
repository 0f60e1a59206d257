"""What the tests of the migrations ask for."""

import pytest
from sqlalchemy import NullPool, create_engine


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request, tmp_path):
    """The URL of an empty database, once for each kind; the SQLite file does not exist."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/device.db"
    return request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param])


@pytest.fixture
def engine(url):
    """SQLAlchemy's engine over the same database, which keeps no connection open."""
    return create_engine(url, poolclass=NullPool)
