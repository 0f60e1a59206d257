"""The history moves along with a registry, from each kind of store to each other."""

import gzip
import os
import signal
import sqlite3
from contextlib import closing

import pytest
from devicesvc.migrations import upgrade
from sqlalchemy import make_url
from sqlalchemy.dialects import mysql

from devicesvc.csv_codec.history import HEADER, encode
from devicesvc.dao.history import Row, now
from devicesvc.dao.sql import schema
from devicesvc.dao.urls import open_store, parse
from devicesvc.errors import StoreUnavailable
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from devicesvc.transfer import csv_target, history, sql_target
from devicesvc.transfer.backup import verified
from devicesvc.transfer.mariadb import MariadbTarget
from devicesvc.transfer.source import Chunk
from tests.hard_data import HARD, HARD_GROUPS, device
from tests.transfer.moves import BeforeTheEnd, everything, fill, go, go_until
from tests.transfer.test_backup import saved

FIRST = DEVICES[0].id
MANY = 250  # rows of a change that a list of changes does not show all of


def live(store_url):
    """Make a registry that has been used: items of all kinds were added, changed and deleted, in six changes."""

    def add(tx):
        tx.devices.put_many([*HARD.values(), *(device(f"{number:04}") for number in range(MANY))])
        for number, each in enumerate(HARD_GROUPS.values()):
            tx.groups.put(each.merge({"id": f"g{number}", "name": f"{number}{each.name}"[:64]}))
        tx.memberships.add([Membership(FIRST, "g0"), Membership(FIRST, "g1"), Membership("0001", "g1")])

    with open_store(store_url, DEVICES) as store:
        store.write(add)
        store.write(lambda tx: [tx.devices.update(each.id, {"name": "x", "nic": []}) for each in HARD.values()])
        store.write(lambda tx: tx.devices.update(FIRST, {"name": "second"}))
        store.write(lambda tx: tx.devices.remove([each.id for each in HARD.values()]))
        store.write(lambda tx: tx.groups.remove(["g1"]))


def told(store_url):
    """All rows of the history of a store, in their order."""
    with open_store(store_url) as store:
        return all_rows(store)


def all_rows(store):
    changes = store.history.after(0, 100_000)
    return [row for each in changes for row in store.history.get(each.number).rows]


def without_times(rows):
    return [row._replace(time="") for row in rows]


def new_end(rows, before):
    """The row that the migration has added to what was there before."""
    assert without_times(rows[:-1]) == without_times(before)
    return rows[-1]


class TestAllDirections:
    def test_it_moves_along_row_by_row_and_says_at_its_end_that_it_has_moved(self, store_url, target):
        live(store_url)
        before, items = told(store_url), everything(store_url)
        assert len(before) > MANY + 2 * len({each.id for each in HARD.values()})
        assert go(store_url, target).done
        assert everything(target) == items
        end = new_end(told(target), before)
        assert end[2:] == ("migrate", "", "", "replaced", "registry", "", "", parse(store_url).redacted, "")
        assert end.change > before[-1].change
        assert end.time >= before[-1].time
        assert told(store_url) == before
        with open_store(target) as store:
            store.write(lambda tx: tx.devices.update(FIRST, {"name": "later"}))
            assert all_rows(store)[-1].change > end.change
            first = next(each for each in before if each.id == FIRST)
            assert store.history.as_of("device", FIRST, store.devices.find(FIRST), first.time) == DEVICES[0]

    def test_there_and_back_it_is_the_same(self, store_url, target, tmp_path):
        live(store_url)
        before = told(store_url)
        go(store_url, target)
        back = str(tmp_path / "back.csv")
        go(target, back)
        assert without_times(told(back)[:-2]) == without_times(before)

    def test_a_source_without_history_gives_none(self, target, tmp_path):
        go(fill(tmp_path / "from"), target)
        [row] = told(target)
        told_of = row.done, row.kind, row.before
        assert told_of == ("replaced", "registry", str(tmp_path / "from/device.csv"))


@pytest.fixture
def used(tmp_path):
    """A CSV registry that has been used."""
    (tmp_path / "from").mkdir()
    path = tmp_path / "from/device.csv"
    live(str(path))
    return path


