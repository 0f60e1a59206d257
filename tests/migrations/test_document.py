"""The queries of docs/migrating.md, on the sample devices."""

import sqlite3
from contextlib import closing

from devicesvc.dao.urls import open_store
from devicesvc.model import Group, Membership
from devicesvc.sample import DEVICES
from devicesvc.transfer.mover import Result, migrate
from tests.test_documents import blocks

FOUND = [
    [("adapter", 1), ("controller", 2), ("gateway", 2)],
    [
        ("3635138853", "meter-adapter", "2022-11-30 17:05:00"),
        ("8170245536", "workshop-controller", "2023-03-21 14:20:00"),
    ],
    [("5661391086", "greenhouse-gateway", "dc:a6:32:5e:71:20")],
    [("classroom-controller", 2), ("rooftop-gateway", 2)],
    [("Classroom 101", 2), ("Store", 0)],
]


def test_each_query_finds_what_it_should(tmp_path):
    def fill(tx):
        tx.groups.put_many([Group("room", "Classroom 101"), Group("store", "Store")])
        tx.memberships.add(Membership(each.id, "room") for each in DEVICES[:2])

    with open_store(str(tmp_path / "device.csv"), DEVICES) as store:
        store.write(fill)
    migrate(Result(str(tmp_path / "device.csv"), f"sqlite:///{tmp_path}/device.db"))
    with closing(sqlite3.connect(tmp_path / "device.db")) as database:
        assert [database.execute(query).fetchall() for query in blocks("docs/migrating.md", "sql")] == FOUND
