"""`devicesvc migrate`, as a person sees it."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest
import requests
from click.testing import CliRunner

from devicesvc.cli import main
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES
from devicesvc.transfer import progress
from tests.conftest import BIN, ROOT
from tests.csv_codec.test_formats import file, row
from tests.hard_data import content, device


@pytest.fixture
def migrate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not (tmp_path / "device.csv").exists():
        (tmp_path / "device.csv").write_bytes(content(DEVICES))
    return lambda *arguments: CliRunner().invoke(main, ["migrate", *arguments])


def test_what_is_said_if_all_is_well(migrate):
    ended = migrate("device.csv", "sqlite:///device.db")
    assert ended.exit_code == 0
    assert ended.stderr.startswith("Reading device.csv as it was at 2")
    first, second = ended.stdout.splitlines()
    assert first == "Wrote sqlite:///device.db: 5 devices, 0 groups, 0 memberships; read back, and the same."
    # What takes less than a second has no rate.
    assert re.fullmatch(r"5 read = 5 written \+ 0 rejected; ((0\.\d|1\.0) s|[1-9]\d*\.\d s, [\d,]+ rows/s)\.", second)


def test_faults_are_named_and_counted(migrate, tmp_path):
    (tmp_path / "device.csv").write_bytes(file(*[b"bad\n"] * 23, row()))
    ended = migrate("device.csv", "sqlite:///device.db")
    assert ended.exit_code == 1
    lines = ended.stderr.splitlines()
    assert lines[1] == f"device.csv, line 2 must have {len(FORMAT.columns)} cells, as the header has, not 1"
    assert lines[21:] == [
        "... and 3 bad rows more",
        "Error: Nothing was written: 23 rows break a rule. Mend that, or leave bad rows out with --skip-bad"
        " rejected.csv.",
    ]
    assert not (tmp_path / "device.db").exists()


def test_bad_rows_left_out(migrate, tmp_path):
    (tmp_path / "device.csv").write_bytes(file(row(), b"bad\n"))
    ended = migrate("device.csv", "sqlite:///device.db", "--skip-bad", "rejected.csv")
    assert ended.exit_code == 0
    assert "2 read = 1 written + 1 rejected" in ended.stdout
    assert ended.stdout.endswith("The rejected rows are in rejected.csv, each with the reason.\n")
    assert (tmp_path / "rejected.csv").read_text().splitlines()[1].startswith("device.csv,3,")


def test_a_dry_run(migrate, tmp_path):
    ended = migrate("device.csv", "sqlite:///device.db", "--dry-run")
    assert ended.exit_code == 0
    assert "This was a dry run: sqlite:///device.db was not written." in ended.stdout
    assert not (tmp_path / "device.db").exists()


def test_a_refusal_is_one_sentence(migrate):
    assert migrate("device.csv", "other.csv").exit_code == 0
    ended = migrate("device.csv", "other.csv")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: ")
    assert len(ended.stderr.splitlines()) == 1
    assert "--replace" in ended.stderr
    assert migrate("device.csv", "other.csv", "--replace").exit_code == 0


def test_the_script_of_the_checkout_says_which_python_to_use(tmp_path):
    script = ROOT / "migrations/csv_to_sqlite.py"
    command = [sys.executable, "-S", "-E", str(script), "device.csv", "device.db"]  # -S: without what is installed
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(r"This Python does not have \w+: use \.venv/bin/python, [^\n]+\n", ended.stderr)


@pytest.fixture
def script(tmp_path, clean_env):
    """Runs the script of the checkout beside a file with the sample devices."""
    (tmp_path / "device.csv").write_bytes(content(DEVICES))
    command = [sys.executable, str(ROOT / "migrations/csv_to_sqlite.py")]
    return lambda *arguments: subprocess.run(
        [*command, *arguments], cwd=tmp_path, env=clean_env, capture_output=True, text=True
    )


def test_the_script_in_a_checkout(script):
    ended = script("device.csv", "device.db")
    assert (ended.returncode, "Wrote sqlite:///device.db: 5 devices" in ended.stdout) == (0, True)
    ended = script("device.csv")
    assert (ended.returncode, ended.stderr[:6]) == (2, "Usage:")
    assert "Missing argument 'TARGET'" in ended.stderr


def test_the_script_takes_the_options_of_the_command_and_explains_them(script, tmp_path):
    ended = script("--dry-run", "device.csv", "device.db")
    assert ended.returncode == 0
    assert "This was a dry run: sqlite:///device.db was not written." in ended.stdout
    assert not (tmp_path / "device.db").exists()
    ended = script("--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Usage: csv_to_sqlite.py [OPTIONS] SOURCE TARGET\n")
    for option in ("--dry-run", "--replace", "--skip-bad REJECTED.CSV"):
        assert f"\n  {option}  " in ended.stdout


def test_on_a_terminal_a_bar_for_each_part_reaches_its_end(tmp_path, clean_env):
    (tmp_path / "device.csv").write_bytes(content(device(f"d{number}") for number in range(5000)))
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = [str(BIN / "devicesvc"), "migrate", "device.csv", "sqlite:///device.db"]
    try:
        ended = subprocess.run(command, cwd=tmp_path, env=clean_env, stderr=terminal, stdout=subprocess.PIPE)
        shown = os.read(master, 100_000).decode()
    finally:
        os.close(master)
        os.close(terminal)
    assert ended.returncode == 0
    _, reading, reading_back = re.split(r"Reading [^\n]*\.\r\n", shown)
    for bar in (reading, reading_back):
        assert re.search(r"\[#{36}\]  100%  5,000 rows(, [0-9,]+ rows/s)?[^\r]*\r?$", bar.rstrip()), bar


@pytest.fixture
def long(tmp_path, clean_env):
    """A migration that takes a while, begun and seen to write, and the folder that it is in."""
    (tmp_path / "device.csv").write_bytes(content(device(f"d{number}") for number in range(30_000)))
    command = [str(BIN / "devicesvc"), "migrate", "device.csv", "sqlite:///device.db"]
    process = subprocess.Popen(command, cwd=tmp_path, env=clean_env, stderr=subprocess.PIPE, text=True)
    end, temporary = time.monotonic() + 60, tmp_path / ".device.db.tmp"
    while not (temporary.exists() and temporary.stat().st_size > 100_000):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[1]
        threading.Event().wait(0.001)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted(long, tmp_path, how, migrate):
    os.kill(long.pid, how)
    said = long.communicate(timeout=60)[1].splitlines()
    if how == signal.SIGINT:
        assert long.returncode == 130
        words = "Interrupted: sqlite:///device.db is as it was before, and so is device.csv."
        assert said[1:] == [words]
        assert {each.name for each in tmp_path.iterdir()} == {"device.csv", ".device.csv.lock"}
    assert not (tmp_path / "device.db").exists()
    assert migrate("device.csv", "sqlite:///device.db").exit_code == 0
    assert {each.name for each in tmp_path.iterdir()} == {"device.csv", "device.db", ".device.csv.lock"}


def test_an_interrupt_after_the_end_says_that_the_target_is_there(migrate, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "_tell", interrupted)
    ended = migrate("device.csv", "sqlite:///device.db")
    assert ended.exit_code == 130
    assert ended.stderr.endswith("Interrupted, but sqlite:///device.db is complete.\n")
    assert (tmp_path / "device.db").exists()


def test_an_interrupt_while_a_connection_is_closed_is_told_in_a_sentence(clean_env, tmp_path):
    program = """