@pytest.fixture
def url(tmp_path):
    """A database to be made."""
    return f"sqlite:///{tmp_path}/to.db"


@pytest.fixture
def month(used):
    """The file of its history."""
    [path] = used.parent.glob("history-*.csv")
    return path


def row(change, time="2025-02-03T04:05:06.789Z", **cells):
    """A line of a history."""
    plain = Row(change, time, "a", "", "", "changed", "device", FIRST, "name", "1", "2")
    return encode(plain._replace(**cells))


class TestFiles:
    def test_between_files_they_are_copied_byte_by_byte_also_those_that_are_compressed(self, used, month, tmp_path):
        with gzip.open(used.parent / "history-2024-01.csv.gz", "wb") as packed:
            packed.write(HEADER + b"this is not a row\n" + row(1))
        (used.parent / "history-2025-02.csv").write_bytes(HEADER + row(2) + b"\n\xff\n")
        (used.parent / "fleet.history-2025-02.csv").write_bytes(b"of another registry")
        there = tmp_path / "to"
        there.mkdir()
        assert go(used, there / "fleet.csv").history["files"] == 3
        copied = {each.name: each.read_bytes() for each in used.parent.glob("history-*")}
        made = {each.name.removeprefix("fleet."): each.read_bytes() for each in there.glob("*history-*")}
        assert made.keys() == copied.keys()
        whole, grown = copied.pop(month.name), made.pop(month.name)
        assert made == copied
        assert grown.startswith(whole)
        end = grown.removeprefix(whole)
        assert end.count(b"\n") == 1
        assert f",migrate,,,replaced,registry,,,{used},".encode() in end

    def test_a_registry_of_any_name_has_its_files(self, used, tmp_path):
        for name in ("fleet", "a.b"):
            go(used, tmp_path / name)
            assert told(str(tmp_path / name))[:-1] == told(str(used))

    def test_of_a_last_month_that_is_compressed_the_next_row_is_in_a_file_beside_it(self, used, month, tmp_path):
        before = told(str(used))
        packed = month.with_name(f"{month.name}.gz")
        packed.write_bytes(gzip.compress(month.read_bytes()))
        month.unlink()
        go(used, tmp_path / "device.csv")
        assert (tmp_path / packed.name).read_bytes() == packed.read_bytes()
        assert new_end(told(str(tmp_path / "device.csv")), before)

    def test_a_last_line_that_a_crash_has_torn_spoils_no_row_after_it(self, used, month, tmp_path):
        before = told(str(used))
        with month.open("ab") as file:
            file.write(b'999,2999-01-01T00:00:00.000Z,-,,,deleted,device,1,,"1,na')
        go(used, tmp_path / "device.csv")
        assert new_end(told(str(tmp_path / "device.csv")), before)
        assert (tmp_path / month.name).read_bytes().startswith(month.read_bytes())

    def test_rows_that_were_taken_back_do_not_go_into_a_database(self, used, month, url):
        before = told(str(used))
        lost = row(before[-1].change + 1, "2999-01-01T00:00:00.000Z")
        with month.open("ab") as file:
            file.write(lost + lost.replace(b"changed", b"not kept"))
        go(used, url)
        assert new_end(told(url), before)

    @pytest.mark.parametrize("to_files", [False, True])
    def test_nor_does_what_a_crash_has_kept_from_the_files(self, used, month, tmp_path, url, to_files):
        before = told(str(used))
        time = now(before[-1].time)
        with month.open("ab") as file:
            file.write(row(999, time, before="second", after="third"))
            file.write(row(999, time, id="new", column="", done="added", before="", after="x"))
        whole = month.read_bytes()
        to = str(tmp_path / "device.csv") if to_files else url
        go(used, to)
        assert new_end(told(to), before).change == 1000
        assert month.read_bytes() == whole

    def test_but_a_last_commit_that_is_in_the_files_goes_along_also_if_the_lock_file_is_gone(self, used, url):
        before = told(str(used))
        (used.parent / ".device.csv.lock").unlink()
        go(used, url)
        assert new_end(told(url), before)

    def test_broken_lines_stop_nothing_and_are_named(self, used, month, url, tmp_path):
        before = told(str(used))
        a_month = row(9999).replace(b"2025-02-03T", b"2025-13-03T")
        bad = [b"nonsense\n", a_month, b"\xff\n", row(0), row(1, who="x" * 65)]
        good, lines = month.read_bytes(), len(month.read_bytes().splitlines())
        month.write_bytes(good + b"".join(bad))
        (month.parent / "history-2020-01.csv.gz").write_bytes(gzip.compress(HEADER + row(1) * 9)[:-9])
        result = go(used, url, skip_bad=tmp_path / "rejected.csv")
        assert (result.done, result.rejected, result.skipped) == (True, 0, len(bad) + 1)
        assert [each.line for each in result.first_skipped[1:]] == [lines + 1 + place for place in range(len(bad))]
        assert str(result.first_skipped[1]) == f"{month}, line {lines + 1} is not a row of the history"
        assert "history-2020-01.csv.gz" in result.first_skipped[0].source
        assert len((tmp_path / "rejected.csv").read_text("utf-8").splitlines()) == len(bad) + 2
        assert without_times(told(url)[-1 - len(before) : -1]) == without_times(before)

    def test_a_row_whose_number_is_less_than_that_before_it_is_left_out(self, used, month, url):
        with month.open("ab") as file:
            file.write(row(1, "2999-01-01T00:00:00.000Z"))
        [bad] = go(used, url).first_skipped
        assert "column change: must not be less than 6" in bad.reason


