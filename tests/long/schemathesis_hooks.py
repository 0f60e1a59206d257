"""What schemathesis must know besides the OpenAPI document, which cannot say it."""

import re
from datetime import datetime
from urllib.parse import urlencode

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

from devicesvc.api.examples import DEVICE
from devicesvc.api.fields import MAX_SET
from devicesvc.api.history_schemas import MAX_WAIT
from devicesvc.api.paging import encode_cursor
from devicesvc.dao.base import Cursor, PageRequest
from devicesvc.model import Device, DeviceFilter, GroupFilter
from tests.hard_data import content

ID = Device.RULES["id"]
SORTS = sorted({*DeviceFilter.SORTS} & {*GroupFilter.SORTS})
ALL_SORTS = {*DeviceFilter.SORTS} | {*GroupFilter.SORTS}
TOO_MANY = [str(number) for number in range(MAX_SET + 1)]
LONGEST_QUERY = 7_000  # bytes; the service answers 414 to a request line of 8,190

NO_NUL = st.characters(codec="utf-8", exclude_characters="\0")  # no item has NUL in a value, so no cursor has
made: set[str | None] = set()  # the cursors made here: others are meant to be refused


@st.composite
def cursors(draw):
    cursor = Cursor(draw(st.text(NO_NUL, max_size=20)), draw(st.text("ab1", max_size=5)))
    made.add(text := encode_cursor(cursor, PageRequest(draw(st.sampled_from(SORTS)), draw(st.booleans()))))
    return text


ids = st.from_regex(re.compile(ID.pattern, re.ASCII), fullmatch=True).filter(lambda id: len(id) <= ID.max_length)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2026, 1, 1)).map(lambda moment: f"{moment.isoformat()}+08:00")
files = st.lists(ids, max_size=5, unique=True).map(
    lambda ids: content(Device.build({**DEVICE, "id": id}) for id in ids).decode()
)
schemathesis.openapi.format("cursor", cursors())
schemathesis.openapi.format("csv", files)
schemathesis.openapi.format("moment", moments)


@schemathesis.hook
def before_call(context, case, kwargs):  # noqa: ARG001 - schemathesis looks at the names
    """A list is sorted as its cursor says, and not otherwise; an empty list of ids, which an answer may hold, cannot be
    sent in a query or be an id in a path; one value in the place of a list cannot be told from a list of one; `after`
    takes two arguments beside it, and nobody waits for long; an empty text is not a time; an id in the body is the one
    in the path; and no address is too long, which the document does not speak of."""
    query = case.query or {}
    is_negative = case.meta and case.meta.generation.mode is GenerationMode.NEGATIVE
    if query.get("ids") == []:
        query["ids"] = ["none"]
    if str(query.get("cursor")) in made and str(query.get("sort", "id")).removeprefix("-") in ALL_SORTS:
        query.pop("sort", None)
    if "after" in query and not is_negative:
        query = case.query = {name: query[name] for name in ("after", "wait", "limit") if name in query}
    if "wait" in query and str(query["wait"]).isdigit() and 1 <= int(query["wait"]) <= MAX_WAIT:
        query["wait"] = 1
        if "after" not in query:
            del query["wait"]
    for name in ("since", "until", "at"):
        if query.get(name) == "":
            del query[name]
    if is_negative:
        spoilt = (name for name in ("group_id", "device_id") if not isinstance(query.get(name, []), list))
        query.update(dict.fromkeys(spoilt, TOO_MANY))
    query.update(_short_lists(query))
    path, body = case.path_parameters or {}, case.body
    path.update({name: "none" for name, value in path.items() if value in ([], "[]")})
    if "id" in path and isinstance(body, dict) and isinstance(body.get("id"), str) and body["id"] != path["id"]:
        body["id"] = path["id"]


def _short_lists(query):
    """The lists of a query, cut so that it can be sent."""
    lists = {name: value for name, value in query.items() if isinstance(value, list)}
    while any(lists.values()) and len(urlencode(query | lists, doseq=True)) > LONGEST_QUERY:
        lists = {name: value[: len(value) // 2] for name, value in lists.items()}
    return lists
