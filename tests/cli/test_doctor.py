"""`devicesvc doctor`."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from devicesvc.migrations import downgrade, upgrade

from devicesvc import doctor as checks
from devicesvc.cli import main
from devicesvc.dao.urls import open_store, parse
from devicesvc.sample import DEVICES
from devicesvc.tokens import create
from tests.conftest import ROOT, served
from tests.hard_data import content

HOLD = (
    "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); input()"
)
WRITE = (
    "import sqlite3, sys; file = sqlite3.connect(sys.argv[1], isolation_level=None); file.execute('BEGIN IMMEDIATE');"
    "print('held', flush=True); input()"
)


@pytest.fixture
def doctor(tmp_path, monkeypatch, free_port):
    """Run the command, and return the lines of the checks that fail and of the others: each a name and a sentence."""
    for name in ("DEVICESVC_STORE", "DEVICESVC_TOKENS_FILE", "TZ"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def doctor(*arguments, **env):
        before = tree(tmp_path)
        ended = CliRunner().invoke(main, ["doctor", *arguments, "--port", str(free_port)], env=env)
        assert not ended.exception or isinstance(ended.exception, SystemExit), ended.exception
        assert tree(tmp_path) == before  # nothing is ever changed
        found = [re.fullmatch(r"(ok  |FAIL)  (.{9})  (\S.*)", line).groups() for line in ended.stdout.splitlines()]  # type: ignore[union-attr]
        failed = [(name.strip(), words) for mark, name, words in found if mark == "FAIL"]
        assert ended.exit_code == bool(failed)
        assert ended.stderr == (f"Error: {len(failed)} of {len(found)} checks failed.\n" if failed else "")
        return failed, [(name.strip(), words) for mark, name, words in found if mark == "ok  "]

    return doctor


def tree(folder):
    return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in folder.rglob("*")}


def test_on_each_store_all_is_well(doctor, store_url):
    open_store(store_url, DEVICES).close()
    failed, fine = doctor(store_url)
    assert failed == []
    names = [name for name, _ in fine]
    assert names[:5] == ["python", "time zone", "tokens", "port", "store"]
    if ":" in store_url and not store_url.startswith("sqlite"):
        assert names[5:] == ["database", "history"]
    else:
        assert set(names[5:]) >= {"folder", "disk", "lock"}
        assert next(words for name, words in fine if name == "lock").endswith(" is held by no one.")
    assert re.fullmatch(r"It is complete, and takes [\d.]+ (bytes|KB|MB)\.", dict(fine)["history"])
    if ":" in store_url:
        assert "is up to date (" in dict(fine)["database"]


@pytest.mark.parametrize("store", ["device.csv", "sqlite:///device.db"])
def test_before_the_first_start_all_is_well_and_nothing_is_made(doctor, store, tmp_path):
    failed, fine = doctor(store)
    assert failed == []
    assert any("yet: serve makes it" in words for _, words in fine)
    assert not list(tmp_path.iterdir())


def test_a_line_of_the_history_that_is_not_a_row_of_it_is_a_fault(doctor, tmp_path):
    open_store("device.csv", DEVICES).close()
    [month] = tmp_path.glob("history-*.csv")
    with month.open("a") as file:
        file.write("nonsense\n")
    lines = len(month.read_bytes().splitlines())
    failed, fine = doctor()
    assert failed == [("file", f"{month}, line {lines} is not a row of the history. Mend it in an editor.")]
    assert "history" not in dict(fine)


def test_each_fault_of_a_file_is_a_line(doctor, tmp_path):
    (tmp_path / "device.csv").write_bytes(content(DEVICES) + b"bad,row\n" * 30)
    (tmp_path / "group.csv").write_text("id,name,description\na,,\n")
    failed, _ = doctor()
    assert [name for name, _ in failed] == ["file"] * 31
    assert failed[0][1] == "device.csv, line 7 must have 11 cells, as the header has, not 2. Mend it in an editor."
    assert "group.csv, line 2, column name" in failed[-1][1]


def test_files_that_belong_to_a_file_that_is_gone(doctor, tmp_path):
    (tmp_path / "group.csv").write_text("id,name,description\n")
    [(name, words)], _ = doctor()
    assert name == "file"
    assert "device.csv is missing" in words
    assert "put the first one back" in words


@pytest.mark.parametrize(("store", "file", "script"), [
    ("device.csv", ".device.csv.lock", HOLD),
    ("sqlite:///device.db", "device.db", WRITE),
])  # fmt: skip
def test_a_lock_that_is_held_is_told_with_the_process_that_holds_it(doctor, tmp_path, store, file, script):
    if store == "device.csv":
        open_store(store, DEVICES).close()
    else:
        upgrade(store)
    command = [sys.executable, "-c", script, str(tmp_path / file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        failed, _ = doctor(store)
        holder.communicate(b"\n")
    [(name, words)] = failed
    assert name == "lock"
    assert f"{tmp_path / file} has been held for 1 s by pid {holder.pid} ({sys.executable} -c import" in words
    assert doctor(store)[0] == []


def test_a_lock_whose_holder_cannot_be_seen_is_told_too(doctor, tmp_path, monkeypatch):
    open_store("device.csv", DEVICES).close()
    monkeypatch.setattr(checks, "lock_holders", lambda _path: [])
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".device.csv.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        [(_, words)], _ = doctor()
        holder.communicate(b"\n")
    assert "by a process that cannot be seen from here" in words


@pytest.fixture
def port_check():
    """Runs the command for a port, and returns the line of that check."""

    def port_check(host, port):
        ended = CliRunner().invoke(main, ["doctor", "--host", host, "--port", str(port)])
        return next(line for line in ended.stdout.splitlines() if line[6:].startswith("port "))

    return port_check


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_on_its_port_devicesvc_itself_may_run(shared_service, port_check, host):
    port = shared_service.port
    assert port_check(host, port) == f"ok    port       devicesvc answers on port {port} already."


@pytest.mark.parametrize("answer", [b'{"status": 200, "message": "up"}', b"hello"])
def test_a_port_that_another_program_has_taken(port_check, answer):
    def other(_environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [answer]

    with served(other) as url:
        port = int(url.rpartition(":")[2])
        words = (
            f"FAIL  port       Cannot listen on 127.0.0.1, port {port}: Address already in use. Choose another port: "
        )
        assert port_check("127.0.0.1", port).startswith(words)


def test_a_tokens_file_that_is_missing_broken_or_open_to_others(doctor, tmp_path):
    file = tmp_path / "tokens.txt"
    [(name, words)], _ = doctor(DEVICESVC_TOKENS_FILE=str(file))
    assert name == "tokens"
    assert "No such file" in words
    assert "devicesvc token create NAME" in words
    create(file, "a", "read")
    failed, fine = doctor(DEVICESVC_TOKENS_FILE=str(file))
    assert (failed, dict(fine)["tokens"]) == ([], f"{file} can be read; its mode is 600.")
    file.chmod(0o660)
    assert doctor(DEVICESVC_TOKENS_FILE=str(file))[0] == [
        ("tokens", f"{file} has the mode 660, so others can add tokens: run  chmod 600 {file}")
    ]
    file.write_text("broken\n")
    file.chmod(0o600)
    assert "line 1 must be" in doctor(DEVICESVC_TOKENS_FILE=str(file))[0][0][1]


@pytest.mark.parametrize("zone", ["Asia/Shanghai", ":Asia/Shanghai", "CST-8", "<+08>-8", "UTC", ""])
def test_a_time_zone_that_the_system_knows(doctor, zone):
    assert doctor(TZ=zone)[0] == []


@pytest.mark.parametrize("zone", ["Asia/Chengdu", "../x", "/no/such/file", "+8"])
def test_a_time_zone_that_the_system_does_not_know_and_takes_for_utc(doctor, zone):
    [(name, words)], _ = doctor(TZ=zone)
    assert name == "time zone"
    assert words.startswith(f"TZ is {zone!r}, which this system does not know, so times are UTC: correct it")


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_cannot_be_written(tmp_path, mode):
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        parent.chmod(parent.stat().st_mode | 0o111)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    try:
        found = list(checks.store_checks(parse(str(folder / "device.csv"))))
    finally:
        if was_root:
            os.seteuid(0)
        folder.chmod(0o755)
    words = next(each.sentence for each in found if each.name == "folder" and not each.is_ok)
    assert str(folder) in words
    assert "cannot write there" in words or "Permission denied. Give" in words


def test_no_folder_and_no_room(doctor, tmp_path):
    failed, _ = doctor(str(tmp_path / "none" / "device.csv"))
    assert failed[0] == ("folder", f"There is no folder {tmp_path}/none: make it, or give another path.")
    *_, disk = checks.folder_checks(tmp_path / "device.csv", 10**18)
    assert not disk.is_ok
    assert re.fullmatch(r"[\d.]+ [A-Z]+ are free in \S+, and a change may take 1e\+06 TB: make room\.", disk.sentence)


def test_a_python_that_is_too_old():
    old = checks.python((3, 10, 9))
    assert (old.is_ok, old.sentence) == (False, "This is 3.10.9: install 3.11 or newer, and devicesvc with it.")
    assert f"python_requires = >={'.'.join(map(str, checks.OLDEST_PYTHON))}\n" in (ROOT / "setup.cfg").read_text()


def test_a_database_that_is_not_there_or_not_current(doctor, postgres_url):
    [(name, words)], _ = doctor("postgresql+psycopg://someone:secret@127.0.0.1:1/nowhere")
    assert (name, words.endswith("Connection refused. Start the server, or correct the URL.")) == ("database", True)
    assert "secret" not in words
    [(_, words)], _ = doctor(postgres_url)
    assert "has no tables: stop all services, and run  devicesvc db upgrade postgresql" in words
    upgrade(postgres_url)
    downgrade(postgres_url, "0001")
    [(_, words)], _ = doctor(postgres_url)
    assert "is at revision 0001, not 000" in words


def test_an_sqlite_file_that_is_older_is_upgraded_by_serve_and_one_that_is_broken_is_not(doctor, tmp_path):
    upgrade("sqlite:///device.db")
    downgrade("sqlite:///device.db", "0001")
    failed, fine = doctor("sqlite:///device.db")
    assert failed == []
    assert dict(fine)["database"].endswith(": serve upgrades it.")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE something (id)")
    other.close()
    [(_, words)], _ = doctor("sqlite:///other.db")
    assert words.endswith("holds tables of another program, such as something: name a database of devicesvc's own.")
    Path("broken.db").write_bytes(b"not a database" * 100)
    [(_, words)], _ = doctor("sqlite:///broken.db")
    assert words.endswith("file is not a database. Put a backup in its place, or name another file.")


@pytest.mark.parametrize(
    ("mode", "suffix", "end"), [("delete", "-journal", ""), ("wal", "-wal", "file.execute('COMMIT');")]
)
def test_what_a_killed_service_has_left_is_told_and_is_not_completed(doctor, tmp_path, mode, suffix, end):
    upgrade("sqlite:///device.db")
    script = (
        "import os, sqlite3, sys; file = sqlite3.connect('device.db', isolation_level=None);"
        f"file.execute('PRAGMA journal_mode = {mode}'); file.execute('BEGIN IMMEDIATE');"
        f"file.execute('UPDATE registry SET changes = 9'); {end} print('held', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as service:
        assert service.stdout
        assert service.stdout.readline() == b"held\n"
        service.kill()
    left = tmp_path / f"device.db{suffix}"
    assert left.exists()
    failed, fine = doctor("sqlite:///device.db")
    assert failed == []
    assert dict(fine)["database"] == f"{left} was left by a service that was killed: the next start completes it."


def test_a_store_that_cannot_be_one(doctor):
    [(name, words)], fine = doctor("x://y")
    assert name == "store"
    assert "names no store" in words
    assert len(fine) == 4
