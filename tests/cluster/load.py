"""Clients of two services on one cluster, and what they saw: what was acknowledged, refused, unknown, stale or lost."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

import requests

from tests.cluster.nodes import until
from tests.hard_data import ADD

WRITERS = 8
READERS = 4
PAUSE = 0.01  # seconds between two calls of one client
PATIENCE = 30  # seconds that a client waits for an answer
HEALED = 60  # seconds after which nobody waits for the services to heal
ACKNOWLEDGED, REFUSED, UNKNOWN = "acknowledged", "refused", "unknown"


@dataclass
class Writer:
    """One client, and the outcome of each of its changes, by number. Change n gives one device the name of n: a device
    of its own to each odd number, and the same one to all even numbers."""

    number: int
    run: str  # differs from what others have written to the same cluster
    outcomes: dict[int, str] = field(default_factory=dict)
    last: list[int] = field(default_factory=lambda: [-1, -1])  # acknowledged changes: even, odd

    def id(self, n: int) -> str:
        return f"{self.run}-{self.number}-{n if n % 2 else 0}"

    def name(self, n: int) -> str:
        return f"writer {self.number}, change {n}"

    def shown(self, device: dict[str, Any]) -> int:
        """The number of the change that a device shows."""
        return int(device["name"].rpartition(" ")[2])


class Load:
    """Writers and readers on both services, from the moment that they start until they are stopped."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        run = uuid.uuid4().hex[:8]
        self.writers = [Writer(number, run) for number in range(WRITERS)]
        self.reads: list[list[float]] = [[] for _ in urls]  # times of good answers, for each service
        self.writes: list[list[float]] = [[] for _ in urls]
        self.taken: list[float] = []  # seconds that each acknowledged change took
        self.refusals = Counter[int]()  # by status
        self.details = Counter[str]()
        self.stale: list[str] = []
        self.dirty: list[str] = []  # reads that show what was refused
        self.begin = self.end = time.monotonic()
        self.events: list[str] = []
        self._done = threading.Event()
        self._clients: list[Future[None]] = []

    def start(self, pool: Executor) -> None:
        """Have the clients work until they are stopped."""
        self._clients += [pool.submit(self._write, each, each.number % len(self._urls)) for each in self.writers]
        self._clients += [pool.submit(self._read, number) for number in range(READERS)]

    def stop(self) -> None:
        """Have the clients end, and wait for them. Stopping twice is no error."""
        if not self._done.is_set():
            self._done.set()
            self.end = time.monotonic()
        for client in self._clients:
            client.result()

    def fault(self) -> None:
        """Gaps are counted from now on."""
        self.begin = time.monotonic()

    def is_back(self, since: float) -> bool:
        """Whether both services have answered reads and writes again and again in the last second, after `since`."""
        after = max(since, time.monotonic() - 1)
        return all(len(times) > 10 and times[-10] > after for times in [*self.reads, *self.writes])

    def wait_until_back(self, what_was_done: str) -> None:
        """Wait until both services read and write again, but not for ever: what the clients saw says the rest."""
        since = time.monotonic()
        self.events.append(f"{since - self.begin:.2f} s: {what_was_done}")
        with suppress(AssertionError):
            until(lambda: self.is_back(since), "both services read and write", HEALED)

    def milliseconds(self, changes: int) -> float:
        """How long the next changes take: the median of so many."""
        before = len(self.taken)
        until(lambda: len(self.taken) >= before + changes, f"{changes} changes")
        return 1000 * median(self.taken[before:])

    def _write(self, writer: Writer, service: int) -> None:
        session = requests.Session()
        n = 0
        while not self._done.is_set():
            outcome, begin = UNKNOWN, time.monotonic()
            try:
                answer = session.put(
                    f"{self._urls[service]}/v1/devices/{writer.id(n)}",
                    json=ADD | {"name": writer.name(n)},
                    timeout=PATIENCE,
                )
            except requests.RequestException as error:
                self.details[type(error).__name__] += 1
                session = requests.Session()
            else:
                outcome = self._outcome(answer)
            if outcome == ACKNOWLEDGED:
                now = time.monotonic()
                self.writes[service].append(now)
                self.taken.append(now - begin)
                writer.last[n % 2] = n
            writer.outcomes[n] = outcome
            n += 1
            self._done.wait(PAUSE if outcome == ACKNOWLEDGED else 5 * PAUSE)

    def _outcome(self, answer: requests.Response) -> str:
        if answer.ok:
            return ACKNOWLEDGED
        self._count(answer)
        detail = answer.json()["detail"]
        assert answer.status_code == 503, detail
        return REFUSED if "Nothing was changed" in detail else UNKNOWN

    def _count(self, answer: requests.Response) -> None:
        self.refusals[answer.status_code] += 1
        detail = answer.json()["detail"]
        self.details[detail.partition(" cannot be used: ")[2] or detail] += 1

    def _read(self, number: int) -> None:
        """Read the device of each writer's last acknowledged change, of the even ones and of the odd ones."""
        session = requests.Session()
        turn = number
        while not self._done.is_set():
            turn += 1
            writer, service = self.writers[turn // 4 % WRITERS], turn % len(self._urls)
            n = writer.last[turn // 2 % 2]
            if n >= 0:
                try:
                    answer = session.get(f"{self._urls[service]}/v1/devices/{writer.id(n)}", timeout=PATIENCE)
                    self._judge(answer, writer, n, service)
                except requests.RequestException as error:
                    self.details[f"{type(error).__name__} of a read"] += 1
                    session = requests.Session()
            self._done.wait(PAUSE)

    def _judge(self, answer: requests.Response, writer: Writer, n: int, service: int) -> None:
        """A read that began when change n was acknowledged."""
        if answer.status_code == 503:
            self._count(answer)
            return
        now = time.monotonic()
        self.reads[service].append(now)
        seen = writer.shown(answer.json()["data"]) if answer.ok else -1
        if seen < n:
            self.stale.append(f"service {service}, {now - self.begin:.2f} s: {writer.name(n)}, but it shows {seen}")
        elif writer.outcomes.get(seen) == REFUSED:
            self.dirty.append(f"service {service}, {now - self.begin:.2f} s: {writer.name(seen)}")

    def report(self) -> "Report":
        """What came of it. The services must answer again."""
        lost, resurrected = [], list(self.dirty)
        there = self._all_devices()
        for writer in self.writers:
            for n, outcome in writer.outcomes.items():
                shown = writer.shown(there[writer.id(n)]) if writer.id(n) in there else -1
                if outcome == ACKNOWLEDGED and shown < n:
                    lost.append(f"{writer.name(n)}: {shown}")
                elif outcome == REFUSED and shown == n:
                    resurrected.append(writer.name(n))
        counts = Counter(outcome for writer in self.writers for outcome in writer.outcomes.values())
        return Report(
            acknowledged=counts[ACKNOWLEDGED],
            refused=self.refusals[503],
            unknown=counts[UNKNOWN],
            lost=lost,
            resurrected=resurrected,
            stale=self.stale,
            without_reads=max(self._gap(times) for times in self.reads),
            without_writes=max(self._gap(times) for times in self.writes),
            details=self.details,
        )

    def _gap(self, times: list[float]) -> float:
        """The longest time without a good answer."""
        all_times = [self.begin, *(each for each in times if each > self.begin), self.end]
        return max(after - before for before, after in pairwise(all_times))

    def _all_devices(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        query: dict[str, Any] | None = {"limit": 1000}
        while query:
            page = requests.get(f"{self._urls[0]}/v1/devices", params=query, timeout=PATIENCE).json()
            found |= {device["id"]: device for device in page["data"]}
            query = {"limit": 1000, "cursor": page["next"]} if page["next"] else None
        return found


@dataclass
class Report:
    """What a fault cost. Gaps are in seconds, of the service that was worse off."""

    acknowledged: int
    refused: int
    unknown: int
    lost: list[str]
    resurrected: list[str]
    stale: list[str]
    without_reads: float
    without_writes: float
    details: Counter[str]

    HEAD = (
        "| fault | no read, s | no write, s | acknowledged | 503 | unknown | lost | refused, yet there | stale |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    )

    def row(self, fault: str) -> str:
        bad = f"{len(self.lost)} | {len(self.resurrected)} | {len(self.stale)}"
        gaps = f"{self.without_reads:.1f} | {self.without_writes:.1f}"
        return f"| {fault} | {gaps} | {self.acknowledged:,} | {self.refused:,} | {self.unknown} | {bad} |"


@contextmanager
def running_load(urls: list[str]) -> Iterator[Load]:
    """Clients that work already, and until the end of the block."""
    load = Load(urls)
    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        load.start(pool)
        try:
            until(lambda: all(len(writer.outcomes) > 10 for writer in load.writers), "each client writes")
            until(lambda: load.is_back(load.begin), "both services read and write")
            yield load
        finally:
            load.stop()
