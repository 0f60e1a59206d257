"""What stores in databases do: they refuse in the words of the registry what a database cannot do."""

import resource
import tempfile

import pytest

from devicesvc.dao.base import PageRequest
from devicesvc.dao.sql import pages
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.model import DeviceFilter
from tests.dao.conftest import add
from tests.hard_data import HARD, device


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


@pytest.mark.parametrize("new_store_url", ["sqlite"], indirect=True)
class TestAllDevicesInChunks:
    @pytest.fixture(autouse=True)
    def no_memory(self, monkeypatch):
        monkeypatch.setattr(pages, "IN_MEMORY", 1)

    @pytest.fixture
    def chunks(self, store):
        store.write(lambda tx: tx.devices.put_many(HARD.values()))
        return store.devices.chunks(DeviceFilter(), PageRequest(), 2)

    def test_they_are_read_back_from_a_file_as_they_were(self, store, chunks):
        assert [each for chunk in chunks for each in chunk] == store.devices.list()

    def test_if_no_file_can_be_written_they_are_refused_in_one_sentence(self, chunks, monkeypatch, tmp_path):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
        words = "No temporary file can be written: No such file or directory. Nothing was read."
        with pytest.raises(StoreUnavailable, match=words):
            next(chunks)

    def test_if_the_file_can_hold_no_more_they_are_refused_too(self, chunks):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            with pytest.raises(StoreUnavailable, match="No temporary file can be written: File too large"):
                next(chunks)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
