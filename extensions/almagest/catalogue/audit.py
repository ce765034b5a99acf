"""The audit as an operator reads it: whether it is as it was sealed, and what it holds.

The functions take a connection of the admin role; nobody else may read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date, datetime
from itertools import takewhile
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from almagest.catalogue import chain
from almagest.catalogue.chain import Block, Row
from almagest.core.errors import ConfigurationError

_AT_ONCE = 5000


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        fault: the first thing that is not as it was sealed, in words; None where all is.
        blocks: how many are.
        rows: how many rows they hold.
        forgotten: months whose rows were removed, as a block says, with how many.
        head: hash of the last block; empty where there is none.
        unsealed: rows that no block holds yet.
        unsealed_s: age of the oldest of them [s].
    """

    fault: str | None
    blocks: int
    rows: int
    forgotten: dict[str, int]
    head: str
    unsealed: int
    unsealed_s: float


def verify(connection: psycopg.Connection[Any], known: str = "") -> Verified:
    """Computes every block anew, from the rows.

    Args:
        connection: as the admin, in autocommit mode.
        known: the hash of a block, or its beginning, that was noted once: it must still be there.
    """
    with _still(connection):
        walk = _Walk(_forgotten(connection), known.lower())
        fault = walk.down(connection)
        if fault is None and not walk.has_met:
            fault = f"No block has the hash {known} any more: what was sealed then has been replaced."
        unsealed = connection.execute("SELECT unsealed, oldest_s FROM almagest.audit_numbers()").fetchone()
    return Verified(fault, walk.blocks, walk.rows, walk.gone, walk.head.hex(), *(unsealed or (0, 0.0)))


def export(
    connection: psycopg.Connection[Any],
    since: datetime | None = None,
    until: datetime | None = None,
    subject: str | None = None,
) -> Iterator[Row]:
    """Rows in the order of their ids, a few at a time.

    Args:
        connection: as the admin, in autocommit mode.
        since: none before.
        until: none from then on.
        subject: only those of whose subject, key or name this is.
    """
    conditions: list[sql.Composable] = [
        sql.SQL(text).format(sql.Literal(value))
        for text, value in (
            ("r.at >= {}", since),
            ("r.at < {}", until),
            ("{} IN (r.subject, r.key_id, r.name)", subject),
        )
        if value is not None
    ]
    with _still(connection):
        yield from _rows(connection, sql.SQL(" AND ").join(conditions or [sql.SQL("true")]))


def forget(connection: psycopg.Connection[Any], month: date) -> int:
    """Removes the rows of a month that is over; answers how many.

    Raises:
        ConfigurationError: it is not over, not sealed, or not there.
    """
    try:
        row = connection.execute("SELECT almagest.forget_audit(%s)", (month,)).fetchone()
    except (psycopg.errors.NoDataFound, psycopg.errors.RaiseException) as error:
        raise ConfigurationError(error.diag.message_primary) from error
    return int(row[0]) if row else 0


