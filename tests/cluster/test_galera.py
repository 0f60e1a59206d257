"""As test_patroni.py, on a MariaDB cluster behind HAProxy."""

import pytest
from devicesvc.migrations import upgrade

from tests.cluster.galera import CHECKED, SUSPECTED, running_cluster

# Seconds: a node is left out, HAProxy notices, the services connect again. All share one machine, which may be busy.
BACK = 2 * SUSPECTED + 4 * CHECKED + 4


@pytest.fixture(scope="module")
def cluster():
    """Three nodes, and the tables of a registry."""
    with running_cluster() as cluster:
        upgrade(cluster.url)
        yield cluster


def test_a_writer_that_is_killed_costs_no_change(cluster, load, judge):
    writer = cluster.leader()
    load.fault()
    writer.kill()
    load.wait_until_back("the writer is killed")
    writer.start(cluster.nodes)
    cluster.wait_until_whole()
    load.stop()
    judge("writer killed", load, writes_back=BACK, reads_back=BACK)


def test_a_writer_that_freezes_and_comes_back_costs_no_change(cluster, load, judge):
    writer = cluster.leader()
    load.fault()
    writer.freeze()
    load.wait_until_back("the writer is frozen")
    writer.thaw()
    load.wait_until_back("the writer is thawed")
    cluster.wait_until_whole()
    load.stop()
    judge("writer frozen", load, writes_back=BACK, reads_back=BACK)
