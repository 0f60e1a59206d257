"""A MariaDB cluster on this machine: three nodes of Galera, and HAProxy, which leads all clients to one of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pymysql

from tests.cluster.nodes import Account, Node, by_hand, listens, ports, program, until
from tests.long.processes import need

NODES = 3
DATABASE, USER, PASSWORD = "devicesvc", "devicesvc", "cluster"
CHECKER = "haproxy"  # the user of HAProxy's checks, who has no password and no rights
SUSPECTED = 2  # seconds after which a node that says nothing is left out
CHECKED = 0.5  # seconds between two checks of HAProxy

PROVIDERS = Path("/usr/lib/galera/libgalera_smm.so"), Path("/usr/lib/libgalera_smm.so")


class GaleraNode(Node):
    """MariaDB with Galera."""

    def __init__(self, name: str, folder: Path, account: Account) -> None:
        super().__init__(name, folder, account)
        self.port, self.group, self.increments, self.copy = ports(4)
        self._data = self.folder / "data"
        account.run(
            program("mariadb-install-db", "apt-get install mariadb-server"),
            "--no-defaults",
            f"--datadir={self._data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )

    def start(self, nodes: "list[GaleraNode]", *, first: bool = False) -> None:
        """Start MariaDB. first: it makes a cluster, which the others join."""
        self.launch(
            program("mariadbd", "apt-get install mariadb-server"),
            "--no-defaults",
            f"--datadir={self._data}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--max-connections=300",
            "--wsrep-on=ON",
            f"--wsrep-provider={_provider()}",
            f"--wsrep-provider-options={self._provider_options()}",
            f"--wsrep-cluster-address=gcomm://{','.join(f'127.0.0.1:{each.group}' for each in nodes)}",
            "--wsrep-cluster-name=devicesvc",
            f"--wsrep-node-name={self.name}",
            f"--wsrep-node-address=127.0.0.1:{self.group}",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address=127.0.0.1:{self.copy}",
            "--wsrep-slave-threads=2",
            "--wsrep-sync-wait=1",  # a read is of what any node has acknowledged
            *(["--wsrep-new-cluster"] if first else []),
        )

    def _provider_options(self) -> str:
        options = {
            "base_port": self.group,
            "gmcast.listen_addr": f"tcp://127.0.0.1:{self.group}",
            "ist.recv_addr": f"127.0.0.1:{self.increments}",
            "gcache.size": "64M",  # so that a node that comes back needs no copy of everything
            "evs.keepalive_period": "PT0.5S",
            "evs.inactive_check_period": "PT0.5S",
            "evs.suspect_timeout": f"PT{SUSPECTED}S",
            "evs.inactive_timeout": f"PT{2 * SUSPECTED}S",
            "evs.install_timeout": f"PT{2 * SUSPECTED}S",
        }
        return ";".join(f"{name}={value}" for name, value in options.items())

    def ask(self, query: str) -> str:
        """What root is answered, as _ask says it."""
        return _ask(self.port, "root", "", query)


class GaleraCluster:
    """Three nodes behind one address. url: of the database of a registry, without its tables."""

    def __init__(self, folder: Path, account: Account) -> None:
        self.nodes = [GaleraNode(f"node{number}", folder, account) for number in range(1, NODES + 1)]
        self.proxy = Node("proxy", folder, account)
        self.port = ports(1)[0]
        self.url = f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}?charset=utf8mb4"

    def start(self) -> None:
        first, *others = self.nodes
        first.start(self.nodes, first=True)
        self._wait(lambda: _is_synced(first), "the first node is there")
        for statement in (
            f"CREATE DATABASE {DATABASE}",
            f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON {DATABASE}.* TO {USER}@'%'",
            f"CREATE USER {CHECKER}@'%'",
        ):
            first.ask(statement)
        for node in others:
            node.start(self.nodes)
            self._wait(partial(_is_synced, node), f"{node.name} is there")
        settings = self.proxy.folder / "haproxy.cfg"
        settings.write_text(self._proxy_settings())
        settings.chmod(0o644)
        self.proxy.launch(program("haproxy", "apt-get install haproxy"), "-db", "-f", settings)
        self._wait(lambda: listens(self.port), "HAProxy listens")
        self.wait_until_whole()

    def _proxy_settings(self) -> str:
        """One node takes all, until it fails; then the next one does, and keeps it when the first is back."""
        hello = b"\x00\x82\x00\x00" + b"\x00\x00\x00\x01" + b"\x21" + bytes(23) + CHECKER.encode() + b"\0\0"
        query = b"\x03SET STATEMENT wsrep_sync_wait = 0 FOR SELECT CONCAT('in ', 'sync')" + (
            b" FROM information_schema.global_status WHERE variable_name = 'wsrep_local_state' AND variable_value = 4"
        )
        servers = "\n".join(
            f"  server {node.name} 127.0.0.1:{node.port} check{' backup' if node is not self.nodes[0] else ''}"
            for node in self.nodes
        )
        return f"""\
