"""`devicesvc backup` and `devicesvc restore`, as a person sees them."""

import os
import re
import signal
import subprocess
import threading
import time

import psycopg
import pytest
import requests
from click.testing import CliRunner
from devicesvc.migrations import upgrade
from sqlalchemy import make_url

from devicesvc.cli import main
from devicesvc.dao.urls import open_store
from devicesvc.sample import DEVICES
from tests.conftest import BIN
from tests.hard_data import content, device

NAME = r"devicesvc-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"
OLD = "devicesvc-2020-01-01T00-00-00Z"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in a folder with a registry of the five devices."""
    for name in ("DEVICESVC_STORE", "DEVICESVC_BACKUPS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "device.csv").write_bytes(content(DEVICES))
    return lambda *arguments, **options: CliRunner().invoke(main, arguments, **options)


def made(folder):
    """The names in a folder of backups, oldest first."""
    return sorted(each.name for each in folder.iterdir() if each.name != ".devicesvc.lock")


class TestBackup:
    def test_it_says_what_it_saved_and_where(self, run):
        ended = run("backup", "device.csv", "backups")
        assert ended.exit_code == 0
        words = "5 devices, 0 groups, 0 memberships; read back, and the same."
        assert re.fullmatch(rf"Saved device\.csv in backups/{NAME}: {words}\n", ended.stdout)

    def test_it_takes_both_arguments_from_the_settings(self, run, tmp_path):
        settings = {"DEVICESVC_STORE": "device.csv", "DEVICESVC_BACKUPS": "saved"}
        assert run("backup", env=settings).exit_code == 0
        assert len(made(tmp_path / "saved")) == 1
        ended = run("backup", env=settings | {"DEVICESVC_BACKUPS": ""})
        assert (ended.exit_code, "Missing argument 'FOLDER'" in ended.stderr) == (2, True)

    def test_it_names_what_it_deletes(self, run, tmp_path):
        (tmp_path / "backups" / OLD).mkdir(parents=True)
        ended = run("backup", "device.csv", "backups", "--keep", "1d,1w,1m")
        assert ended.stdout.splitlines()[1:] == [f"Deleted backups/{OLD}."]

    def test_if_it_fails_it_names_the_faults_and_deletes_nothing(self, run, tmp_path):
        (tmp_path / "backups" / OLD).mkdir(parents=True)
        with (tmp_path / "device.csv").open("a") as file:
            file.write("bad\n")
        ended = run("backup", "device.csv", "backups", "--keep", "1d")
        assert ended.exit_code == 1
        assert ended.stderr.splitlines()[1:] == [
            "device.csv, line 7 must have 11 cells, as the header has, not 1",
            "Error: There is no new backup: device.csv has bad rows (1). Mend them, and try again.",
        ]
        assert made(tmp_path / "backups") == [OLD]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("none.csv", "backups"), "Error: There is no file none.csv.\n"),
            (("device.csv", "no/where"), "Error: no/where: No such file or directory. There is no new backup.\n"),
            (("device.csv", "device.csv"), "Error: device.csv: File exists. There is no new backup.\n"),
            (("device.csv", "backups", "--keep", "7x"), "Error: keep must name numbers of days, weeks and months,"),
        ],
    )
    def test_it_refuses_with_one_sentence(self, run, arguments, words):
        ended = run("backup", *arguments)
        assert ended.exit_code == 1
        assert ended.stderr.startswith(words)
        assert len(ended.stderr.splitlines()) == 1

    def test_several_at_the_same_time_are_all_made(self, run, tmp_path, clean_env):  # noqa: ARG002 - it makes the registry
        command = [str(BIN / "devicesvc"), "backup", "device.csv", "backups"]
        running = [subprocess.Popen(command, cwd=tmp_path, env=clean_env, stderr=subprocess.PIPE) for _ in range(3)]
        assert [(each.communicate(), each.returncode)[1] for each in running] == [0, 0, 0]
        there = made(tmp_path / "backups")
        assert len([name for name in there if re.fullmatch(NAME, name)]) == len(there) == 3

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_interrupted_it_leaves_nothing_that_looks_like_a_backup(self, run, tmp_path, clean_env, how):
        (tmp_path / "device.csv").write_bytes(content(device(f"d{number}") for number in range(30_000)))
        command = [str(BIN / "devicesvc"), "backup", "device.csv", "backups"]
        process = subprocess.Popen(command, cwd=tmp_path, env=clean_env, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while not any(each.stat().st_size > 100_000 for each in tmp_path.glob("backups/.devicesvc.*.tmp/.*.tmp")):
            assert time.monotonic() < end
            assert process.poll() is None, process.communicate()[1]
            threading.Event().wait(0.001)
        os.kill(process.pid, how)
        said = process.communicate(timeout=20)[1]
        assert process.returncode == (130 if how == signal.SIGINT else -how)
        left = made(tmp_path / "backups")
        if how == signal.SIGINT:
            assert said.endswith("Interrupted: if there is a new backup, it is complete.\n")
            assert left == []
        assert not [name for name in left if not name.startswith(".")]
        assert run("backup", "device.csv", "backups").exit_code == 0
        (name,) = made(tmp_path / "backups")
        assert re.fullmatch(NAME, name)


class TestRestore:
    @pytest.fixture
    def backup(self, run, tmp_path):
        """A backup of the five devices; now the registry holds three."""
        assert run("backup", "device.csv", "backups").exit_code == 0
        (tmp_path / "device.csv").write_bytes(content(DEVICES[:3]))
        return f"backups/{made(tmp_path / 'backups')[0]}"

    def devices(self, folder):
        with open_store(str(folder / "device.csv")) as store:
            return len(store.devices.list())

    def test_it_says_what_it_will_do_and_asks(self, run, backup, tmp_path):
        ended = run("restore", backup, "device.csv", input="n\n")
        assert ended.exit_code == 1
        assert ended.stdout.splitlines() == [
            f"{backup} holds 5 devices, 0 groups, 0 memberships.",
            "device.csv holds 3 devices, 0 groups, 0 memberships.",
            "Replace all that device.csv holds? [y/N]: n",
        ]
        assert self.devices(tmp_path) == 3
        assert len(made(tmp_path / "backups")) == 1

    def test_without_an_answer_nothing_happens(self, run, backup, tmp_path):
        assert run("restore", backup, "device.csv", input="").exit_code == 1
        assert self.devices(tmp_path) == 3

    def test_it_saves_what_it_replaces_and_says_where(self, run, backup, tmp_path):
        ended = run("restore", backup, "device.csv", input="y\n")
        assert ended.exit_code == 0
        *_, saved, restored = ended.stdout.splitlines()
        (path,) = re.findall(rf"^Saved device\.csv as it was in ({tmp_path}/backups/{NAME}\.replaced)\.$", saved)
        assert made(tmp_path / "backups") == sorted([backup.split("/")[1], path.split("/")[-1]])
        assert restored == "Restored device.csv: 5 devices, 0 groups, 0 memberships; read back, and the same."
        assert self.devices(tmp_path) == 5
        assert run("restore", path, "device.csv", "--yes").exit_code == 0
        assert self.devices(tmp_path) == 3

    def test_it_saves_in_another_folder_if_it_is_told_so(self, run, backup, tmp_path):
        assert run("restore", backup, "device.csv", "--yes", "--save", "other").exit_code == 0
        assert (len(made(tmp_path / "backups")), len(made(tmp_path / "other"))) == (1, 1)

    def test_if_nothing_can_be_saved_nothing_is_replaced(self, run, backup, tmp_path):
        ended = run("restore", backup, "device.csv", "--yes", "--save", "no/where")
        assert ended.exit_code == 1
        assert ended.stderr.endswith("Error: no/where: No such file or directory. There is no new backup.\n")
        assert self.devices(tmp_path) == 3

    def test_a_store_that_is_gone_is_made_again(self, run, backup, tmp_path):
        (tmp_path / "device.csv").unlink()
        ended = run("restore", backup, "device.csv", "--yes")
        assert "device.csv is not there: it will be made." in ended.stdout
        assert "Saved" not in ended.stdout
        assert self.devices(tmp_path) == 5
        assert run("restore", backup, "sqlite:///new.db", "--yes").exit_code == 0
        with open_store(f"sqlite:///{tmp_path}/new.db") as store:
            assert len(store.devices.list()) == 5

    @pytest.mark.parametrize(
        ("broken", "words"),
        [(b"\n", "device.csv holds what cannot be read: "), (content(DEVICES) + b"x\n", "bad rows: 1")],
    )
    def test_the_files_of_a_broken_store_are_kept(self, run, backup, tmp_path, broken, words):
        (tmp_path / "device.csv").write_bytes(broken)
        ended = run("restore", backup, "device.csv", "--yes")
        assert ended.exit_code == 0, ended.output
        assert words in ended.stdout
        (saved,) = re.findall("as they were in (.*?)\\. This is not a backup", ended.stdout)
        assert saved.endswith("Z.unreadable")
        assert (tmp_path / saved / "device.csv").read_bytes() == broken
        assert self.devices(tmp_path) == 5

    def test_a_backup_with_a_bad_row_replaces_nothing(self, run, backup, tmp_path):
        (tmp_path / backup / "SHA256SUMS").unlink()
        with (tmp_path / backup / "device.csv").open("a") as file:
            file.write("bad\n")
        ended = run("restore", backup, "device.csv", "--yes")
        assert ended.exit_code == 1
        assert ended.stderr.splitlines() == [
            f"{backup}/device.csv, line 7 must have 11 cells, as the header has, not 1",
            f"Error: Nothing was restored: {backup}/device.csv has bad rows (1). Mend them, and try again.",
        ]
        assert self.devices(tmp_path) == 3

    def test_a_broken_database_on_a_server_is_not_replaced(self, run, backup, postgres_url):
        upgrade(postgres_url)
        with open_store(postgres_url, DEVICES):
            pass
        url = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE devices SET status = '' WHERE id = %s", [DEVICES[0].id])
        ended = run("restore", backup, postgres_url, "--yes")
        assert ended.exit_code == 1
        assert "holds 4 devices, 0 groups, 0 memberships, and bad rows: 1." in ended.stdout
        assert re.search("Error: .* cannot be saved, so nothing was restored: it holds 4 devices, .*", ended.stderr)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM devices WHERE status = ''").fetchone() == (1,)

    def test_what_is_not_a_backup_is_refused(self, run):
        ended = run("restore", "device.csv", "device.csv", "--yes")
        assert (ended.exit_code, ended.stderr) == (
            1,
            "Error: device.csv is not a backup: there is no file device.csv/device.csv.\n",
        )

    def test_no_message_shows_a_password(self, run, backup):
        ended = run("restore", backup, "postgresql+psycopg://me:secret@127.0.0.1:1/none", "--yes")
        assert ended.exit_code == 1
        assert "secret" not in ended.output

    def test_interrupted_the_store_is_as_it_was(self, run, backup, tmp_path, monkeypatch):
        def interrupted(*_arguments, **_options):
            raise KeyboardInterrupt

        monkeypatch.setattr("devicesvc.transfer.mover._verify", interrupted)
        ended = run("restore", backup, "device.csv", "--yes")
        assert ended.exit_code == 130
        assert ended.stderr.endswith("Interrupted: the store is as it was before, or it is completely restored.\n")
        assert self.devices(tmp_path) == 3

    def test_the_service_goes_on_with_what_was_restored(self, run, backup, start):
        service = start("device.csv")
        assert requests.get(f"{service.url}/v1/devices").json()["total"] == 3
        assert run("restore", backup, "device.csv", "--yes").exit_code == 0
        assert requests.get(f"{service.url}/v1/devices").json()["total"] == 5
        assert requests.delete(f"{service.url}/v1/devices", json={"ids": [DEVICES[0].id]}).status_code == 200