class TestDatabases:
    def test_a_row_that_somebody_broke_is_left_out(self, used, url, tmp_path):
        go(used, url)
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
            database.execute("UPDATE history SET before = 'a' || char(10) || 'b' WHERE number = 4")
        result = go(url, tmp_path / "device.csv")
        assert (result.done, result.skipped) == (True, 1)
        assert "table history, row 4, column before: must be text on one line" in str(result.first_skipped[0])

    def test_in_files_no_time_is_before_that_of_the_row_above(self, used, url, tmp_path):
        go(used, url)
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
            database.execute("UPDATE history SET time = '2030-01-01T00:00:00.000Z' WHERE number = 2")
        go(url, tmp_path / "device.csv")
        times = [each.time for each in told(str(tmp_path / "device.csv"))]
        assert times == sorted(times)
        assert times[-1] >= "2030"

    def test_what_a_database_takes_is_what_its_table_has(self):
        columns = {each.name: each.type.dialect_impl(mysql.dialect()) for each in schema.history.c}
        assert {name: vars(columns[name])["length"] for name in history.LONGEST} == history.LONGEST


class TestNumbers:
    def test_they_go_on_after_those_of_what_is_replaced(self, used, target, tmp_path):
        go(fill(tmp_path / "other", [], [], []), target)
        with open_store(target) as store:
            for number in range(20):
                store.write(lambda tx, number=number: tx.groups.put(Group("g", f"{number}")))  # type: ignore[misc]
            last = store.history.last()
        assert go(used, target, replace=True).done
        end = new_end(told(target), told(str(used)))
        assert end.change > last

    def test_nor_do_they_go_back_if_a_service_goes_on_until_the_end(self, used, url):
        go(used, url)
        with open_store(url) as service:

            def go_on():
                for number in range(3):
                    service.write(lambda tx, number=number: tx.groups.put(Group("late", f"{number}")))  # type: ignore[misc]

            go(used, url, replace=True, watcher=BeforeTheEnd(go_on))
            end = new_end(all_rows(service), told(str(used)))
        assert end.change == 11


