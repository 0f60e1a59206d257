"""A PostgreSQL cluster on this machine: three nodes, each of etcd, Patroni and PostgreSQL, and synchronous."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from tests.cluster.nodes import Account, Node, by_hand, ports, program, until
from tests.conftest import BIN

NODES = 3
# A leader that is silent for TTL seconds is replaced: 20 is the shortest time that Patroni takes. A leader that cannot
# reach etcd for RETRY_TIMEOUT seconds steps down, also while etcd itself chooses a leader: so it is as long as may be,
# LOOP_WAIT + 2 * RETRY_TIMEOUT <= TTL.
TTL, LOOP_WAIT, RETRY_TIMEOUT = 20, 1, 9
SENDER_TIMEOUT = 5  # seconds after which a frozen standby is given up, and changes go on without it
PASSWORD = "cluster"

CLUSTER_SETTINGS = {
    "ttl": TTL,
    "loop_wait": LOOP_WAIT,
    "retry_timeout": RETRY_TIMEOUT,
    "synchronous_mode": True,
    "synchronous_mode_strict": True,  # a new leader acknowledges nothing alone
    "synchronous_node_count": NODES - 1,  # every standby: so a read at any of them is current
    "maximum_lag_on_failover": 1_048_576,
    "postgresql": {
        "use_pg_rewind": True,
        "parameters": {
            "synchronous_commit": "remote_apply",
            "wal_sender_timeout": f"{SENDER_TIMEOUT}s",
            "wal_receiver_timeout": f"{SENDER_TIMEOUT}s",
            "wal_retrieve_retry_interval": "500ms",  # so a standby soon follows a new leader, which waits for it
            "max_connections": 200,
        },
    },
}


class PatroniNode(Node):
    """etcd, Patroni, and PostgreSQL, which Patroni starts."""

    def __init__(self, name: str, folder: Path, account: Account) -> None:
        super().__init__(name, folder, account)
        self.etcd, self.peer, self.rest, self.postgres = ports(4)

    def start(self, nodes: "list[PatroniNode]") -> None:
        """Start what does not run; nodes: all of the cluster."""
        self._start_etcd(nodes)
        settings = self.folder / "patroni.json"  # JSON is YAML
        settings.write_text(json.dumps(self._settings(nodes)))
        settings.chmod(0o644)
        self.launch(BIN / "patroni", settings, env={"PATH": f"{_postgres()}:/usr/bin:/bin"})

    def _start_etcd(self, nodes: "list[PatroniNode]") -> None:
        self.launch(
            program("etcd", "apt-get install etcd-server"),
            f"--name={self.name}",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{self.etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{self.etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{self.peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{self.peer}",
            f"--initial-cluster={','.join(f'{each.name}=http://127.0.0.1:{each.peer}' for each in nodes)}",
            "--logger=zap",
        )

    def _settings(self, nodes: "list[PatroniNode]") -> dict[str, Any]:
        superuser = {"username": "postgres", "password": PASSWORD}
        return {
            "scope": "devicesvc",
            "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self.rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "etcd3": {"hosts": [f"127.0.0.1:{each.etcd}" for each in nodes]},
            "watchdog": {"mode": "off"},
            "bootstrap": {
                "dcs": CLUSTER_SETTINGS,
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.postgres}",
                "connect_address": f"127.0.0.1:{self.postgres}",
                "data_dir": str(self.folder / "data"),
                "bin_dir": str(_postgres()),
                "pgpass": str(self.folder / "pgpass"),
                "authentication": {
                    "superuser": superuser,
                    "replication": {"username": "replicator", "password": PASSWORD},
                },
                "pg_hba": [
                    "host all all 127.0.0.1/32 scram-sha-256",
                    "host replication all 127.0.0.1/32 scram-sha-256",
                ],
                "parameters": {"unix_socket_directories": str(self.folder)},
            },
        }

    def _daemons(self) -> list[int]:
        with suppress(OSError, ValueError):  # the file is there while PostgreSQL runs, and after a kill
            pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
            if Path(f"/proc/{pid}/comm").read_text() == "postgres\n":
                return [pid]
        return []


class PatroniCluster:
    """Three nodes. url: of the database of a registry, without its tables."""

    def __init__(self, folder: Path, account: Account) -> None:
        self.nodes = [PatroniNode(f"node{number}", folder, account) for number in range(1, NODES + 1)]
        hosts = "&".join(f"host=127.0.0.1:{each.postgres}" for each in self.nodes)
        self.url = f"postgresql+psycopg://postgres:{PASSWORD}@/postgres?{hosts}&target_session_attrs=read-write"

    def start(self) -> None:
        for node in self.nodes:
            node.start(self.nodes)
        self.wait_until_whole()

    def members(self) -> list[dict[str, Any]]:
        """What Patroni says of each node; nothing, if no node answers."""
        for node in self.nodes:
            with suppress(requests.RequestException):
                answer = requests.get(f"http://127.0.0.1:{node.rest}/cluster", timeout=1)
                if answer.ok:
                    return answer.json()["members"]
        return []

    def leader(self) -> PatroniNode | None:
        """Who leads now, if anybody does: a node that says so itself, so not one that is frozen."""
        for node in self.nodes:
            with suppress(requests.RequestException):
                if requests.get(f"http://127.0.0.1:{node.rest}/primary", timeout=1).ok:
                    return node
        return None

    def is_whole(self) -> bool:
        """Whether there is a leader, and all others are synchronous standbys."""
        roles = sorted(each["role"] for each in self.members() if each["state"] in ("running", "streaming"))
        return roles == ["leader", *["sync_standby"] * (NODES - 1)]

    def wait_until_whole(self) -> None:
        try:
            until(self.is_whole, "the cluster is whole")
        except AssertionError as error:
            logs = "\n".join(node.log() for node in self.nodes)
            raise AssertionError(f"{error}\n{self.members()}\n{logs}") from error

    def switch_over(self) -> None:
        """Have another node lead, in good order."""
        leader = self.leader()
        assert leader
        requests.post(
            f"http://127.0.0.1:{leader.rest}/switchover", json={"leader": leader.name}, timeout=60
        ).raise_for_status()

    def set_synchronous(self, wanted: bool) -> None:
        """Have changes wait for the standbys, or not."""
        leader = self.leader()
        assert leader
        answer = requests.patch(f"http://127.0.0.1:{leader.rest}/config", json={"synchronous_mode": wanted}, timeout=10)
        answer.raise_for_status()
        until(lambda: self.is_whole() == wanted, f"synchronous: {wanted}")

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()


def _postgres() -> Path:
    """The folder of the programs of PostgreSQL, in Debian's place or in PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return Path(program("postgres", "apt-get install postgresql", *folders)).resolve().parent


@contextmanager
def running_cluster() -> Iterator[PatroniCluster]:
    """A cluster that is whole; it is stopped and deleted at the end."""
    program("patroni", "pip install patroni[etcd3]", BIN)
    program("etcd", "apt-get install etcd-server")
    _postgres()
    account = Account("postgres")
    with account.folder() as folder:
        cluster = PatroniCluster(folder, account)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


if __name__ == "__main__":
    with running_cluster() as cluster:
        by_hand(cluster, lambda: "\n".join(map(str, cluster.members())), {"switch": cluster.switch_over})