class _Walk:
    """Goes from block to block and along the rows at the same time, until something is wrong."""

    def __init__(self, forgotten: dict[date, int], known: str) -> None:
        self._forgotten = forgotten
        self._known = known
        self.has_met = not known
        self.blocks = 0
        self.rows = 0
        self.gone: dict[str, int] = {}
        self.head = b""

    def down(self, connection: psycopg.Connection[Any]) -> str | None:
        """The first fault, in words."""
        rows = _Peekable(_rows(connection, sql.SQL("r.id <= almagest.sealed_through()")))
        before = 0
        for block in _blocks(connection):
            fault = self._link(block, before) or self._content(block, rows)
            if fault:
                return fault
            self.blocks, self.head, before = block.number, block.hash, block.through_id
            self.has_met = self.has_met or block.hash.hex().startswith(self._known)
        state = connection.execute("SELECT blocks, head FROM almagest.audit_state").fetchone()
        if state != (self.blocks, self.head):
            last = state[0] if state else 0
            return f"Block {self.blocks + 1} is missing: {last} were sealed, the last ones have been removed."
        return None

    def _link(self, block: Block, before: int) -> str | None:
        """What is wrong with a block in its place."""
        if block.number != self.blocks + 1:
            return f"Block {self.blocks + 1} is missing."
        if block.previous != self.head:
            return f"{_of(block)} does not follow the one before it: one of the two has been replaced."
        if block.hash != block.computed() or block.through_id < before:
            return f"{_of(block)} has been changed: its hash is another one."
        if chain.root(block.each_leaf()) != block.root or len(block.leaves) != 32 * block.rows:
            return f"{_of(block)} has been changed: the hashes of its rows are others."
        return None

    def _content(self, block: Block, rows: _Peekable) -> str | None:
        """What is wrong with the rows of a block."""
        found = list(takewhile(lambda row: row.id <= block.through_id, rows.ahead()))
        if not block.forgets and block.number < self._forgotten.get(block.month, 0):
            month = f"{block.month:%Y-%m}"
            self.gone[month] = self.gone.get(month, 0) + block.rows
            return f"Row {found[0].id} was put into {month}, which is forgotten." if found else None
        self.rows += block.rows
        return _difference(block, found)


class _Peekable:
    """Rows of which one may be looked at and left."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._left: Row | None = None

    def ahead(self) -> Iterator[Row]:
        """The next ones. Whoever stops at one of them meets it again."""
        while (row := self._left or next(self._rows, None)) is not None:
            self._left = row
            yield row
            # Only whoever has taken it asks for another; `takewhile` stops at the first that it does not take.
            self._left = None


def _difference(block: Block, found: list[Row]) -> str | None:
    leaves = block.each_leaf()
    hashes = [row.leaf for row in found]
    if hashes == leaves:
        return None
    met = [one == other for one, other in zip(leaves, hashes, strict=False)]
    place = met.index(False) if False in met else len(met)
    where = f"block {block.number}, sealed at {block.sealed_at:%Y-%m-%d %H:%M:%S} UTC"
    if len(found) < len(leaves):
        behind = f"behind row {found[place - 1].id}" if place else "at its beginning"
        number = len(leaves) - len(found)
        return f"{'A row is' if number == 1 else f'{number} rows are'} missing from {where}: the first {behind}."
    row = found[place]
    if len(found) > len(leaves):
        return f"Row {row.id} was put into {where}, afterwards, or one beside it."
    return f"Row {row.id} ({row.method} {row.path}, {row.at:%Y-%m-%d %H:%M:%S} UTC) of {where}, has been changed."


def _of(block: Block) -> str:
    return f"Block {block.number}, sealed at {block.sealed_at:%Y-%m-%d %H:%M:%S} UTC,"


def _forgotten(connection: psycopg.Connection[Any]) -> dict[date, int]:
    """Months, with the last block that says that their rows are gone."""
    found = connection.execute("SELECT month, max(number) FROM almagest.audit_block WHERE forgets GROUP BY month")
    return dict(found.fetchall())


def _blocks(connection: psycopg.Connection[Any]) -> Iterator[Block]:
    names = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(Block))
    with connection.cursor("blocks", row_factory=class_row(Block)) as cursor:
        cursor.itersize = 50
        cursor.execute(sql.SQL("SELECT {} FROM almagest.audit_block ORDER BY number").format(names))
        yield from cursor


def _rows(connection: psycopg.Connection[Any], condition: sql.Composable) -> Iterator[Row]:
    names = sql.SQL(", ").join(sql.Identifier("r", field.name) for field in fields(Row))
    with connection.cursor("rows", row_factory=class_row(Row)) as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(
            sql.SQL("SELECT {} FROM almagest.request_audit AS r WHERE {} ORDER BY r.id, r.at").format(names, condition)
        )
        yield from cursor


@contextmanager
def _still(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """One moment for all that is read, however long that takes; times in UTC."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute("SET LOCAL TIME ZONE 'UTC'")
        yield
