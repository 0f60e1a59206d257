"""What tests ask for by name: a store, a client, a running service."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from devicesvc.migrations import upgrade
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from devicesvc.api.feed import Feed
from devicesvc.app import create_app
from devicesvc.dao.base import Store
from devicesvc.dao.urls import KINDS, open_store
from devicesvc.metrics import Metrics
from devicesvc.sample import DEVICES
from devicesvc.tokens import Tokens
from tests import mariadb
from tests.postgres import Registry, Server, running_server

# A shell has the jobs in its background ignore Ctrl-C, and nohup has them ignore the end of the terminal. So would all
# that they start: here tests send both.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

NO_PART_OF_IT = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "data", "device*.csv", "group.csv", "history-*.csv*"
)

REVISIONS = sorted(path.name[:4] for path in (ROOT / "migrations/versions").glob("[0-9]*.py"))


STORES = [kind.name for kind in KINDS]


def store_maker(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """What `new_store_url` gives for the kind of store that is its parameter."""

    def csv(folder: Path) -> str:
        return str(folder / "device.csv")

    def sqlite(folder: Path) -> str:
        shutil.copy(request.getfixturevalue("upgraded_file"), folder / "device.db")
        return f"sqlite:///{folder}/device.db"

    def postgresql(_folder: Path) -> str:
        server: Registry = request.getfixturevalue("upgraded_server")
        return server.emptied()

    def on_mariadb(_folder: Path) -> str:
        server: mariadb.Registry = request.getfixturevalue("upgraded_mariadb")
        return server.emptied()

    makers = {"csv": csv, "sqlite": sqlite, "postgresql": postgresql, "mariadb": on_mariadb}
    assert request.param in makers, f"Say here how a store of the kind {request.param} is made."
    return makers[request.param]


@pytest.fixture(scope="session", params=STORES)
def new_store_url(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Gives the URL of a store that nobody has used yet, in a folder if it is one in files: once for each kind."""
    return store_maker(request)


@pytest.fixture
def store_url(new_store_url: Callable[[Path], str], tmp_path: Path) -> str:
    """The URL of a store that nobody has used yet."""
    return new_store_url(tmp_path)


@pytest.fixture(scope="session")
def upgraded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file as the migrations make it: a copy of it takes less time than they do."""
    path = tmp_path_factory.mktemp("upgraded") / "device.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def upgraded_server(postgres_server: Server) -> Iterator[Registry]:
    """A PostgreSQL database as the migrations make it, which the tests use one after another."""
    with postgres_server.fresh_database() as url:
        upgrade(url)
        registry = Registry(url)
        yield registry
        registry.close()


@pytest.fixture(scope="session")
def upgraded_mariadb(mariadb_server: mariadb.Server) -> Iterator[mariadb.Registry]:
    """A MariaDB database as the migrations make it, which the tests use one after another."""
    with mariadb_server.fresh_database() as url:
        upgrade(url)
        registry = mariadb.Registry(url)
        yield registry
        registry.close()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open store with the five sample devices."""
    with open_store(store_url, DEVICES) as store:
        yield store


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.Server]:
    """A MariaDB server."""
    with mariadb.running_server() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb_server: mariadb.Server) -> Iterator[str]:
    """The URL of an empty MariaDB database of this test's own."""
    with mariadb_server.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def app_over() -> Callable[..., Flask]:
    """Gives the app over a store, without tokens or with those of a file. Both are made only once: to describe all the
    calls takes longer than most tests."""
    made: dict[bool, Flask] = {}

    def app_over(store: Store, tokens: Path | None = None) -> Flask:
        guarded = tokens is not None
        if guarded not in made:
            made[guarded] = create_app({"TOKENS_FILE": str(tokens or "")}, store=store)
        made[guarded].extensions |= {
            "devicesvc.store": store,
            "devicesvc.metrics": Metrics(store, "0"),
            "devicesvc.feed": Feed(store),
            "devicesvc.tokens": tokens and Tokens(tokens),
        }
        return made[guarded]

    return app_over


@pytest.fixture
def app(store: Store, app_over: Callable[..., Flask]) -> Flask:
    return app_over(store)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


class Service:
    """A service in a process of its own. seconds: until it serves, at most."""

    def __init__(self, command: list[str], port: int, seconds: float = 60, **popen: Any) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self._ready = threading.Event()
        self.process: subprocess.Popen[str] = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", **popen
        )
        assert self.process.stdout
        self._output = self.process.stdout
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._ready.wait(seconds)
        assert self.process.poll() is None, "".join(self.lines)

    def _read(self) -> None:
        for line in self._output:
            self.lines.append(line)
            if "can be tried at" in line:
                self._ready.set()
        self._ready.set()

    def stop(self) -> int:
        """End it as `docker stop` does, and return the exit code; `lines` is complete then."""
        self.process.terminate()
        code = self.process.wait(60)
        self._reader.join()
        self._output.close()
        return code


def copy_of_project(folder: Path) -> Path:
    """Copy the project into the folder, as a new checkout of it: without what was made here."""
    return shutil.copytree(ROOT, folder / "devicesvc", ignore=NO_PART_OF_IT)


def find_free_port() -> int:
    """A port nobody listens on, below the range from which the system takes ports for outgoing connections."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The URL at which a WSGI app answers."""
    server = make_server("127.0.0.1", find_free_port(), app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def free_port() -> int:
    return find_free_port()


@pytest.fixture(scope="session")
def clean_env() -> dict[str, str]:
    """The environment without settings of the service."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DEVICESVC_")}


def serve(*arguments: str, port: int, **popen: Any) -> Service:
    """Start `devicesvc serve` with arguments."""
    command = [str(BIN / "devicesvc"), "serve", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    return Service(command, port, **popen)


@pytest.fixture(scope="module")
def shared_service(clean_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service on the sample devices, for the tests of a file that do not mind what the others did."""
    service = serve(port=find_free_port(), cwd=tmp_path_factory.mktemp("shared"), env=clean_env)
    yield service
    service.stop()


@pytest.fixture
def start(free_port: int, clean_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start `devicesvc serve` with arguments, in tmp_path, on free_port, and others on other ports, if `port` does not
    say which; all are stopped at the end of the test."""
    services: list[Service] = []

    def start(*arguments: str, env: dict[str, str] | None = None, port: int | None = None, **popen: Any) -> Service:
        port = port or (find_free_port() if services else free_port)
        services.append(serve(*arguments, port=port, cwd=tmp_path, env=clean_env | (env or {}), **popen))
        return services[-1]

    yield start
    for service in services:
        service.stop()
