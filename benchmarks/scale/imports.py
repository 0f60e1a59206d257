"""An import that changes a tenth of all devices, through the API."""

import itertools
import time

import requests

from benchmarks.results import Results
from benchmarks.run import Progress
from benchmarks.scale.pages import MEMORY
from benchmarks.scale.registry import Registry

PART = "Import"


def measure(results: Results, progress: Progress, registry: Registry) -> None:
    rows = registry.devices // 10
    row = f"{rows:,} devices, all of them changed"
    with registry.source.open() as file:
        head, *lines = itertools.islice(file, rows + 1)
    with registry.service() as service:
        for turn in range(2):
            progress.show(f"{registry.kind}, turn {turn + 1}")
            body = (head + "".join(line.replace(",device-", f",turn-{turn}-", 1) for line in lines)).encode()
            begin = time.perf_counter()
            answer = requests.post(
                f"{service.url}/v1/devices/import", body, headers={"Content-Type": "text/csv"}, timeout=600
            )
            answer.raise_for_status()
            if len(answer.json()["data"]["changed"]) != rows:
                raise RuntimeError(f"devicesvc on {registry.kind} did not change {rows:,} devices.")
            results.add(PART, row, registry.kind, "s", time.perf_counter() - begin)
        results.add(MEMORY, "after an import", registry.kind, "MB", service.peak_memory())
