"""The tables that the migrations make are those of dao/sql/schema.py."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import NullPool, Text, create_engine, inspect, make_url, select, text

from devicesvc import migrations
from devicesvc.dao.sql import schema


@pytest.fixture
def connection(url, engine):
    migrations.upgrade(url)
    with engine.connect() as connection:
        yield connection


def options(index):
    return index.get("dialect_options", {}).items()


def described(connection):
    """All that the database knows of each table: columns, keys, checks and indexes, with their names."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": {
                # A default is for the rows that a revision found: each insert of ours gives every column.
                column["name"]: {**column, "type": str(column["type"]), "default": None}
                for column in inspector.get_columns(table)
            },
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": {key["name"]: key for key in inspector.get_foreign_keys(table)},
            "unique": {key["name"]: key for key in inspector.get_unique_constraints(table)},
            "checks": {check["name"]: check for check in inspector.get_check_constraints(table)},
            "indexes": {
                # SQLite's dialect gives a condition as an object, which equals no other.
                index["name"]: index | {"dialect_options": {name: str(value) for name, value in options(index)}}
                for index in inspector.get_indexes(table)
            },
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_alembic_finds_no_difference(connection):
    options = {"compare_type": True}
    assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []


def test_the_database_finds_no_difference_from_tables_made_without_a_migration(connection, request, tmp_path):
    found = described(connection)
    if connection.dialect.name == "sqlite":
        other = f"sqlite:///{tmp_path}/other.db"
    elif connection.dialect.name == "postgresql":
        other = request.getfixturevalue("another_postgres_url")
    else:
        other = request.getfixturevalue("another_mariadb_url")
    with create_engine(other, poolclass=NullPool).begin() as direct:
        schema.metadata.create_all(direct)
        assert found == described(direct)


@pytest.fixture
def another_postgres_url(postgres_server):
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture
def another_mariadb_url(mariadb_server):
    """Its tables compare by code point: the revisions say so of each table, the metadata do not."""
    with mariadb_server.fresh_database() as url:
        [(version,)] = mariadb_server.do("SELECT version()")
        by_code_point = "utf8mb4_nopad_bin" if "MariaDB" in version else "utf8mb4_0900_bin"
        mariadb_server.do(f"ALTER DATABASE {make_url(url).database} COLLATE {by_code_point}")
        yield url


def test_postgresql_compares_every_text_by_code_point(postgres_url):
    migrations.upgrade(postgres_url)
    collations = text(
        "SELECT relname || '.' || attname, collname FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid JOIN pg_collation ON pg_collation.oid = attcollation"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname != 'alembic_version'"
    )
    with create_engine(postgres_url, poolclass=NullPool).connect() as connection:
        found: dict[str, str] = dict(connection.execute(collations).all())
    assert found == dict.fromkeys(texts(), "C")


def texts():
    """The columns of text, as table.column."""
    columns = [column for table in schema.metadata.sorted_tables for column in table.c]
    found = {str(column) for column in columns if isinstance(column.type, Text)}
    assert len(found) >= 18
    return found


def test_mariadb_compares_every_text_by_code_point_with_the_spaces_at_its_end(mariadb_url):
    migrations.upgrade(mariadb_url)
    collations = text(
        "SELECT concat(table_name, '.', column_name), collation_name FROM information_schema.columns"
        " WHERE table_schema = database() AND collation_name IS NOT NULL AND table_name <> 'alembic_version'"
    )
    with create_engine(mariadb_url, poolclass=NullPool).connect() as connection:
        found: dict[str, str] = dict(connection.execute(collations).all())
    assert set(found) == texts()
    assert set(found.values()) in ({"utf8mb4_nopad_bin"}, {"utf8mb4_0900_bin"})


def test_a_new_registry_has_had_no_changes(connection):
    assert connection.execute(select(schema.registry)).all() == [(1, 0)]