class TestReplacing:
    def test_a_history_without_a_registry_is_not_mixed_with_another(self, used, month, tmp_path):
        (tmp_path / month.name).write_bytes(month.read_bytes())
        with pytest.raises(StoreUnavailable, match=f"{month.name} is there already"):
            go(used, tmp_path / "device.csv")

    def test_months_that_the_source_does_not_have_are_gone(self, used, tmp_path):
        (tmp_path / "history-2020-01.csv").write_bytes(HEADER + row(7))
        (tmp_path / "history-2020-02.csv.gz").write_bytes(gzip.compress(HEADER + row(8)))
        go(used, tmp_path / "device.csv", replace=True)
        assert not list(tmp_path.glob("history-2020*"))

    @pytest.mark.parametrize("steps", range(6))
    def test_a_kill_leaves_the_old_history_with_the_old_files_or_the_new_with_the_new(self, used, tmp_path, steps):
        """Killed before each rename and each deletion: of the journal, two months, and three files."""
        path = str(tmp_path / "device.csv")
        with open_store(path) as store:
            store.write(lambda tx: (tx.devices.add(device("old")), tx.groups.add(Group("old", "old"))))  # type: ignore[func-returns-value]
        (tmp_path / "history-2020-01.csv").write_bytes(HEADER + row(1))
        old, new = (told(path), everything(path)), (told(str(used)), everything(str(used)))
        assert go_until(steps, used, path) == (0 if steps == 5 else -signal.SIGKILL)
        found = told(path), everything(path)
        assert found == old if steps == 0 else (found[0][:-1], found[1]) == new
        left = [name for name in os.listdir(tmp_path) if name.endswith((".tmp", ".journal"))]
        assert left == []
        assert (tmp_path / "history-2020-01.csv").exists() == (steps == 0)

    def test_what_is_read_back_must_be_what_was_written(self, used, target, monkeypatch):
        for kind in (sql_target.SqliteTarget, csv_target.CsvTarget, sql_target.PostgresTarget, MariadbTarget):

            def damaged(self, read=kind.written):
                for table, rows in read(self):
                    is_history = table in history.OF_HISTORY
                    yield Chunk(table, [(*each[:-1], b"damaged") for each in rows] if is_history else rows)

            monkeypatch.setattr(kind, "written", damaged)
        with pytest.raises(StoreUnavailable, match="rows that differ"):
            go(used, target)

    def test_no_password_is_in_it(self, postgres_url, tmp_path):
        upgrade(postgres_url)
        secret = make_url(postgres_url).set(password="secret").render_as_string(hide_password=False)
        go(secret, tmp_path / "device.csv")
        [row] = told(str(tmp_path / "device.csv"))
        assert "secret" not in row.before
        assert "***" in row.before


class TestBackups:
    def test_a_backup_holds_the_history_as_it_is_and_a_restore_brings_it_back(self, used, month, store_url, tmp_path):
        backup = saved(str(used), tmp_path / "backups")[0]
        assert (backup / month.name).read_bytes() == month.read_bytes()
        assert month.name in (backup / "SHA256SUMS").read_text()
        go(verified(backup), store_url, replace=True, who="restore")
        end = new_end(told(store_url), told(str(used)))
        assert (end.who, end.before) == ("restore", str(backup / "device.csv"))

    def test_a_backup_of_a_database_too(self, store_url, tmp_path):
        live(store_url)
        before = told(store_url)
        backup = saved(store_url, tmp_path / "backups")[0]
        assert without_times(told(verified(backup))) == without_times(before)

    def test_a_month_that_is_not_as_it_was_written_is_refused(self, used, month, tmp_path):
        backup = saved(str(used), tmp_path / "backups")[0]
        (backup / month.name).write_bytes(month.read_bytes()[:-1])
        with pytest.raises(StoreUnavailable, match=f"{month.name} is not as it was written"):
            verified(backup)

    def test_an_open_store_takes_a_restore_for_no_edit_by_hand(self, used, tmp_path):
        path = str(used)
        backup = saved(path, tmp_path / "backups")[0]
        before = told(path)
        with open_store(path) as service:
            service.write(lambda tx: tx.devices.put_many([device("later")]))
            go(verified(backup), path, replace=True, who="restore")
            assert service.devices.find("later") is None
            service.write(lambda tx: tx.devices.put_many([device("last")]))
            *found, restored, last = all_rows(service)
        assert found == before
        assert (restored.who, last.id) == ("restore", "last")
        assert last.change > restored.change > before[-1].change + 1
