"""Results in the catalogue's database, for those on its machine."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import psycopg

from almagest.catalogue import database
from almagest.catalogue.acceptance import Rules
from almagest.catalogue.ingest.line import Access, Line
from almagest.catalogue.registering.accepting import check
from almagest.catalogue.registering.keys import Registered
from almagest.catalogue.reserved import require_changeable
from almagest.core import sqlstate

_REGISTER = "SELECT key, outcome FROM almagest.register_asset(%s, %s, %s, %s::jsonb, %s)"
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
    key, outcome = _run(access, _REGISTER, collection, item, prefix, json.dumps(asset), day)
    return Registered(key, outcome, asset=asset)


def remove(access: Access, collection: str, item: str, key: str) -> str | None:
    """Takes an asset out of an item, and says which dated key `latest` is now, if it had to do with it.

    Raises:
        NotFoundError: there is no such item or asset.
        BadRequestError: it is `latest`, which only follows the others.
        DatabaseUnavailableError: the database does not answer.
    """
    require_changeable(collection)
    latest: str | None = _run(access, _REMOVE, collection, item, key)[0]
    return latest


def _run(access: Access, statement: str, *arguments: Any) -> tuple[Any, ...]:
    def work(connection: psycopg.Connection) -> tuple[Any, ...]:
        try:
            row = connection.execute(statement.encode(), arguments).fetchone()
        except (psycopg.errors.NoDataFound, psycopg.DataError) as error:
            meant = sqlstate.meaning(str(error.sqlstate), str(error.diag.message_primary))
            assert meant is not None  # such errors are the caller's
            raise meant from None
        assert row is not None
        return tuple(row)

    line = Line(access)
    try:
        with database.translated():
            return line.run(work)
    finally:
        line.close()
