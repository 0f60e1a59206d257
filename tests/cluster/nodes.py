"""Nodes of a cluster: what each needs to be started, killed and frozen, as a user who is not root."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import find_free_port
from tests.long.processes import need

PATIENCE = 90  # seconds in which a cluster must come to a state that a test waits for


def until(is_so: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Ask until the answer is yes, and return it."""
    end = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        threading.Event().wait(0.05)
    return answer


def program(name: str, package: str, *folders: Path) -> str:
    """The path of a program, which may lie in one of these folders. The test is skipped if there is none."""
    path = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ["PATH"], "/usr/sbin"]))
    need(path, f"{name}: {package}")
    assert path
    return path


def ports(count: int) -> list[int]:
    """So many different free ports."""
    found: set[int] = set()
    while len(found) < count:
        found.add(find_free_port())
    return list(found)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Account:
    """Who runs the nodes: a user of a package, since a database refuses to be root's; or who runs the tests."""

    def __init__(self, name: str) -> None:
        self.is_other = os.geteuid() == 0
        self.entry = pwd.getpwnam(name) if self.is_other else pwd.getpwuid(os.geteuid())

    def command(self, *command: str | Path) -> list[str]:
        """The command that runs this one as the user."""
        # The virtual environment, or its Python, may lie in a folder that only root may look into.
        capabilities = [f"--{kind}-caps=+dac_override" for kind in ("inh", "ambient")]
        user = [f"--reuid={self.entry.pw_uid}", f"--regid={self.entry.pw_gid}", "--clear-groups", *capabilities]
        return [*(["setpriv", *user] if self.is_other else []), *map(str, command)]

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder of this user's own, which is deleted at the end."""
        path = Path(tempfile.mkdtemp(prefix="devicesvc-cluster-"))
        os.chown(path, self.entry.pw_uid, self.entry.pw_gid)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def run(self, *command: str | Path) -> str:
        """What a command prints; it must succeed."""
        ended = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        return ended.stdout


class Node:
    """A machine of the cluster: the processes that live and die together. `folder` has its data and its logs."""

    def __init__(self, name: str, folder: Path, account: Account) -> None:
        self.name = name
        self.folder = folder / name
        self._account = account
        self._started: list[subprocess.Popen[bytes]] = []
        self.folder.mkdir(mode=0o700)
        os.chown(self.folder, account.entry.pw_uid, account.entry.pw_gid)

    def launch(self, *command: str | Path, env: dict[str, str] | None = None) -> None:
        """Start a program of this node; its output goes to a file of its name."""
        with open(self.folder / f"{Path(command[0]).name}.log", "ab") as log:
            self._started.append(
                subprocess.Popen(
                    self._account.command(*command),
                    cwd=self.folder,
                    env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} | (env or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def processes(self) -> list[psutil.Process]:
        """All of them, parents before their children."""
        found: dict[int, psutil.Process] = {}
        for pid in [*(each.pid for each in self._started), *self._daemons()]:
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(pid)
                found |= {each.pid: each for each in (parent, *parent.children(recursive=True))}
        return list(found.values())

    def _daemons(self) -> list[int]:
        """Processes of this node that are not children of those that were launched."""
        return []

    def freeze(self) -> None:
        """SIGSTOP to all processes: their connections stay, and nothing answers."""
        stopped: set[int] = set()
        while new := [each for each in self.processes() if each.pid not in stopped]:
            for each in new:  # one that is stopped starts no other
                stopped.add(each.pid)
                _send(each, signal.SIGSTOP)

    def thaw(self) -> None:
        for each in reversed(self.processes()):
            _send(each, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to all processes, and return when none is left. Killing twice is no error."""
        self.freeze()
        doomed = self.processes()
        for each in doomed:
            _send(each, signal.SIGKILL)
        psutil.wait_procs([each for each in doomed if each.pid not in {own.pid for own in self._started}], timeout=20)
        for own in self._started:
            own.wait(20)
        self._started.clear()

    def log(self) -> str:
        """The last lines of each of its logs."""
        parts = [f"{path}:\n" + "\n".join(path.read_text().splitlines()[-15:]) for path in self.folder.glob("*.log")]
        return "\n".join(parts)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def by_hand(cluster: Any, state: Callable[[], object], more: dict[str, Callable[[], object]] | None = None) -> None:
    """Do what is typed, until the end of the input: kill, freeze, thaw or start and the name of a node, or one of
    `more`; and say after each line how the cluster is."""
    print(cluster.url, *(f"{node.name}: {node.folder}" for node in cluster.nodes), sep="\n", flush=True)
    by_name = {node.name: node for node in cluster.nodes}
    for line in sys.stdin:
        match line.split():
            case ["start", name]:
                by_name[name].start(cluster.nodes)
            case ["kill" | "freeze" | "thaw" as verb, name]:
                getattr(by_name[name], verb)()
            case [word] if more and word in more:
                more[word]()
        print(state(), flush=True)
