"""Open a store, and add, update and delete a device again and again, each once more until it is acknowledged:

python -m tests.long.many_changes PATH NAME CHANGES
"""

import sys
from collections.abc import Callable

from devicesvc.dao.base import Store, Transaction
from devicesvc.dao.urls import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.logs import request_id
from tests.hard_data import device


def keep(store: Store, change: Callable[[Transaction], object]) -> None:
    """Make the change, also if an edit by hand comes in between."""
    while True:
        try:
            store.write(change)
            return
        except StoreUnavailable as error:
            if "Nothing was changed" not in str(error):
                raise


if __name__ == "__main__":
    path, name, count = sys.argv[1:]
    steps: tuple[Callable[[Transaction], object], ...] = (
        lambda tx: tx.devices.add(device(name)),
        lambda tx: tx.devices.update(name, {"name": "new"}),
        lambda tx: tx.devices.remove([name]),
    )
    with open_store(path) as store:
        for number in range(int(count)):
            request_id.set(f"{name}-{number}")
            keep(store, steps[number % 3])
            store.devices.list()
