"""What the tests of the API ask for: they share one open store of each kind, since to open one takes longer than most
tests.

The API knows the contract of the stores, and no store: import-linter sees to that. So make test runs these tests on one
kind of store, and make test-long on all of them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import pytest

from devicesvc.dao import readiness
from devicesvc.dao.base import Store, Transaction
from devicesvc.dao.urls import open_store
from devicesvc.model import Device, Group, Membership
from devicesvc.sample import DEVICES
from tests.conftest import STORES, store_maker
from tests.strategies import LONG


class Contents(NamedTuple):
    """What a registry holds."""

    devices: list[Device]
    groups: list[Group] = []
    memberships: list[Membership] = []

    def are_in(self, store: Store) -> bool:
        """Whether the store holds this and nothing else."""
        return (
            sorted(self.devices, key=lambda each: each.id) == store.devices.list()
            and sorted(self.groups, key=lambda each: each.id) == store.groups.list()
            and set(self.memberships) == set(store.memberships.list())
        )

    def given_to(self, store: Store) -> Store:
        """The store, which holds this and nothing else then."""
        if not self.are_in(store):
            store.write(self.put)
        return store

    def put(self, tx: Transaction) -> None:
        """Put this in the place of all that is there."""
        tx.devices.remove([each.id for each in tx.devices.list()])
        tx.groups.remove([each.id for each in tx.groups.list()])
        tx.devices.put_many(self.devices)
        tx.groups.put_many(self.groups)
        tx.memberships.add(self.memberships)


@pytest.fixture(scope="module")
def contents() -> Contents:
    """What the registry holds when a test begins; a file of tests may say something else."""
    return Contents(list(DEVICES))


@pytest.fixture(scope="session", params=STORES if LONG else STORES[:1])
def new_store_url(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    return store_maker(request)


@pytest.fixture(scope="session")
def shared_url(new_store_url, tmp_path_factory: pytest.TempPathFactory) -> str:
    url: str = new_store_url(tmp_path_factory.mktemp("shared"))
    return url


@pytest.fixture(scope="session")
def shared_store(shared_url: str) -> Iterator[Store]:
    with open_store(shared_url) as store:
        yield store


@pytest.fixture
def store_url(shared_url: str) -> str:
    """The URL of the store."""
    return shared_url


@pytest.fixture
def store(shared_store: Store, contents: Contents, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An open store, which holds what `contents` says, and of which nothing is remembered."""
    monkeypatch.setattr(readiness, "_outcomes", WeakKeyDictionary())
    return contents.given_to(shared_store)
