"""Three processes change one registry in PostgreSQL at once, and each change is as if it were the only one.

The same changes without locks break that: so the tests would notice. -s shows what was counted.
"""

import multiprocessing
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
from devicesvc.migrations import upgrade
from sqlalchemy import make_url

from devicesvc.dao.urls import open_store
from tests.long.anomalies import PLAIN, REAL, SCENARIOS, Broken, meet_at, run
from tests.postgres import Registry

PROCESSES = 3
SECONDS = 1.2
PLAIN_SECONDS = 0.5


@pytest.fixture(scope="module")
def processes():
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, meet_at, (spawn.Barrier(PROCESSES),)) as pool:
        yield pool


@pytest.fixture(scope="module")
def registry(postgres_server):
    with postgres_server.fresh_database() as url:
        upgrade(url)
        # Without locks there are deadlocks all the time.
        postgres_server.do(f"ALTER DATABASE {make_url(url).database} SET deadlock_timeout = '20ms'")
        registry = Registry(url)
        yield registry
        registry.close()


@pytest.fixture
def collide(processes, registry):
    """Give what all processes counted; `broken` also if the registry cannot be as it is in the end."""

    def collide(scenario: str, mode: str, seconds: float) -> Counter[str]:
        it, url = SCENARIOS[scenario](random.Random()), registry.emptied()
        with open_store(url) as store:
            store.write(it.begin)
            tasks = [processes.submit(run, scenario, mode, url, seed, seconds) for seed in range(PROCESSES)]
            counts = sum((task.result() for task in tasks), Counter[str]())
            try:
                it.end(store, counts)
            except Broken:
                counts["broken"] += 1
        again = counts["tries"] - counts["changes"]
        print(
            f"\n{mode}, {scenario}: {counts['changes']} changes, {again} tries again, {counts['broken']} broken", end=""
        )
        return counts

    return collide


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_changes_of_several_processes_are_as_if_they_ran_one_after_another(collide, scenario):
    counts = collide(scenario, REAL, SECONDS)
    assert counts["changes"] > PROCESSES
    assert not counts["broken"], counts
    assert not counts["unavailable"], counts


@pytest.mark.parametrize("mode", PLAIN)
def test_without_locks_only_serializable_transactions_are_so_too(collide, mode):
    counts = sum((collide(scenario, mode, PLAIN_SECONDS) for scenario in SCENARIOS), Counter[str]())
    again = counts["tries"] - counts["changes"]
    print(f"\n{mode}: {counts['changes']} changes, {again} tries again, {counts['broken']} broken")
    assert bool(counts["broken"]) == (mode != "SERIALIZABLE")
