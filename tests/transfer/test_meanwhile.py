"""What happens to the source, the target or the process while a migration runs."""

import gc
import os
import sqlite3
import tempfile
import threading
import warnings

import psycopg
import pytest
from devicesvc.migrations import upgrade
from sqlalchemy import make_url

from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.sample import DEVICES
from devicesvc.transfer import csv_source, sql_source
from devicesvc.transfer import mariadb as on_mariadb
from tests.dao.test_postgresql_store import CUT
from tests.hard_data import device
from tests.transfer.moves import ALL, GROUPS, BeforeTheEnd, Meanwhile, everything, fill, go, names


class TestMeanwhile:
    def test_who_reads_a_target_that_is_replaced_finds_what_was_there(self, source, target, tmp_path):
        go(fill(tmp_path / "old", [device("old")], [], []), target)
        seen = []
        with open_store(target) as service:
            read = BeforeTheEnd(lambda: seen.extend(service.devices.list()))
            assert go(source, target, replace=True, watcher=read).done
            assert seen == [device("old")]
            assert {each.id: each for each in service.devices.list()} == ALL[0]

    def test_one_snapshot_of_a_service_that_goes_on_is_taken(self, target, tmp_path):
        """Another store changes the source, as a service does, while it is read."""
        path = str(tmp_path / "device.csv")
        with open_store(path, DEVICES) as service:

            def add(tx):
                tx.devices.add(device("new"))
                tx.groups.add(GROUPS[0])

            result = go(path, target, watcher=Meanwhile(lambda: service.write(add)))
            assert (result.done, result.changed) == (True, True)
            assert everything(target) == ({each.id: each for each in DEVICES}, {}, [])
            service.write(lambda tx: tx.devices.add(device("later")))
            assert len(service.devices.list()) == len(DEVICES) + 2

    def test_a_database_too(self, target, tmp_path, source):
        result = None
        go(source, target)
        with open_store(target) as service:
            add = Meanwhile(lambda: service.write(lambda tx: tx.devices.add(device("new"))))
            result = go(target, f"sqlite:///{tmp_path}/other.db", watcher=add)
        assert (result.done, result.changed) == (True, True)
        assert everything(f"sqlite:///{tmp_path}/other.db") == ALL

    @pytest.mark.parametrize("dry_run", [False, True])
    def test_a_server_that_goes_away(self, source, postgres_url, tmp_path, dry_run):
        def cut():
            plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
            with psycopg.connect(plain) as other:
                other.execute(CUT)

        upgrade(postgres_url)
        go(source, postgres_url)
        with pytest.raises(
            StoreUnavailable, match=r"cannot be read: terminating connection.*\. Nothing was changed\.$"
        ):
            go(postgres_url, tmp_path / "to.csv", watcher=Meanwhile(cut), dry_run=dry_run)
        assert names(tmp_path) == ["from"]

    def test_a_server_that_goes_away_in_the_end(self, source, postgres_url, tmp_path, monkeypatch):
        def gone(_source):
            raise psycopg.OperationalError

        upgrade(postgres_url)
        go(source, postgres_url)
        monkeypatch.setattr(sql_source.PostgresSource, "_changes_now", gone)
        result = go(postgres_url, tmp_path / "to.csv")
        assert (result.done, result.changed) == (True, True)

    def test_the_copy_that_is_read_has_no_name(self, source, url, tmp_path, monkeypatch):
        go(source, url)
        (tmp_path / "tmp").mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
        monkeypatch.setattr(tempfile, "tempdir", None)
        seen = []

        class Copied(sqlite3.Connection):
            def backup(self, *to, **options):
                super().backup(*to, **options)
                seen.append(names(tmp_path / "tmp"))

        monkeypatch.setattr(sql_source, "_read_only", lambda path: sqlite3.connect(path, factory=Copied))
        go(url, tmp_path / "to.csv")
        assert seen == [[]]

    def test_a_source_that_is_damaged(self, tmp_path, url, database, target):
        go(fill(tmp_path / "from", [device(f"d{number}") for number in range(1_000)], [], []), url)
        whole = database.read_bytes()
        rows = len(whole) // 5  # the indexes come after them
        database.write_bytes(whole[:rows] + b"\xff" * 100_000 + whole[rows + 100_000 :])
        with pytest.raises(StoreUnavailable, match=f"^{url} cannot be read: database disk image is malformed"):
            go(url, target)

    def test_a_source_that_nobody_may_write_is_read(self, source, url, tmp_path):
        os.chmod(tmp_path / "from", 0o555)
        try:
            assert go(source, url).done
        finally:
            os.chmod(tmp_path / "from", 0o755)

    def test_ctrl_c_leaves_nothing(self, source, target, tmp_path):
        def interrupt():
            raise KeyboardInterrupt

        before, threads = names(tmp_path), set(threading.enumerate())
        with pytest.raises(KeyboardInterrupt):
            go(source, target, watcher=Meanwhile(interrupt))
        assert names(tmp_path) == before
        assert set(threading.enumerate()) <= threads
        assert go(source, target).done

    def test_ctrl_c_while_it_is_read(self, target, tmp_path, monkeypatch):
        def interrupt(_data):
            raise KeyboardInterrupt

        go(fill(tmp_path / "from", [device(f"d{number}") for number in range(10)], [], []), target)
        for module in (sql_source, on_mariadb):
            monkeypatch.setattr(module, "ROWS", 2)  # so a database is not read to its end yet
        for module in (csv_source, sql_source):
            monkeypatch.setattr(module, "plain", interrupt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()  # what other tests have thrown away
        with pytest.raises(KeyboardInterrupt):
            go(target, tmp_path / "back.csv")
        gc.collect()  # what is thrown away must not complain
        assert "back.csv" not in names(tmp_path)
