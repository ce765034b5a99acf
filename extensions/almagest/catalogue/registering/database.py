"""Results in the catalogue's database, for those on its machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any, TypeVar

import psycopg

from almagest.catalogue import database
from almagest.catalogue.acceptance import Rules
from almagest.catalogue.ingest.line import Access, Line
from almagest.catalogue.registering.accepting import check
from almagest.catalogue.registering.keys import Registered
from almagest.catalogue.reserved import require_changeable
from almagest.core import sqlstate

T = TypeVar("T")

_REGISTER = "SELECT key, outcome FROM almagest.register_asset(%s, %s, %s, %s::jsonb, %s)"
_LATEST = "SELECT (almagest.latest_asset(almagest.item_document(%s, %s)->'assets', %s)).key"
_REMOVE = "SELECT latest FROM almagest.remove_asset(%s, %s, %s)"


def register(
    access: Access, rules: Rules, collection: str, item: str, prefix: str, asset: dict[str, Any], day: date
) -> Registered:
    """Adds an asset to an item.

    Args:
        access: as whom the database is written to.
        rules: what the asset is judged by.
        collection: id.
        item: id.
        prefix: of its keys.
        asset: with its `file:checksum`.
        day: of its key.

    Raises:
        NotFoundError: there is no such item.
        InvalidDocumentError: it is not valid STAC.
        DatabaseUnavailableError: the database does not answer.
    """
    check(collection, item, prefix, asset, rules)

    def work(connection: psycopg.Connection) -> Registered:
        with connection.transaction():
            key, outcome = _one(connection, _REGISTER, collection, item, prefix, json.dumps(asset), day)
            (latest,) = _one(connection, _LATEST, collection, item, prefix)
            return Registered(key, outcome, latest, asset)

    return _run(access, work)


def remove(access: Access, collection: str, item: str, key: str) -> str | None:
    """Takes an asset out of an item, and says which dated key `latest` is now, if it had to do with it.

    Raises:
        NotFoundError: there is no such item or asset.
        BadRequestError: it is `latest`, which only follows the others.
        DatabaseUnavailableError: the database does not answer.
    """
    require_changeable(collection)

    def work(connection: psycopg.Connection) -> str | None:
        latest: str | None = _one(connection, _REMOVE, collection, item, key)[0]
        return latest

    return _run(access, work)


def _one(connection: psycopg.Connection, statement: str, *arguments: Any) -> tuple[Any, ...]:
    try:
        row = connection.execute(statement.encode(), arguments).fetchone()
    except (psycopg.errors.NoDataFound, psycopg.DataError) as error:
        meant = sqlstate.meaning(str(error.sqlstate), str(error.diag.message_primary))
        assert meant is not None  # such errors are the caller's
        raise meant from None
    assert row is not None
    return tuple(row)


def _run(access: Access, work: Callable[[psycopg.Connection], T]) -> T:
    line = Line(access)
    try:
        with database.translated():
            return line.run(work)
    finally:
        line.close()
