"""Pages of devices: each way to ask for one that an index must lead to."""

from typing import Any

from devicesvc.dao.base import Cursor
from devicesvc.model import DeviceFilter

AFTER_AN_ID, AFTER_A_VALUE = {"after": Cursor("5", "5")}, {"after": Cursor("x", "5")}
BY_VALUE = sorted({*DeviceFilter.SORTS} - {"id"})
FILTERS: list[dict[str, Any]] = [{name: "x"} for name in ("id", "sn", "name", "type", "status", "mac", "ipv4")]
FILTERS += [{"group_ids": frozenset({"x"})}]
PAGES = [
    *((where, after) for where in FILTERS for after in ({}, AFTER_AN_ID)),
    *(({}, {"sort": name, **AFTER_A_VALUE}) for name in BY_VALUE),
    *(({}, {"descending": descending, **AFTER_AN_ID}) for descending in (False, True)),
]
