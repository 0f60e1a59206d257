"""What the tests of the migrations ask for."""

import pytest
from sqlalchemy import NullPool, create_engine


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The URL of an empty database, once for each kind; the SQLite file does not exist."""
    return f"sqlite:///{tmp_path}/device.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def engine(url):
    """SQLAlchemy's engine over the same database, which keeps no connection open."""
    return create_engine(url, poolclass=NullPool)
