"""GET of a device, and of pages of lists: each filter, each order, with and without the total."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from benchmarks.results import Results
from benchmarks.run import Progress
from benchmarks.scale import statements
from benchmarks.scale.registry import FIRST_ID, IDS, LARGE_GROUP, Registry
from benchmarks.services import Service
from devicesvc.api.paging import encode_cursor
from devicesvc.dao.base import Cursor, PageRequest
from devicesvc.dao.urls import open_store
from devicesvc.model import Device, DeviceFilter

PAGES, COUNTED, MEMORY = "Pages", "Pages with their total", "Memory"
ONE, EXPORT = "one device, GET by id", "all devices as CSV"
ENOUGH = 5  # seconds that the turns of one page may take together


@dataclass(frozen=True)
class Asked:
    """A page of devices. where: the arguments of the filter. middle: whether it starts at the device in the middle."""

    words: str
    where: Mapping[str, str] = field(default_factory=dict)
    sort: str = "id"
    middle: bool = False
    limit: int = 100

    def request(self, device: Device, count: bool) -> PageRequest:
        name = self.sort.removeprefix("-")
        after = Cursor(DeviceFilter.SORTS[name](device), device.id) if self.middle else None
        return PageRequest(name, self.sort.startswith("-"), after, self.limit, count)

    @property
    def is_sorted(self) -> bool:
        return self.words.startswith("sort=")

    def filter(self) -> DeviceFilter:
        fields: dict[str, Any] = dict(self.where)
        groups = frozenset({fields.pop("group_id")}) if "group_id" in fields else frozenset()
        return DeviceFilter(**fields, group_ids=groups)

    def query(self, device: Device, count: bool) -> dict[str, str | int]:
        request = self.request(device, count)
        cursor = {"cursor": encode_cursor(request.after, request) or ""} if self.middle else {}
        return {**self.where, **cursor, "sort": self.sort, "limit": self.limit, "total": str(count).lower()}


def asked(device: Device) -> list[Asked]:
    """The pages that are measured. device: the one in the middle."""
    nic = device.nic[0]
    unique = {"id": device.id, "name": device.name, "sn": device.hardware.sn, "mac": nic.mac, "ipv4": nic.ipv4}
    return [
        Asked("all devices, 1,000 from a cursor", middle=True, limit=1_000),
        *(Asked(f"one {name}", {name: value}) for name, value in unique.items()),
        *(
            Asked(f"{words}{', from a cursor' * middle}", {name: value}, middle=middle)
            for words, name, value in (
                ("one type of three", "type", "gateway"),
                ("one status of two", "status", "online"),
                ("a group with a third of all", "group_id", LARGE_GROUP),
            )
            for middle in (False, True)
        ),
        Asked("a group with a thousandth of all", {"group_id": "1"}),
        Asked("one type and one status", {"type": "gateway", "status": "online"}),
        Asked("part of a model that half of all have", {"model": "berry"}),
        Asked("part of a model that no device has", {"model": "zzz"}),
        Asked("a text that half of all have, by q", {"q": "berry"}),
        Asked("a text that no device has, by q", {"q": "zzz"}),
        *(Asked(f"sort={name}, from a cursor", sort=name, middle=True) for name in DeviceFilter.SORTS),
        *(Asked(f"sort=-{name}, from a cursor", sort=f"-{name}", middle=True) for name in DeviceFilter.SORTS),
        Asked("one type of three, sort=name", {"type": "gateway"}, sort="name"),
    ]


def measure(results: Results, progress: Progress, registry: Registry, turns: int) -> None:
    """Measure all pages, one after another, by one client; and the memory of the service before and after."""
    device = _middle(registry)
    _keep_plans(results, registry, device)
    with registry.service() as service, requests.Session() as session:
        results.add(MEMORY, "at the start", registry.kind, "MB", service.peak_memory())
        url = f"{service.url}/v1/devices"
        _add(results, registry, PAGES, ONE, f"{url}/{device.id}", {}, session, turns)
        for part, count in ((PAGES, False), (COUNTED, True)):
            for each in asked(device):
                if count and each.is_sorted:  # its total is that of the same list by id
                    continue
                progress.show(f"{registry.kind}: {part}: {each.words}")
                _add(results, registry, part, each.words, url, each.query(device, count), session, turns)
        results.add(MEMORY, "after all pages", registry.kind, "MB", service.peak_memory())
        _export(results, registry, service)


def _middle(registry: Registry) -> Device:
    """The device in the middle by id."""
    middle = str(FIRST_ID + IDS // 2)
    with open_store(registry.url) as store:
        return store.devices.page(DeviceFilter(), PageRequest(after=Cursor(middle, middle), limit=1)).items[0]


def _keep_plans(results: Results, registry: Registry, device: Device) -> None:
    with open_store(registry.url) as store:
        results.about.setdefault("plans", {})[registry.kind] = {
            each.words: statements.plan(store, each.filter(), each.request(device, False))  # type: ignore[arg-type]
            for each in asked(device)
        }


def _add(
    results: Results,
    registry: Registry,
    part: str,
    row: str,
    url: str,
    query: Mapping[str, str | int],
    session: requests.Session,
    turns: int,
) -> None:
    end = time.monotonic() + ENOUGH
    session.get(url, params=query, timeout=60).raise_for_status()  # the first warms up
    for turn in range(3 * turns):
        begin = time.perf_counter()
        session.get(url, params=query, timeout=60).raise_for_status()
        results.add(part, row, registry.kind, "ms", (time.perf_counter() - begin) * 1000)
        if turn and time.monotonic() > end:
            break


def _export(results: Results, registry: Registry, service: Service) -> None:
    """Read all devices as CSV."""
    begin = time.perf_counter()
    with requests.get(f"{service.url}/v1/devices", headers={"Accept": "text/csv"}, stream=True, timeout=600) as answer:
        lines = sum(chunk.count(b"\n") for chunk in answer.iter_content(1 << 20))
    if lines != registry.devices + 1:
        raise RuntimeError(f"devicesvc on {registry.kind} did not export {registry.devices:,} devices.")
    results.add(PAGES, EXPORT, registry.kind, "ms", (time.perf_counter() - begin) * 1000)
    results.add(MEMORY, "after an export of all devices", registry.kind, "MB", service.peak_memory())
