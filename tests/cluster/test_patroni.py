"""A PostgreSQL cluster loses its leader, or a standby, under load: nothing that was acknowledged is lost, nothing that
was refused is found later, no read is stale, and the services heal by themselves."""

import time
from contextlib import contextmanager

import pytest

from tests.cluster.load import WRITERS, running_load
from tests.cluster.nodes import until
from tests.cluster.patroni import TTL

WRITES_BACK = TTL + 5
READS_BACK = 2
HEALED = 3 * TTL  # seconds after which a fault that lasts is a failure


@pytest.fixture
def services(start, patroni):
    """Two services on the cluster, which is whole before and after."""
    patroni.wait_until_whole()
    yield [start(patroni.url), start(patroni.url)]


@contextmanager
def loaded(services):
    """Clients on both services, that write and read already."""
    with running_load([service.url for service in services]) as load:
        until(lambda: all(len(writer.outcomes) > 10 for writer in load.writers), f"{WRITERS} writers write")
        until(lambda: load.is_back(load.begin), "all is well at the start")
        yield load


def heals(load, since):
    """Wait until both services read and write again; but not for ever: the figures say the rest."""
    try:
        until(lambda: load.is_back(since), "reads and writes are back", HEALED)
    except AssertionError as error:
        print(error)


def judge(report, writes_back, reads_back=READS_BACK):
    print(report.details.most_common(20))
    assert report.lost == []
    assert report.resurrected == []
    assert report.stale == []
    assert report.without_writes < writes_back
    assert report.without_reads < reads_back


def test_a_leader_that_is_killed_costs_no_change(patroni, services, figure, round):
    with loaded(services) as load:
        leader = patroni.leader()
        since = load.fault()
        leader.kill()
        heals(load, since)
        leader.start(patroni.nodes)
        patroni.wait_until_whole()
    report = load.report()
    figure("leader killed", report)
    judge(report, WRITES_BACK)


def test_another_leader_costs_no_change(patroni, services, figure, round):
    with loaded(services) as load:
        since = load.fault()
        patroni.switch_over()
        patroni.wait_until_whole()
        heals(load, since)
    report = load.report()
    figure("switchover", report)
    judge(report, WRITES_BACK)


def test_a_leader_that_freezes_and_comes_back_costs_no_change(patroni, services, figure, round):
    with loaded(services) as load:
        leader = patroni.leader()
        since = load.fault()
        leader.freeze()
        heals(load, since)
        leader.thaw()
        patroni.wait_until_whole()
        heals(load, time.monotonic())
    report = load.report()
    figure("leader frozen", report)
    judge(report, WRITES_BACK)