defaults
  mode tcp
  timeout connect 1s
  timeout check 1s
  timeout client 1h
  timeout server 1h

listen mariadb
  bind 127.0.0.1:{self.port}
  option tcp-check
  tcp-check connect
  tcp-check send-binary {_packet(hello, 1).hex()}
  tcp-check expect binary 0700000200000002
  tcp-check send-binary {_packet(query, 0).hex()}
  tcp-check expect string "in sync"
  stick-table type integer size 1 nopurge
  stick on int(1)
  default-server inter {int(CHECKED * 1000)}ms fall 2 rise 2 on-marked-down shutdown-sessions
{servers}
"""

    def leader(self) -> GaleraNode | None:
        """The node to which HAProxy leads, if it answers."""
        name = _ask(self.port, USER, PASSWORD, "SELECT @@wsrep_node_name")
        return next((node for node in self.nodes if node.name == name), None)

    def is_whole(self) -> bool:
        """Whether all nodes are there and have all that was written."""
        return all(_is_synced(node, NODES) for node in self.nodes)

    def wait_until_whole(self) -> None:
        self._wait(self.is_whole, "the cluster is whole")

    def _wait(self, is_so: Callable[[], Any], what: str) -> None:
        try:
            until(is_so, what)
        except AssertionError as error:
            raise AssertionError(
                "\n".join([str(error), *(node.log() for node in [*self.nodes, self.proxy])])
            ) from error

    def stop(self) -> None:
        for node in [self.proxy, *self.nodes]:
            node.kill()


def _is_synced(node: GaleraNode, size: int | None = None) -> bool:
    query = "SHOW GLOBAL STATUS LIKE 'wsrep_{}'".format
    is_ready = node.ask(query("local_state_comment")) == "Synced" and node.ask(query("cluster_status")) == "Primary"
    return is_ready and (size is None or node.ask(query("cluster_size")) == str(size))


def _ask(port: int, user: str, password: str, query: str) -> str:
    """The last value of the first row; empty if there is none, or no answer."""
    try:
        to = pymysql.connect(
            host="127.0.0.1", port=port, user=user, password=password, connect_timeout=1, read_timeout=2
        )
        with to, to.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return str(row[-1]) if row else ""
    except pymysql.Error:
        return ""


def _packet(content: bytes, number: int) -> bytes:
    """A message of MariaDB's protocol."""
    return len(content).to_bytes(3, "little") + bytes([number]) + content


def _provider() -> Path:
    return next((path for path in PROVIDERS if path.exists()), PROVIDERS[0])


@contextmanager
def running_cluster() -> Iterator[GaleraCluster]:
    """A cluster that is whole; it is stopped and deleted at the end."""
    for name, package in (("mariadbd", "mariadb-server"), ("haproxy", "haproxy"), ("rsync", "rsync")):
        program(name, f"apt-get install {package}")
    need(_provider().exists(), "Galera: apt-get install galera-4")
    account = Account("mysql")
    with account.folder() as folder:
        cluster = GaleraCluster(folder, account)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


if __name__ == "__main__":
    with running_cluster() as cluster:
        by_hand(cluster, lambda: (getattr(cluster.leader(), "name", "nobody"), cluster.is_whole()))
