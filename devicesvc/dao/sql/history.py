"""The history in a SQL database: a table whose rows are added in the transaction of their change."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    TextClause,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
)

from devicesvc.dao.history import ADDED, MAX_ROWS, Change, History, HistoryFilter, Row
from devicesvc.dao.sql import schema
from devicesvc.dao.sql.pages import chunks, storable, text_parameter
from devicesvc.dao.sql.reads import Source
from devicesvc.errors import StoreUnavailable

TOGETHER = 1_000  # rows that are read together, or deleted in one transaction
LAST = 2**63 - 1  # the greatest number that a database has

_COLUMNS = schema.history.c
_ROW = [_COLUMNS[name] for name in ("number", *Row._fields[1:])]
_ROWS = select(*_ROW)
_place = tuple_(_COLUMNS.number, _COLUMNS.position)
_BY_PLACE = _COLUMNS.number, _COLUMNS.position

ADD = insert(schema.history)


def values(position: int, row: Row) -> dict[str, Any]:
    """What the table has of a row. position: its place in its change, from 0."""
    device_id, group_id = items(row.kind, row.id)
    own = dict(zip((each.name for each in _ROW), row, strict=True))
    return {**own, "position": position, "device_id": device_id, "group_id": group_id}


def items(kind: str, id: str) -> tuple[str | None, str | None]:
    """The ids of the device and of the group that rows of this kind and id are about, if any."""
    if kind == "membership":
        device_id, _, group_id = id.partition("/")
        return device_id, group_id
    return id if kind == "device" else None, id if kind == "group" else None


class SqlHistory(History):
    """The history of a store.

    reads: where pages are read. feed: gives a connection for what must not miss a change, and the number up to which
    none is still to come. changing: a transaction to delete in. estimate: of its bytes.
    """

    def __init__(
        self,
        reads: Source,
        feed: Callable[[], AbstractContextManager[tuple[Connection, int]]],
        changing: Callable[[], AbstractContextManager[Connection]],
        estimate: TextClause,
    ) -> None:
        self._reads = reads
        self._feed = feed
        self._changing = changing
        self._estimate = estimate

    def page(self, where: HistoryFilter, before: int | None, limit: int) -> list[Change]:
        given = {name: value for name in _FIELDS if (value := getattr(where, name)) is not None}
        if not all(map(storable, given.values())):
            return []
        own, given = tuple(given), {**given, "before": LAST if before is None else _storable(before), "most": limit}
        with self._reads.connect() as connection:
            numbers = connection.scalars(_newest(own), given).all()
            return _changes(connection, numbers, own, given)

    def after(self, number: int, limit: int) -> list[Change]:
        with self._feed() as (connection, settled):
            given = {"after": _storable(number), "settled": settled, "most": limit}
            return _changes(connection, connection.scalars(_NEXT, given).all(), (), given)

    def last(self) -> int:
        with self._feed() as (connection, settled):
            return int(connection.scalar(_LAST, {"settled": settled}) or 0)

    def find(self, number: int, first: int = 0, limit: int | None = None) -> Change | None:
        if not 0 < number <= LAST:
            return None
        with self._reads.connect() as connection:
            given = {"number": number, "first": first, "most": LAST if limit is None else limit}
            count = connection.scalar(_COUNT, given)
            rows = _made(connection.execute(_PART, given))
            head = rows[:1] or _made(connection.execute(_PART, {**given, "first": 0, "most": 1}))
        return Change(*head[0][:5], count or 0, rows) if head else None

    def rows_of(self, kind: str, id: str) -> Iterator[Row]:
        device_id, group_id = items(kind, id)
        given = {name: id for name, id in (("device_id", device_id), ("group_id", group_id)) if id is not None}
        if not given or not all(map(storable, given.values())):
            return
        place = {"number": LAST, "position": 0}
        while True:
            rows = self._reads.rows(_of_item(tuple(given)), {**given, **place, "kind": kind, "most": TOGETHER})
            yield from (Row(*row[:-1]) for row in rows)
            if len(rows) < TOGETHER:
                return
            place = {"number": rows[-1][0], "position": rows[-1][-1]}

    def prune(self, before: str) -> int:
        deleted = 0
        try:
            for outlived in self._outlived(before):
                with self._changing() as connection:
                    for chunk in chunks(outlived):
                        connection.execute(delete(schema.history).where(_place.in_(chunk)))
                deleted += len(outlived)
        except StoreUnavailable as error:
            if deleted:
                words = f"{deleted:,} rows were deleted before that; prune again for the rest."
                raise StoreUnavailable(f"{error} {words}") from error
            raise
        return deleted

    def _outlived(self, before: str) -> Iterator[list[tuple[int, int]]]:
        """The places of the rows of before this time that may be deleted, in portions."""
        place = {"number": 0, "position": -1}
        while True:
            older = self._reads.rows(_OLDER, {**place, "time": before, "most": TOGETHER})
            if outlived := [(number, position) for number, position, is_outlived in older if is_outlived]:
                yield outlived
            if len(older) < TOGETHER:
                return
            place = {"number": older[-1][0], "position": older[-1][1]}

    def size(self) -> int:
        with self._reads.connect() as connection:
            return int(connection.scalar(select(self._estimate)) or 0)


_FIELDS = ("device_id", "group_id", "who", "request_id", "since", "until")


def _storable(number: int) -> int:
    """The nearest number that a database has."""
    return max(0, min(number, LAST))


def _number(parameter: str) -> Any:
    return bindparam(parameter, type_=BigInteger)


def _condition(field: str) -> ColumnElement[bool]:
    value = text_parameter(field)
    if field == "since":
        return _COLUMNS.time >= value
    return _COLUMNS.time < value if field == "until" else _COLUMNS[field] == value


@lru_cache(100)
def _newest(fields: Sequence[str]) -> Select[Any]:
    """The numbers of the newest changes that have a row which fits."""
    wanted = select(_COLUMNS.number).distinct().where(_COLUMNS.number < _number("before"), *map(_condition, fields))
    return wanted.order_by(_COLUMNS.number.desc()).limit(_number("most"))


_NEXT = (
    select(_COLUMNS.number)
    .distinct()
    .where(_COLUMNS.number > _number("after"), _COLUMNS.number <= _number("settled"))
    .order_by(_COLUMNS.number)
    .limit(_number("most"))
)
_LAST = select(func.max(_COLUMNS.number)).where(_COLUMNS.number <= _number("settled"))
_COUNT = select(func.count()).select_from(schema.history).where(_COLUMNS.number == _number("number"))
_PART = (
    _ROWS.where(_COLUMNS.number == _number("number"))
    .order_by(_COLUMNS.position)
    .limit(_number("most"))
    .offset(_number("first"))
)


def _made(rows: Any) -> list[Row]:
    return list(map(Row._make, rows))


def _changes(connection: Connection, numbers: Sequence[int], fields: Sequence[str], given: Any) -> list[Change]:
    """The changes with these numbers, in their order: of each the first MAX_ROWS rows that fit."""
    number, counts, rows = _COLUMNS.number, dict[int, int](), defaultdict[int, list[Row]](list)
    counted, fitting = select(number, func.count()).group_by(number), _ROWS.where(*map(_condition, fields))
    for chunk in chunks(numbers):
        counts |= {row[0]: row[1] for row in connection.execute(counted.where(number.in_(chunk)))}
        small = [each for each in chunk if counts.get(each, 0) <= MAX_ROWS]
        for row in _made(connection.execute(fitting.where(number.in_(small)).order_by(*_BY_PLACE), given)):
            rows[row.change].append(row)
        for large in {*chunk}.difference(small):
            first = fitting.where(number == large).order_by(_COLUMNS.position).limit(MAX_ROWS)
            rows[large] = _made(connection.execute(first, given))
    return [Change(*rows[each][0][:5], counts[each], rows[each]) for each in numbers if rows[each]]


@lru_cache(10)
def _of_item(fields: Sequence[str]) -> Select[Any]:
    """The rows of an item before a place, the last first, each with its position."""
    place = tuple_(_number("number"), bindparam("position", type_=Integer))
    its = [_COLUMNS[field] == text_parameter(field) for field in fields]
    query = _ROWS.add_columns(_COLUMNS.position).where(*its, _COLUMNS.kind == text_parameter("kind"), _place < place)
    return query.order_by(_COLUMNS.number.desc(), _COLUMNS.position.desc()).limit(_number("most"))


def _later(field: str) -> ColumnElement[bool]:
    """Whether there is a later change of the item of a row, and if that tells of a creation, a later creation."""
    later = schema.history.alias().c
    return exists().where(
        later[field] == _COLUMNS[field],
        later.kind == _COLUMNS.kind,
        later.id == _COLUMNS.id,
        later.number > _COLUMNS.number,
        or_(_COLUMNS.done != ADDED, later.done == ADDED),
    )


# The rows of before a time that come after a place, each with whether it may be deleted.
_OLDER = (
    select(_COLUMNS.number, _COLUMNS.position, or_(_later("device_id"), _later("group_id")))
    .where(
        _COLUMNS.time < text_parameter("time"),
        _place > tuple_(_number("number"), bindparam("position", type_=Integer)),
    )
    .order_by(*_BY_PLACE)
    .limit(_number("most"))
)
