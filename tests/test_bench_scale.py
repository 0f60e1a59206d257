"""The benchmark of a large registry: what it makes, measures and writes."""

import pytest
from devicesvc.migrations import upgrade

from benchmarks.results import Results, load
from benchmarks.scale import databases, pages, rates, registry, report
from benchmarks.scale.databases import BY_ITSELF, CHANGE, READ
from benchmarks.scale.registry import FIRST_ID, POSTGRESQL, SQLITE, Registry
from devicesvc.dao.urls import open_store
from devicesvc.model import DeviceFilter
from devicesvc.transfer.mover import Result, migrate
from tests.strategies import only_long

DEVICES = 300


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """CSV files of a small registry."""
    path = tmp_path_factory.mktemp("scale") / "device.csv"
    registry.make_files(path, DEVICES)
    return path


@pytest.fixture(params=[SQLITE, pytest.param(POSTGRESQL, marks=only_long)])
def filled(request, source, tmp_path):
    """A small registry in each kind of database."""
    if request.param == SQLITE:
        url = f"sqlite:///{tmp_path}/device.db"
    else:
        url = request.getfixturevalue("postgres_url")
        upgrade(url)
    assert migrate(Result(str(source), url)).done
    return Registry(request.param, url, DEVICES, source)


@pytest.fixture
def results():
    about = {"machine": {"cores": "2"}, "versions": {"wrk": "4.1"}, "date": "2026-11-26", "devices": DEVICES}
    found = Results({**about, "plans": {SQLITE: {"one name": "SEARCH devices"}}})
    found.add(pages.PAGES, "one name", SQLITE, "ms", 1.5)
    return found


def test_an_id_can_be_computed_by_its_number(filled):
    ids = sorted(map(int, filled.ids.read_text().split()))
    assert ids == [FIRST_ID + filled.id_step * number for number in range(DEVICES)]


def test_a_third_of_all_devices_is_in_the_large_group(filled):
    with open_store(filled.url) as store:
        assert len(store.devices.list(DeviceFilter(group_ids=frozenset({registry.LARGE_GROUP})))) == DEVICES // 3


@pytest.mark.parametrize("what", [READ, CHANGE])
def test_a_database_does_by_itself_what_the_service_asks_of_it(filled, what):
    def names():
        with open_store(filled.url) as store:
            return {device.name for device in store.devices.list()}

    before = names()
    assert databases.rate(filled, what, seconds=1) > 0
    changed = names() - before
    assert len(changed) > 10 if what == CHANGE else not changed


def test_a_change_by_itself_leaves_all_but_the_name(filled):
    def devices():
        with open_store(filled.url) as store:
            return {device.id: device for device in store.devices.list()}

    before = devices()
    databases.rate(filled, CHANGE, seconds=1)
    assert [before[id].merge({"name": device.name}) for id, device in devices().items()] == [*devices().values()]


def test_a_plan_says_which_index_leads_to_a_page(filled):
    device = pages._middle(filled)
    found = Results({})
    pages._keep_plans(found, filled, device)
    plans = found.about["plans"][filled.kind]
    assert "pk_devices" in plans["one id"]
    assert "nics" not in plans["one type of three"]
    assert set(plans) == {each.words for each in pages.asked(device)}


def test_each_page_that_is_measured_has_devices(filled):
    device = pages._middle(filled)
    with open_store(filled.url) as store:
        for each in pages.asked(device):
            found = store.devices.page(each.filter(), each.request(device, count=False)).items
            assert bool(found) != ("no device" in each.words), each.words


def test_the_best_set_up_is_judged_by_the_database_by_itself(results):
    part = rates.part_of(READ)
    for row, rate in ((BY_ITSELF, 1_000), ("1 worker", 300), ("2 workers", 500)):
        results.add(part, row, SQLITE, "/s", rate)
    assert "- SQLite: the aim holds, with 0.50 by 2 workers." in report.tables(results)
    results.add(part, "2 workers", SQLITE, "/s", 100)
    assert "- SQLite: the aim **falls short**, with 0.30 by" in report.tables(results)


def test_the_page_has_figures_plans_and_what_lies_beyond(results, tmp_path):
    results.save(tmp_path / "results.json")
    page = report.page(load(tmp_path / "results.json"))
    assert "| one name | 1.50 ms |  |" in page
    assert "| one name | SEARCH devices |  |" in page
    assert "### What of this design would have to give" in page
