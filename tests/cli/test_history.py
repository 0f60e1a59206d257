"""`devicesvc history`, as a person sees it."""

import json
import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from devicesvc.migrations import upgrade

from devicesvc.cli import main
from devicesvc.dao.urls import open_store
from devicesvc.logs import request_user
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from tests.conftest import served
from tests.hard_data import device

FIRST, SECOND = DEVICES[0].id, DEVICES[1].id


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder in which the commands run, in a zone that is not UTC."""
    monkeypatch.chdir(tmp_path)
    for name in ("DEVICESVC_STORE", "DEVICESVC_URL", "DEVICESVC_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(here):  # noqa: ARG001 - it is where it runs
    return lambda *arguments, **options: CliRunner().invoke(main, ["history", *arguments], **options)


@pytest.fixture
def used(store_url, here):  # noqa: ARG001
    """The URL of a store that has been used: five changes."""
    with open_store(store_url, DEVICES) as store:
        token = request_user.set("teacher")
        store.write(lambda tx: tx.devices.update(FIRST, {"status": "offline", "name": "设备\u202e"}))
        request_user.reset(token)
        store.write(lambda tx: tx.groups.add(Group("a", "alpha")))
        store.write(lambda tx: tx.memberships.add([Membership(FIRST, "a")]))
        store.write(lambda tx: tx.devices.remove([SECOND]))
    return store_url


def changes(ended):
    assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
    return json.loads(ended.stdout)


class TestStore:
    def test_in_a_pipe_it_is_json_the_newest_change_first(self, run, used):
        found = changes(run(used))
        with open_store(used) as store:
            assert [each["number"] for each in found] == [each.number for each in store.history.after(0, 9)][::-1]
        assert [each["who"] for each in found] == ["-", "-", "-", "teacher", "import"]
        assert found[3].keys() == {"number", "time", "who", "request_id", "address", "count", "rows"}
        assert found[3]["rows"][1] == {
            **{"done": "changed", "kind": "device", "id": FIRST, "column": "status"},
            **{"before": "online", "after": "offline"},
        }
        assert len(run(used).stdout.splitlines()) == 5 + 2  # one change a line, in brackets

    def test_a_table_has_a_line_for_each_row(self, run, used, monkeypatch):
        monkeypatch.setenv("TZ", "Asia/Shanghai")
        header, *lines = run(used, "--table").stdout.splitlines()
        assert header.split() == ["NUMBER", "TIME", "WHO", "WHAT", "ID", "CHANGE"]
        told = [re.split("  +", line.strip()) for line in lines]
        assert [line[-3] for line in told[:5]] == [
            *("device deleted", "membership added", "group added", "device changed", "device changed")
        ]
        assert told[3][-1] == f"name: {DEVICES[0].name} -> 设备\\u202e"
        assert lines[4].strip().endswith("status: online -> offline")
        assert len(told[4]) == 3  # the number, the time and the author are on the first line of a change
        assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", told[3][1])

    @pytest.mark.parametrize(
        ("options", "kinds"),
        [
            (["--id", FIRST], ["membership", "device", "device"]),
            (["--group", "a"], ["membership", "group"]),
            (["--who", "teacher"], ["device"]),
            (["--request-id", "none"], []),
            (["--limit", "2"], ["device", "membership"]),
            (["--since", "2000-01-01", "--until", "2001-01-01T00:00Z"], []),
            (["--since", "2000-01-01", "--who", "import"], ["device"]),
            (["--until", "9999-01-01", "--id", SECOND], ["device", "device"]),
        ],
    )
    def test_options_find_changes(self, run, used, options, kinds):
        assert [each["rows"][0]["kind"] for each in changes(run(used, *options))] == kinds

    def test_more_changes_than_are_read_together_are_found(self, run, used, monkeypatch):
        monkeypatch.setattr("devicesvc.cli.history.PAGE", 2)
        assert len(changes(run(used))) == 5
        assert len(changes(run(used, "--limit", "3"))) == 3

    def test_of_a_change_with_many_rows_the_first_are_shown_and_how_many_more_there_are(self, run, used):
        with open_store(used) as store:
            store.write(lambda tx: tx.devices.put_many([device(f"{number:04}") for number in range(1200)]))
        lines = run(used, "--table", "--limit", "1").stdout.splitlines()
        assert (len(lines), lines[-1].strip()) == (102, "and 1,100 rows more")

    def test_nothing_is_changed_not_even_a_database_that_nobody_has_used(self, run, store_url, here):
        if store_url.startswith("/"):
            assert "There is no file" in run(store_url).stderr
            assert os.listdir(here) == []
        else:
            assert changes(run(store_url)) == []
            with open_store(store_url, DEVICES) as store:
                assert len(store.devices.list()) == 5

    def test_a_service_runs_meanwhile(self, run, used):
        with open_store(used) as service:
            service.write(lambda tx: tx.devices.remove([FIRST]))
            assert changes(run(used))[0]["rows"][-1]["id"] == FIRST
            service.write(lambda tx: tx.groups.remove(["a"]))
            assert changes(run(used))[0]["rows"][-1]["id"] == "a"

    def test_an_sqlite_file_keeps_its_journal_mode(self, run, here):
        upgrade("sqlite:///device.db")
        with open_store("sqlite:///device.db", DEVICES) as store:
            store.write(lambda tx: tx.devices.remove([FIRST]))
        wal = subprocess.run(["sqlite3", "device.db", "PRAGMA journal_mode = wal"], capture_output=True, text=True)
        assert wal.stdout == "wal\n"
        assert len(changes(run("sqlite:///device.db"))) == 2
        mode = subprocess.run(["sqlite3", "device.db", "PRAGMA journal_mode"], capture_output=True, text=True)
        assert mode.stdout == "wal\n"
        assert (here / "device.db").exists()

    @pytest.mark.parametrize("time", ["yesterday", "2026-13-01", "", "0001-01-01T00:00+23:00"])
    def test_what_is_no_time_is_refused(self, run, time):
        ended = run("--since", time)
        assert (ended.exit_code, "should be a date or a time, such as 2026-11-24" in ended.stderr) == (2, True)

    @pytest.mark.parametrize("store", ["none.csv", "sqlite:///none.db", "ftp://x"])
    def test_a_store_that_is_not_there_is_told_in_one_sentence(self, run, store, here):
        ended = run(store)
        assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1)
        assert os.listdir(here) == []


class TestService:
    @pytest.fixture
    def service_url(self, used, app_over):

        with open_store(used) as store, served(app_over(store)) as url:
            yield url

    def test_it_says_the_same_as_the_store(self, run, used, service_url):
        for options in ([], ["--id", FIRST], ["--group", "a"], ["--who", "teacher"], ["--limit", "2"], ["--table"]):
            assert run(service_url, *options).stdout == run(used, *options).stdout
        assert changes(run(service_url, "--since", "9998-01-01")) == []

    def test_it_loads_neither_flask_nor_sqlalchemy(self, service_url):
        code = "import sys; from devicesvc.cli import main; main(standalone_mode=False); print(*sys.modules)"
        command = [sys.executable, "-c", code, "history", "--json", service_url]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded = {name.partition(".")[0] for name in ended.stdout.split()}
        assert "requests" in loaded
        assert not loaded & {"alembic", "flask", "gunicorn", "marshmallow", "psycopg", "pymysql", "sqlalchemy"}

    def test_that_nobody_answers_is_one_sentence(self, run, free_port):
        ended = run(f"http://localhost:{free_port}")
        assert (ended.exit_code, ended.stderr) == (
            1,
            f"Error: Nobody answers at http://localhost:{free_port}: Connection refused.\n",
        )


class TestPrune:
    def test_it_says_what_was_deleted_and_what_stays(self, run, used):
        with open_store(used) as store:
            for name in ("one", "two"):
                store.write(lambda tx, name=name: tx.devices.update(FIRST, {"name": name}))  # type: ignore[misc]
        ended = run("prune", used, "--before", "9999-01-01", "--yes")
        assert ended.exit_code == 0, ended.output
        assert re.fullmatch(
            "Deleted 3 rows of before 9999-01-01 00:00:00 from the history of .*\\. Of each device, group and"
            " membership two things stay: that it was added, and its last change\\.\n",
            ended.stdout,
        )
        assert [each["rows"][0]["done"] for each in changes(run(used, "--id", FIRST))] == ["changed", "added", "added"]

    def test_it_asks_and_says_that_it_cannot_be_undone(self, run, used):
        before = changes(run(used))
        ended = run("prune", used, "--before", "9999-01-01", input="n\n")
        assert ended.exit_code == 1
        assert "The others are lost for ever." in ended.stdout
        assert changes(run(used)) == before

    def test_it_needs_a_date_and_a_store_that_is_there(self, run, here):
        assert "Missing option '--before'" in run("prune").stderr
        ended = run("prune", "none.csv", "--before", "2020-01-01", "--yes")
        assert (ended.exit_code, ended.stderr) == (1, "Error: There is no file none.csv.\n")
        assert os.listdir(here) == []

    def test_its_help_says_what_stays(self, run):
        words = run("prune", "--help").stdout
        assert words.startswith("Usage: main history prune [OPTIONS] [STORE]\n")
        assert "This cannot be undone." in words
