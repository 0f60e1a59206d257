"""How a SQL store reads devices or groups: one by its id, several, or a page that fits a filter."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from tempfile import SpooledTemporaryFile
from typing import Any, ClassVar, Generic, NamedTuple

import orjson
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    func,
    or_,
    select,
    true,
    tuple_,
)

from devicesvc.columns import ENTITIES, Entity
from devicesvc.dao.base import Cursor, Filter, Item, Page, PageRequest, Reader
from devicesvc.dao.sql import schema
from devicesvc.dao.sql.reads import Source
from devicesvc.errors import StoreUnavailable

CHUNK = 500  # values in one statement: databases limit them
LONGEST = max(column.max_length for each in ENTITIES for column in each.columns)

NOTHING = "\0"  # a text that no database can hold
LINE_BREAK = "\n"  # what no field has
IN_MEMORY = 1 << 20  # bytes of the rows that wait for a client; more are in a temporary file

Condition = ColumnElement[bool]


class _Shape(NamedTuple):
    """What statements of pages differ in, besides the values. wanted: the parameters of the filter."""

    wanted: tuple[str, ...]
    sort: str
    descending: bool
    is_after: bool
    is_limited: bool
    is_counted: bool


def storable(value: str) -> bool:
    """Whether a field may have this value: no statement need ask for any other, and MariaDB takes none of megabytes."""
    if len(value) > LONGEST or NOTHING in value or LINE_BREAK in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    rest = list(dict.fromkeys(values))
    return (rest[start : start + CHUNK] for start in range(0, len(rest), CHUNK))


def columns_by_field(entity: Entity[Any], table: Table) -> dict[str, ColumnElement[str]]:
    return {column.field: table.c[column.name] for column in entity.in_database if column.in_file}


class SqlReader(Reader[Item, Filter], Generic[Item, Filter]):
    """The devices, or the groups."""

    _entity: ClassVar[Entity[Any]]
    _table: ClassVar[Table]
    _all: ClassVar[Select[Any]]  # the rows of all items
    _one: ClassVar[Select[Any]]  # the rows of the item with the parameter `id`
    _fields: ClassVar[Mapping[str, ColumnElement[str]]]  # the column of each field that a list may be sorted by

    def __init__(self, source: Source) -> None:
        self._source = source

    def find(self, id: str) -> Item | None:
        rows = self._source.rows_of_one(self._table, self._one, id) if storable(id) else None
        return self._item(rows[0]) if rows else None

    def page(self, where: Filter, request: PageRequest) -> Page[Item]:
        self._source.hold_all()
        asked = self._asked(where, request, 1)
        if not asked:
            return Page([], 0 if request.count else None, None)
        total, rows = None, self._source.rows(*asked)
        if request.count:
            total, rows = rows[0][0], [row[1:] for row in rows if row[1] is not None]
        items = self._items(rows)
        more = request.limit is not None and len(items) > request.limit
        items = items[: request.limit]
        last = items[-1] if items and more else None
        return Page(items, total, Cursor(where.SORTS[request.sort](last), last.id) if last else None)  # type: ignore[arg-type]

    def chunks(self, where: Filter, request: PageRequest, size: int) -> Iterator[Sequence[Item]]:
        self._source.hold_all()
        if not (asked := self._asked(where, replace(request, count=False))):
            return
        # Who is slow to take them must not hold the snapshot: in SQLite, no change could be committed meanwhile.
        with _writing(), SpooledTemporaryFile(IN_MEMORY) as file:
            with self._source.connect() as connection:
                for rows in connection.execute(*asked, execution_options={"yield_per": size}).partitions():
                    file.write(orjson.dumps(list(map(tuple, rows))) + b"\n")
            file.seek(0)  # this and the end of the block write what is buffered
            for line in file:
                yield self._items(orjson.loads(line))

    def _asked(self, where: Filter, request: PageRequest, more: int = 0) -> tuple[Select[Any], dict[str, Any]] | None:
        """The statement of a page and its values; None if nothing can fit. more: rows beyond its limit."""
        values: dict[str, Any] = dict(self._wanted(where))
        if not all(map(storable, values.values())):  # no database can hold it
            return None
        is_after, is_limited = request.after is not None, request.limit is not None
        shape = _Shape(tuple(values), request.sort, request.descending, is_after, is_limited, request.count)
        if request.after:
            values |= {"after": request.after.value, "after_id": request.after.id}
        if request.limit is not None:
            values["most"] = request.limit + more
        return self._statement(shape), values

    @classmethod
    @lru_cache(256)
    def _statement(cls, shape: _Shape) -> Select[Any]:
        """The rows of a page. If they are counted, each has the total in front of it: in one statement, so of one
        snapshot. Then an empty page has a row too, which has only the total."""
        table, id = cls._searched(shape.wanted)
        conditions = list(map(cls._condition, shape.wanted))
        by_id = shape.sort == "id"
        value = id if by_id else cls._fields[shape.sort]
        after = [_after(value, id, shape.descending)] if shape.is_after else []
        if after and by_id and id is not cls._table.c.id:  # a database may start with either of them
            after.append(_after(cls._table.c.id, cls._table.c.id, shape.descending))

        def wanted(what: Select[Any]) -> Select[Any]:
            what = what.select_from(table).where(*conditions, *after).order_by(*_order(value, id, shape.descending))
            return what.limit(bindparam("most", type_=Integer)) if shape.is_limited else what

        if shape.descending and shape.is_limited and not by_id:
            # No index has this order: many ids may be sorted for a page. The rest is read only of those that are on it.
            ids = wanted(select(cls._table.c.id)).subquery()
            page = cls._all.join_from(cls._table, ids, cls._table.c.id == ids.c.id)
            page = page.order_by(*_order(value, cls._table.c.id, shape.descending))
        else:
            page = wanted(cls._all)
        if not shape.is_counted:
            return page
        counted = select(func.count().label("total")).select_from(table).where(*conditions).subquery()
        rows = page.subquery()
        both = select(counted.c.total, rows).select_from(counted.outerjoin(rows, true()))
        return both.order_by(*_order(rows.c[cls._fields[shape.sort].name], rows.c.id, shape.descending))

    @classmethod
    def _searched(cls, _wanted: Sequence[str]) -> tuple[FromClause, ColumnElement[str]]:
        """What is searched for these parameters, and the column there that has the ids."""
        return cls._table, cls._table.c.id

    def find_many(self, ids: Iterable[str]) -> dict[str, Item]:
        found: list[Item] = []
        with self._source.connect() as connection:
            for chunk in chunks(self._source.hold(self._table, filter(storable, ids))):
                found += self._items(connection.execute(self._all.where(self._table.c.id.in_(chunk))).all())
        return {item.id: item for item in found}

    def missing(self, ids: Iterable[str]) -> list[str]:
        wanted, found = list(dict.fromkeys(ids)), set[str]()
        with self._source.connect() as connection:
            for chunk in chunks(self._source.hold(self._table, filter(storable, wanted))):
                found.update(connection.scalars(select(self._table.c.id).where(self._table.c.id.in_(chunk))))
        return [id for id in wanted if id not in found]

    @abstractmethod
    def _wanted(self, where: Filter) -> Iterator[tuple[str, str]]:
        """The parameters of the conditions, with their values."""

    @classmethod
    @abstractmethod
    def _condition(cls, parameter: str) -> Condition:
        """What is true of the rows that are wanted by this parameter."""

    @abstractmethod
    def _item(self, row: Any) -> Item:
        """The item of a row."""

    def _items(self, rows: Sequence[Any]) -> list[Item]:
        """The items of rows, in their order."""
        return list(map(self._item, rows))


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"No temporary file can be written: {error.strerror}. Nothing was read.") from error


def _after(value: ColumnElement[str], id: ColumnElement[str], descending: bool) -> Condition:
    """Whether a row comes after the cursor of the parameters `after` and `after_id`."""
    after, after_id = text_parameter("after"), text_parameter("after_id")
    if value is id:
        return id < after if descending else id > after
    if not descending:  # in this form, an index leads to the cursor
        return tuple_(value, id) > tuple_(after, after_id)
    # The OR says this already. But for this form of it, an index leads to the value of the cursor.
    return and_(value <= after, or_(value < after, id > after_id))


def _order(value: ColumnElement[str], id: ColumnElement[str], descending: bool) -> list[ColumnElement[str]]:
    first = value.desc() if descending else value
    return [first] if value is id else [first, id]


def text_parameter(parameter: str) -> BindParameter[str]:
    return bindparam(parameter, type_=schema.TEXT)
