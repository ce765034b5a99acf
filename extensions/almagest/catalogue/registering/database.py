"""Results in the catalogue's database, for those on its machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any, TypeVar

import psycopg

from almagest.catalogue import database
from almagest.catalogue.acceptance import check_asset
from almagest.catalogue.ingest.line import Access, Line
from almagest.catalogue.registering.keys import Registered, check_prefix
from almagest.catalogue.reserved import require_changeable
from almagest.core import sqlstate

Document = dict[str, Any]
T = TypeVar("T")

_REGISTER = "SELECT key, outcome FROM almagest.register_asset(%s, %s, %s, %s::jsonb, %s, %s::jsonb)"
_LATEST = "SELECT (almagest.latest_asset(almagest.item_document(%s, %s)->'assets', %s)).key"
_REMOVE = "SELECT latest FROM almagest.remove_asset(%s, %s, %s)"


def register(
    access: Access,
    collection: str,
    item: str,
    prefix: str,
    asset: Document,
    day: date,
    *,
    others: Document | None = None,
) -> Registered:
    """Adds an asset to an item.

    Args:
        access: as whom the database is written to.
        collection: id.
        item: id.
        prefix: of its keys.
        asset: with its `file:checksum`.
        day: of its key.
        others: assets of the item in another catalogue, which its key has to fit.

    Raises:
        NotFoundError: there is no such item.
        BadRequestError: no keys can be made of the prefix.
        InvalidDocumentError: the asset is not valid STAC, or holds what cannot be stored.
        ConflictError: the collection is not anybody's to change.
        DatabaseUnavailableError: the database does not answer.
    """
    check_prefix(prefix)
    require_changeable(collection)
    check_asset(asset)
    given = (collection, item, prefix, json.dumps(asset), day, json.dumps(others or {}))

    def work(connection: psycopg.Connection) -> Registered:
        with connection.transaction():
            key, outcome = _one(connection, _REGISTER, *given)
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
