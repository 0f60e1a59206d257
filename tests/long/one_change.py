"""Open a store, make one change, once more if need be, and say so when it is acknowledged:

python -m tests.long.one_change CHANGE PATH
"""

import os
import sys

from devicesvc.dao import open_store
from devicesvc.errors import StoreUnavailable
from devicesvc.sample import DEVICES
from tests.hard_data import device
from tests.long.crash_states import ANSWER

LONG = {"name": "设" * 64, "hardware_model": "备" * 64, "hardware_sn": "管" * 64}  # so that a file has several blocks
BEFORE = [device(id, **LONG) for id in ("1", "2", "3")]
CHANGED = {"name": "理" * 64}

# For each change: the devices before it (None: there is no file), the devices after it, and the op (None: only open).
CHANGES = {
    "the first start": (None, [*DEVICES], None),
    "an add": (BEFORE, [*BEFORE, device("4", **LONG)], lambda to: to.devices.add(device("4", **LONG))),
    "an update": (BEFORE, [BEFORE[0].merge(CHANGED), *BEFORE[1:]], lambda to: to.devices.update("1", CHANGED)),
    "a delete": (BEFORE, BEFORE[1:], lambda to: to.devices.remove(["1"])),
}


if __name__ == "__main__":
    change, path = sys.argv[1:]
    _, _, op = CHANGES[change]
    try:
        with open_store(path, DEVICES) as store:
            if op:
                store.write(op)
    except StoreUnavailable:
        with open_store(path) as store:  # as another worker would, or the service after a restart
            store.write(op)
    os.write(1, ANSWER)
