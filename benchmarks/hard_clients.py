"""Does an ordinary client notice what others do? Slow clients, long transfers, and the end of the service."""

import http.client
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

import requests

from benchmarks import peers
from benchmarks.run import MANY, Run
from benchmarks.services import Service

SLOW, LONG, STOP = "Slow clients", "Long transfers", "SIGTERM under load"
MS, MEMORY, FAILED, NEXT = "median of a GET", "memory", "GETs that failed", "the next connection is served"
PATIENCE = 2  # seconds until an ordinary client gives up
LONG_ROW = "GET while 60 MB are imported and all devices exported, 99th percentile"
STOP_ROW = "requests without an answer, of those sent 50 ms before SIGTERM or earlier"


class Slow(NamedTuple):
    """sends: what each of `number` clients sends at first. drip: what it sends each second after that."""

    sends: bytes
    drip: bytes
    number: int = 1_000


HEAD = b"GET /v1/devices HTTP/1.1\r\nHost: localhost\r\n"
KINDS = {
    "1,000 slow senders of headers": Slow(HEAD, b"X-A: b\r\n"),
    "1,000 slow senders of bodies": Slow(
        b"PUT /v1/devices HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{",
        b" ",
    ),
    "1,000 silent connections": Slow(b"", b""),
    "300 stalled readers": Slow(HEAD + b"Accept: text/csv\r\n\r\n", b"", 300),
}


def measure_slow(run: Run) -> None:
    """Ask as an ordinary client, alone and beside slow clients of each kind."""
    folder = run.prepared(MANY)
    path = f"/v1/devices/{peers.first_id(folder)}"
    for kind, slow in KINDS.items():
        with peers.CSV.service(folder) as service:
            run.progress.show(f"alone, before {kind}")
            alone, _ = ask_for(service, path, run.seconds)
            run.progress.show(kind)
            with slow_clients(service, slow):
                served = is_answered(service, path)
                times, failed = ask_for(service, path, 3 * run.seconds)
                memory = service.memory()

        def add(row: str, unit: str, value: float) -> None:
            run.results.add(SLOW, row, peers.CSV.name, unit, value)

        add(f"{MS}, alone, before {kind}", "ms", median(alone) * 1000)
        add(f"{MS}, {kind}", "ms", median(times or [PATIENCE]) * 1000)
        add(f"{FAILED}, {kind}", "failures", failed)
        add(f"{NEXT}, {kind}", "yes = 1", served)
        add(f"{MEMORY}, {kind}", "MB", memory)


@contextmanager
def slow_clients(service: Service, slow: Slow) -> Iterator[None]:
    """Keep so many slow clients connected as long as the block runs."""
    done = threading.Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(service)) for _ in range(slow.number)]
        for client in clients:
            with suppress(OSError):  # the service may have closed it
                client.sendall(slow.sends)

        def drip() -> None:
            while not done.wait(1):
                for client in clients if slow.drip else ():
                    with suppress(OSError):
                        client.sendall(slow.drip)

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def connect(service: Service) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that an unread answer stalls the service
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", service.port))
    return client


def is_answered(service: Service, path: str) -> bool:
    """Whether one more connection gets an answer."""
    with suppress(requests.RequestException):
        return requests.get(service.url + path, timeout=PATIENCE).status_code == 200
    return False


def ask_for(service: Service, path: str, seconds: float) -> tuple[list[float], int]:
    """GET a path again and again, each time on a new connection. Return the times and the number of failures."""
    times, failed, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        if is_answered(service, path):
            times.append(time.perf_counter() - begin)
        else:
            failed += 1
    return times, failed


def measure_long_transfers(run: Run) -> None:
    """GET one device again and again until another client has imported 60 MB; a third exports without a pause."""
    folder = run.prepared(MANY)
    path = f"/v1/devices/{peers.first_id(folder)}"
    file = devices_of(60, folder / "device.csv")
    done = threading.Event()
    with peers.CSV.service(folder) as service:

        def upload() -> None:
            with suppress(requests.RequestException):
                requests.post(
                    f"{service.url}/v1/devices/import", file, headers={"Content-Type": "text/csv"}, timeout=60
                )
            done.set()

        def export() -> None:
            while not done.is_set():
                with suppress(requests.RequestException):
                    requests.get(f"{service.url}/v1/devices", headers={"Accept": "text/csv"}, timeout=60)

        run.progress.show("importing")
        threads = [threading.Thread(target=each) for each in (upload, export)]
        for thread in threads:
            thread.start()
        times: list[float] = []
        while not done.is_set():
            times.extend(ask_for(service, path, 0.01)[0] or [PATIENCE])
            time.sleep(0.01)
        for thread in threads:
            thread.join()
    run.results.add(LONG, LONG_ROW, peers.CSV.name, "ms", sorted(times)[len(times) * 99 // 100] * 1000)


def devices_of(megabytes: int, source: Path) -> bytes:
    """A CSV file of this size: the devices of another file again and again, under new ids."""
    with source.open("rb") as file:
        header, *lines = file
    copies = (str(number).encode() + line for number in itertools.count(1) for line in lines)
    return header + b"".join(itertools.islice(copies, megabytes * 10**6 * len(lines) // source.stat().st_size))


def measure_stop(run: Run) -> None:
    """End the service while 16 clients change devices, and count the requests that got no answer.

    The changes are among many devices, so each takes so long that all clients wait for one at the signal.
    """
    folder = run.prepared(MANY)
    ids = (folder / "ids").read_text().split()
    for _ in range(min(run.turns, 3)):
        run.progress.show("starting")
        with peers.CSV.service(folder) as service:
            lost: list[float] = []
            begin = time.monotonic()

            def change(number: int) -> None:
                for turn, id in enumerate(ids[number::16]):
                    sent = time.monotonic()
                    if not is_changed(service, id, f"gateway-{turn}"):
                        lost.append(sent)  # noqa: B023
                        return

            threads = [threading.Thread(target=change, args=[number]) for number in range(16)]
            for thread in threads:
                thread.start()
            time.sleep(1)
            signalled = time.monotonic()
            service.terminate()
            for thread in threads:
                thread.join()
        early = sum(begin < sent < signalled - 0.05 for sent in lost)
        run.results.add(STOP, STOP_ROW, peers.CSV.name, "failures", early)


def is_changed(service: Service, id: str, name: str) -> bool:
    """Whether a change gets a whole answer."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    with suppress(OSError, http.client.HTTPException):
        connection.request("PATCH", f"/v1/devices/{id}", f'{{"name": "{name}"}}', {"Content-Type": "application/json"})
        return bool(connection.getresponse().read())
    return False