from sqlalchemy.engine.default import DefaultDialect
from devicesvc.cli import main

def interrupted(*_):
    raise KeyboardInterrupt

DefaultDialect.do_close = interrupted
main(["migrate", "device.csv", "sqlite:///device.db"])
"""
    (tmp_path / "device.csv").write_bytes(content([device("d1")]))
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=tmp_path, env=clean_env, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == 130
    words = "Interrupted: sqlite:///device.db is as it was before, and so is device.csv."
    assert [line for line in ended.stderr.splitlines() if not line.startswith("Reading")] == [words]


def test_while_the_service_runs_on_the_source(start, migrate, tmp_path):
    service = start("device.csv")
    stop = threading.Event()
    codes = list[int]()

    def write():
        while not stop.is_set():
            body = {"id": DEVICES[0].id, "name": f"name {len(codes)}"}
            codes.append(requests.put(f"{service.url}/v1/devices", json=body, timeout=60).status_code)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            ended = migrate("device.csv", "sqlite:///device.db", "--replace")
            assert ended.exit_code == 0, ended.output
            with open_store(f"sqlite:///{tmp_path}/device.db") as store:
                assert len(store.devices.list()) == len(DEVICES)
    finally:
        stop.set()
        writer.join()
    assert set(codes) == {200}
