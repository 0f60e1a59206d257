"""What stores in databases do: they refuse in the words of the registry what a database cannot do."""

import pytest

from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from tests.dao.conftest import add
from tests.hard_data import device


@pytest.mark.parametrize("new_store_url", ["sqlite", "mariadb"], indirect=True)
def test_what_the_database_refuses_is_the_outcome_of_all_that_share_the_commit(together, store):
    def broken(tx):
        with tx.devices._source.connect() as connection:
            connection.exec_driver_sql("SELECT * FROM nothing")

    outcomes = together(add(device("1")), broken, lambda tx: tx.devices.list())
    assert all(isinstance(each, StoreUnavailable) for each in outcomes)
    assert "Nothing was changed" in str(outcomes[0])
    assert len(store.devices.list()) == 5
    store.write(add(device("1")))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://me:secret@host/name", "'mysql://***@host/name' names no store"),
        ("postgres://host/name?user=me&password=secret", "'postgres://host/name' names no store"),
        ("postgresql+psycopg://me:secret@host:port/name", "cannot be read"),
        ("postgresql+psycopg:me:secret@host/name", "cannot be read"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/name", "Connection refused"),
        ("postgresql+psycopg://127.0.0.1:1/name?user=me&password=secret", "Connection refused"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/name?no=1", "invalid connection option"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/name?host=a&host=b:1&port=7", "Can't mix"),
        (f"postgresql+psycopg://me:secret@{'h' * 64}/name", "cannot be used"),
        ("mysql+pymysql://me:secret@host", "names no database"),
        ("mysql+pymysql://me:secret@host:port/name", "cannot be read"),
        ("mysql+pymysql://me:secret@127.0.0.1:1/name", "Connection refused"),
        ("mysql+pymysql://127.0.0.1:1/name?user=me&password=secret&ssl_key_password=secret", "Connection refused"),
        ("mysql+pymysql://me:secret@127.0.0.1:1/name?connect_timeout=x", "invalid literal"),
        ("mysql+pymysql://me:secret@127.0.0.1:1/name?no=1", "unexpected keyword argument 'no'"),
        ("mysql+pymysql://me:secret@127.0.0.1:1/name?ssl_ca=/no/such", "No such file"),
        (f"mysql+pymysql://me:secret@{'h' * 64}/name", "cannot be used"),
    ],
)
def test_what_cannot_be_opened_in_one_sentence_without_the_password(url, words):
    with pytest.raises(StoreUnavailable) as refused:
        open_store(url)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
