"""GET of one device and of a list, by 8 clients that keep their connections; and by clients that do not."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from benchmarks.peers import Peer, Request
from benchmarks.run import FEW, Run
from benchmarks.services import Service
from benchmarks.wrk import load

READS, NEW_CONNECTIONS = "Reads", "New connections"
GET, AGAIN, BY_ID, LIST = "GET by id", "GET of the same id again", "GET ?id=", "a list of 100"
CLIENTS = 8

ASKED: Mapping[str, Callable[[Peer], Request | None]] = {
    GET: lambda peer: peer.item,
    AGAIN: lambda peer: peer.item,
    BY_ID: lambda peer: peer.by_id,
    LIST: lambda peer: peer.page,
}


def row_of(kind: str, size: int) -> str:
    """The name of a row."""
    return f"{kind}, {size:,} devices"


def measure(run: Run) -> None:
    """Measure the reads, with few devices and with many."""
    for size in run.sizes:
        ids = run.prepared(size) / "ids"
        one = ids.with_name("one_id")
        one.write_text(ids.read_text().split("\n", 1)[0] + "\n")
        with run.fleet(size, lambda peer: peer.item) as services:
            check_answers(services, ids.parent)
            for kind in (GET, AGAIN, BY_ID, LIST) if size == FEW else (GET, BY_ID, LIST):
                _measure_row(run, services, kind, size, one if kind == AGAIN else ids)


def _measure_row(run: Run, services: Mapping[Peer, Service], kind: str, size: int, ids: Path) -> None:
    for _ in range(run.turns):
        for peer, service in services.items():
            if request := ASKED[kind](peer):
                run.progress.show(f"{row_of(kind, size)}, {peer.name}")
                found = load(service, request, ids, CLIENTS, run.seconds)
                run.results.add(READS, row_of(kind, size), peer.name, "requests/s", *found)


def measure_new_connections(run: Run) -> None:
    """Measure GET by id, each on a connection of its own, as `requests.get` makes them."""
    ids = run.prepared(FEW) / "ids"
    with run.fleet(FEW, lambda peer: peer.item) as services:
        for _ in range(run.turns):
            for peer, service in services.items():
                run.progress.show(peer.name)
                found = load(service, peer.item, ids, CLIENTS, run.seconds, keep_alive=False)
                run.results.add(NEW_CONNECTIONS, "GET by id, a connection each", peer.name, "requests/s", *found)


def check_answers(services: Mapping[Peer, Service], folder: Path) -> None:
    """Raise RuntimeError unless each program answers each read with the same device."""
    device = json.loads((folder / "devices.json").read_text())[-1]
    for peer, service in services.items():
        for request in (peer.item, peer.by_id):
            if request:
                answer = requests.get(service.url + request.path.replace("{id}", device["id"]), timeout=30).json()
                if not _has(answer, device):
                    raise RuntimeError(f"{peer.name} answers {request.path} without the device {device['id']}.")


def _has(answer: Any, device: Mapping[str, Any]) -> bool:
    """Whether this device is somewhere in the answer. PocketBase adds fields of its own."""
    if isinstance(answer, list):
        return any(_has(each, device) for each in answer)
    if not isinstance(answer, dict):
        return False
    return all(answer.get(name) == value for name, value in device.items()) or _has(list(answer.values()), device)
