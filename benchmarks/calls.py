"""How many calls of functions one request makes, compared with calls.json: make calls

A busy machine makes a request slower, but its calls stay the same: so a change that makes every request a little slower
is seen here. Other versions of Python and of the libraries call other functions. So the calls are counted only with the
versions in the image.
"""

import itertools
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

from werkzeug.test import EnvironBuilder

from benchmarks.devices import as_csv, make_devices

ROOT = Path(__file__).parent.parent
KEPT = Path(__file__).with_suffix(".json")
COMMAND = "make calls LOCKED=1 PYTHON=python3.13"
TOLERANCE = 0.05
TIMES = 100
DEVICES = 1_000


def main() -> None:
    refuse_other_versions()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        counted = count_all(Path(folder))
    if "--write" in sys.argv:
        KEPT.write_text(json.dumps(counted, indent=2) + "\n")
    for request, calls in counted.items():
        print(f"{request:16} {calls:7,d} calls")
    if faults := compare(counted, json.loads(KEPT.read_text())):
        sys.exit("\n".join(faults))


def refuse_other_versions() -> None:
    """Exit if the versions are not those of requirements.lock, and of the image's Python."""
    locked = (line.split(" ")[0].split("==") for line in (ROOT / "requirements.lock").open() if "==" in line)
    needed = dict(locked)
    own = ("Flask", "Werkzeug", "flask-smorest", "marshmallow", "webargs", "orjson", "prometheus-client")
    if sys.version_info[:2] != (3, 13) or any(version(name) != needed[name.lower()] for name in own):
        sys.exit(f"Calls are counted only with the versions in the image: {COMMAND}")


def compare(counted: Mapping[str, int], kept: Mapping[str, int]) -> list[str]:
    """Return a sentence for each request whose calls are more than 5 % above or below those that are written down."""
    write = f"{COMMAND} ARGS=--write writes the new number down."
    faults = []
    for request, calls in counted.items():
        before = kept.get(request)
        if before is None:
            faults.append(f"{request} makes {calls:,} calls, and no number is written down: {write}")
        elif calls > before * (1 + TOLERANCE):
            faults.append(f"{request} makes {calls:,} calls, and before it made {before:,}. If it must be so, {write}")
        elif calls < before * (1 - TOLERANCE):
            faults.append(f"{request} makes only {calls:,} calls, and before it made {before:,}: {write}")
    return faults


def count_all(folder: Path) -> dict[str, int]:
    """The calls of one request of each kind, on a CSV store in this folder."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # before the import: as under gunicorn
    from devicesvc.app import create_app
    from devicesvc.dao.urls import open_store

    devices = make_devices(DEVICES)
    path = folder / "device.csv"
    path.write_bytes(as_csv(devices))
    ids = itertools.cycle(device.id for device in devices)
    new = itertools.count()

    def change() -> dict[str, Any]:
        return {"method": "PUT", "json": {"id": next(ids), "name": f"gateway-{next(new):05}"}}

    def accept() -> dict[str, str]:
        """A header that no request has had: so nothing that was remembered is the answer."""
        return {"Accept": f"*/*; number={next(new)}"}

    kinds: dict[str, Callable[[], dict[str, Any]]] = {
        "GET by id": lambda: {"path": f"/v1/devices/{next(ids)}", "headers": accept()},
        "GET by id, again": lambda: {"path": f"/v1/devices/{devices[0].id}"},
        "GET ?id=": lambda: {"query_string": {"id": next(ids)}, "headers": accept()},
        "list of 100": lambda: {"query_string": {"limit": 100}, "headers": accept()},
        "PUT": change,
    }
    with open_store(str(path)) as store:
        app = create_app({"TOKENS_FILE": ""}, store=store)
        return {kind: count(app, requests_of(make)) for kind, make in kinds.items()}


def requests_of(make: Callable[[], dict[str, Any]]) -> Iterator[WSGIEnvironment]:
    while True:
        yield EnvironBuilder(**{"path": "/v1/devices", **make()}).get_environ()


def count(app: Callable[..., Any], requests: Iterator[WSGIEnvironment]) -> int:
    """The calls of functions, in Python and in C, that a request makes in all threads: the mean of many."""
    numbers = itertools.count()  # is counted on in one step, also by two threads

    def see(_frame: object, event: str, _what: object) -> None:
        if event in ("call", "c_call"):
            next(numbers)

    for _ in range(TIMES):
        answer(app, next(requests))  # fills what is remembered
    chosen = [next(requests) for _ in range(TIMES)]
    threading.setprofile_all_threads(see)  # type: ignore[attr-defined]  # since Python 3.12
    try:
        for request in chosen:
            answer(app, request)
    finally:
        threading.setprofile_all_threads(None)  # type: ignore[attr-defined]  # since Python 3.12
    return round(next(numbers) / TIMES)


def answer(app: Callable[..., Any], request: WSGIEnvironment) -> None:
    statuses: list[str] = []
    for _ in app(request, lambda status, _headers, _error=None: statuses.append(status)):
        pass
    if statuses != ["200 OK"]:
        sys.exit(f"{request['REQUEST_METHOD']} {request['PATH_INFO']} was answered {statuses}.")


if __name__ == "__main__":
    main()
