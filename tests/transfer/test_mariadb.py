"""What only a migration from or to MariaDB does."""

import pytest

from devicesvc.dao.urls import parse
from devicesvc.errors import StoreUnavailable
from devicesvc.transfer import mariadb as on_mariadb
from devicesvc.transfer.mariadb import MariadbTarget
from tests.transfer.moves import ALL, BeforeTheEnd, Meanwhile, everything, go, names


@pytest.fixture
def url(upgraded_mariadb):
    return upgraded_mariadb.emptied()


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_table_is_read_in_pieces_of_any_size(source, url, tmp_path, monkeypatch, rows):
    monkeypatch.setattr(on_mariadb, "ROWS", rows)
    assert go(source, url).done
    assert go(url, tmp_path / "to.csv").done
    assert everything(str(tmp_path / "to.csv")) == ALL


def test_a_server_that_goes_away_while_it_is_read(source, url, tmp_path, mariadb_server):
    go(source, url)
    with pytest.raises(StoreUnavailable, match=r"cannot be read: .*\. Nothing was changed\.$"):
        go(url, tmp_path / "to.csv", watcher=Meanwhile(lambda: mariadb_server.cut(url)))
    assert names(tmp_path) == ["from"]


def test_a_server_that_goes_away_while_it_is_written(source, url, mariadb_server):
    with pytest.raises(StoreUnavailable, match=r"cannot be written: .*\. Nothing was changed\.$"):
        go(source, url, watcher=BeforeTheEnd(lambda: mariadb_server.cut(url)))
    assert everything(url) == ({}, {}, [])


def test_a_commit_that_is_cut_says_that_the_outcome_is_unknown(source, url, mariadb_server, monkeypatch):
    publish = MariadbTarget.publish

    def cut(target):
        mariadb_server.cut(url)
        publish(target)

    monkeypatch.setattr(MariadbTarget, "publish", cut)
    with pytest.raises(StoreUnavailable, match=r"The outcome is unknown: run it again with --replace\.$"):
        go(source, url)
    monkeypatch.undo()
    assert go(source, url, replace=True).done
    assert everything(url) == ALL


def test_a_registry_that_somebody_keeps_is_not_waited_for_for_ever(source, url, monkeypatch):
    monkeypatch.setattr(on_mariadb, "PATIENCE", 1)
    with on_mariadb.connected(parse(url), read_only=False) as other, other.cursor() as cursor:
        cursor.execute("UPDATE registry SET changes = 1")
        with pytest.raises(StoreUnavailable, match=r"cannot be written: Lock wait timeout .*\. Nothing was changed\.$"):
            go(source, url)
