"""What a migration does to its target: all, or nothing."""

import fcntl
import os
import signal
import sqlite3
from contextlib import closing

import psycopg
import pytest
from devicesvc.migrations import upgrade
from sqlalchemy import make_url

from devicesvc.dao.urls import open_store, parse
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Group, Membership
from devicesvc.transfer import csv_target, sql_target
from devicesvc.transfer.mariadb import MariadbTarget
from devicesvc.transfer.source import Chunk
from tests.hard_data import device
from tests.transfer.moves import ALL, GROUPS, MEMBERS, SOME, everything, fill, go, go_until, names


class TestTargets:
    def test_a_target_that_exists_is_refused_unless_it_may_be_replaced(self, tmp_path, source, target):
        go(fill(tmp_path / "old", [device("old")], [Group("old", "old")], [Membership("old", "old")]), target)
        before = everything(target)
        with pytest.raises(StoreUnavailable, match="--replace"):
            go(source, target)
        assert everything(target) == before
        assert go(source, target, replace=True).done
        assert everything(target) == ALL

    def test_a_target_that_was_refused_is_free_at_once(self, source, target):
        go(source, target)
        with pytest.raises(StoreUnavailable) as refused:
            go(source, target)
        with open_store(target) as store:
            store.write(lambda tx: tx.groups.create({"name": "free"}))
        del refused  # until now it has kept alive all that the migration left open

    def test_a_dry_run_writes_nothing(self, tmp_path, source, url):
        before = names(tmp_path)
        result = go(source, url, dry_run=True, skip_bad=tmp_path / "rejected.csv")
        assert (result.done, result.rows) == (False, len(SOME) + len(GROUPS) + len(MEMBERS))
        assert names(tmp_path) == before

    def test_a_database_is_durable_as_a_whole_before_it_gets_its_name_and_its_name_after(
        self, monkeypatch, source, url, database, tmp_path
    ):
        steps: list[object] = []
        real_fsync, real_replace = os.fsync, os.replace

        def what(file):
            found = os.stat(file)
            return found.st_ino, found.st_mtime_ns  # the time would be another if it were written to later

        def fsync(file):
            steps.append(("synced", what(file)))
            real_fsync(file)

        def replace(*paths):
            steps.append("named")
            real_replace(*paths)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)
        go(source, url)
        assert steps == [("synced", what(database)), "named", ("synced", what(tmp_path))]

    @pytest.mark.parametrize("name", ["a%20b", "a%41b", "a?b", "a b", "数据"])
    def test_the_folder_may_have_any_name(self, tmp_path, source, monkeypatch, name):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert go(source, "sqlite:///device.db").done
        assert names(tmp_path) == sorted([name, "from"])
        assert names(tmp_path / name) == ["device.db"]
        assert everything("sqlite:///device.db") == ALL

    def test_what_a_killed_run_left_is_swept(self, tmp_path, source, url):
        for name in (".device.db.tmp", ".device.db.tmp-journal", "device.db-journal"):
            (tmp_path / name).write_bytes(b"left")
        go(source, url)
        assert names(tmp_path) == ["device.db", "from"]
        assert everything(url) == ALL

    @pytest.mark.parametrize("renames", range(6))
    @pytest.mark.parametrize("running", [False, True])
    def test_files_that_a_killed_run_was_replacing_are_the_old_ones_or_the_new_ones(
        self, tmp_path, source, renames, running
    ):
        """Killed before each rename: that of the journal, that of the history, and those of three files."""
        path = fill(tmp_path / "to", [device("old")], [Group("old", "old")], [Membership("old", "old")])
        old = everything(path)
        with open_store(path) as store:
            assert go_until(renames, source, path) == (0 if renames == 5 else -signal.SIGKILL)
            faults = parse(path).check()
            assert bool(faults) == (0 < renames < 5)
            assert all("devicesvc migrate was interrupted" in each for each in faults)
            if running:
                store.write(lambda tx: tx.devices.remove(["nothing"]))
        assert everything(path) == (ALL if renames else old)
        assert names(tmp_path / "to") == ["device.csv", "device_group.csv", "group.csv"]
        assert parse(path).check() == []

    def test_groups_of_somebody_else_are_never_written_over(self, tmp_path, source):
        (tmp_path / "to").mkdir()
        (tmp_path / "to/group.csv").write_bytes(b"mine")
        with pytest.raises(StoreUnavailable, match="is there already"):
            go(source, tmp_path / "to/device.csv")
        assert (tmp_path / "to/group.csv").read_bytes() == b"mine"

    def test_two_migrations_at_once(self, source, url):
        with (
            parse(url).target(replace=False),
            pytest.raises(StoreUnavailable, match="by another migration"),
        ):
            go(source, url)

    def test_what_another_migration_has_just_put_in_its_place_is_not_emptied(self, monkeypatch, source, url, database):
        """The other ends between two steps of this one: when its file is open, and not yet locked."""
        lock = fcntl.flock

        def late(handle, how):
            temporary = database.with_name(".device.db.tmp")
            if temporary.exists():
                temporary.write_bytes(b"its work")
                temporary.replace(database)
            lock(handle, how)

        monkeypatch.setattr(fcntl, "flock", late)
        with pytest.raises(StoreUnavailable, match="by another migration"):
            go(source, url)
        assert database.read_bytes() == b"its work"

    def test_a_database_that_is_in_use_is_not_replaced(self, monkeypatch, source, url, database):
        monkeypatch.setattr(sql_target, "PATIENCE", 0.1)
        go(source, url)
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="in use"):
                go(source, url, replace=True)
        assert everything(url) == ALL

    def test_what_is_read_back_must_be_what_was_written(self, monkeypatch, source, target):
        written = sql_target.SqliteTarget.written
        for kind in (sql_target.SqliteTarget, csv_target.CsvTarget, sql_target.PostgresTarget, MariadbTarget):
            read = kind.written

            def damaged(self, read=read):
                for table, rows in read(self):
                    damage = [(*each[:-1], "damaged") for each in rows] if table == "groups" else rows
                    yield Chunk(table, damage)

            monkeypatch.setattr(kind, "written", damaged)
        with pytest.raises(StoreUnavailable, match="rows that differ"):
            go(source, target)
        monkeypatch.undo()
        assert sql_target.SqliteTarget.written is written
        assert go(source, target).done

    def test_a_schema_that_is_not_current(self, source, postgres_url):
        with pytest.raises(StoreUnavailable, match="devicesvc db upgrade"):
            go(source, postgres_url)

    @pytest.mark.parametrize(
        ("from_", "to", "words"),
        [
            ("none.csv", "to.csv", "There is no file"),
            ("from/device.csv", "from/device.csv", "share a file"),
            ("from/device.csv", "from/group.csv", "share a file"),
            ("from/device.csv", "from", "is a folder"),
            ("from/device.csv", "/dev/null", "is not a file"),
            ("from/device.csv", "to.db", "write sqlite:///to.db"),
            ("from/device.csv", "none/to.csv", "there is no folder"),
            ("from/device.csv", "sqlite:///none/to.db", "there is no folder"),
            ("from/device.csv", "sqlite:///from", "is a folder"),
            ("sqlite:///none.db", "to.csv", "there is no file"),
        ],
    )
    @pytest.mark.usefixtures("source")
    def test_what_makes_no_sense_is_refused(self, monkeypatch, tmp_path, from_, to, words):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(StoreUnavailable, match=words):
            go(from_, to)
        assert names(tmp_path) == ["from"]

    @pytest.mark.parametrize("rejected", ["from/device.csv", "from/group.csv", "there", "none/rejected.csv"])
    def test_a_file_for_bad_rows_that_is_something_else(self, tmp_path, source, url, rejected):
        (tmp_path / "there").touch()
        with pytest.raises(StoreUnavailable, match=rejected):
            go(source, url, skip_bad=tmp_path / rejected)


def test_postgresql_knows_at_once_how_many_rows_there_are(source, postgres_url):
    """Else it would read a whole table for one page, until autovacuum comes."""
    upgrade(postgres_url)
    go(source, postgres_url)
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        rows = connection.execute("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'")
        known: dict[str, float] = dict(rows.fetchall())
    assert (known["devices"], known["groups"], known["history"]) == (len(ALL[0]), len(ALL[1]), 1)
