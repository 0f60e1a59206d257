"""A PostgreSQL cluster loses a node under load: nothing that was acknowledged is lost, nothing that was refused is
found later, no read is stale, and the services heal by themselves."""

import pytest
from devicesvc.migrations import upgrade

from tests.cluster.patroni import SENDER_TIMEOUT, TTL, running_cluster

# Seconds, above the figures of docs/cluster.md: all nodes share one machine, which may have other work.
WRITES_BACK = TTL + 12
READS_BACK = 4


@pytest.fixture(scope="module")
def cluster():
    """Three nodes, and the tables of a registry."""
    with running_cluster() as cluster:
        upgrade(cluster.url)
        yield cluster


def test_what_it_costs_to_wait_for_the_standbys(cluster, load, figure):
    synchronous = load.milliseconds(1000)
    cluster.set_synchronous(False)
    alone = load.milliseconds(1000)
    cluster.set_synchronous(True)
    load.stop()
    figure(
        f"Under this load a change takes {synchronous:.1f} ms with two synchronous standbys, {alone:.1f} ms without."
    )


def standby_of(leader, cluster):
    return next(node for node in cluster.nodes if node is not leader)


def test_a_leader_that_is_killed_costs_no_change(cluster, load, judge):
    leader = cluster.leader()
    load.fault()
    leader.kill()
    load.wait_until_back("the leader is killed")
    leader.start(cluster.nodes)
    cluster.wait_until_whole()
    load.stop()
    judge("leader killed", load, writes_back=WRITES_BACK, reads_back=READS_BACK)


def test_a_switchover_costs_no_change(cluster, load, judge):
    load.fault()
    cluster.switch_over()
    load.wait_until_back("another leads")
    cluster.wait_until_whole()
    load.stop()
    judge("switchover", load, writes_back=WRITES_BACK, reads_back=READS_BACK)


def test_a_leader_that_freezes_and_comes_back_costs_no_change(cluster, load, judge):
    leader = cluster.leader()
    load.fault()
    leader.freeze()
    load.wait_until_back("the leader is frozen")
    leader.thaw()
    load.wait_until_back("the leader is thawed")
    cluster.wait_until_whole()
    load.stop()
    judge("leader frozen", load, writes_back=WRITES_BACK, reads_back=READS_BACK)


def test_a_standby_that_freezes_and_comes_back_costs_no_change(cluster, load, judge):
    leader = cluster.leader()
    standby = standby_of(leader, cluster)
    load.fault()
    standby.freeze()
    load.wait_until_back("the standby is frozen")
    standby.thaw()
    load.wait_until_back("the standby is thawed")
    cluster.wait_until_whole()
    load.stop()
    judge("standby frozen", load, writes_back=SENDER_TIMEOUT + 7, reads_back=READS_BACK)


def test_no_reader_is_shown_what_a_standby_has_that_was_left_behind(cluster, load, judge):
    """It is not synchronous when it comes back, and can catch up only when there is a leader."""
    leader = cluster.leader()
    behind = standby_of(leader, cluster)
    load.fault()
    behind.freeze()
    load.wait_until_back("the standby is frozen")
    leader.freeze()
    behind.thaw()
    load.wait_until_back("the leader is frozen, the standby is thawed")
    leader.thaw()
    load.wait_until_back("the leader is thawed")
    cluster.wait_until_whole()
    load.stop()
    judge("leader frozen, a standby behind", load, writes_back=WRITES_BACK, reads_back=WRITES_BACK)
