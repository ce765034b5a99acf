"""Takes what outsiders cannot see out of a copy of a catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from almagest.catalogue import assets, database, migrate
from almagest.catalogue.hydration import base_item, join
from almagest.catalogue.storing import Store
from almagest.core.settings import Settings

Document = dict[str, Any]
Exposed = set[tuple[str, str, str]]


def purge(whole: Settings, without: Settings) -> None:
    """Deletes what is hidden from one of two copies of a catalogue, by the functions that hide it.

    There, these are made anew as this version of Almagest has them: should those of the catalogue have been changed,
    the two copies do not answer alike.

    Writing an item anew is not without traces: what other writers lost stays lost, and members may come in another
    order. So what is rewritten in one copy is rewritten in the other one as well, with nothing taken out.

    Args:
        whole: the copy that keeps everything.
        without: the copy that keeps what outsiders see.
    """
    with _opened(whole) as original, _opened(without) as connection:
        connection.execute("UPDATE ledger SET sha256 = '' WHERE kind = 'function'")
        migrate.migrate(connection)
        # What is rewritten here has not changed; its past stays as it is, in both copies.
        for each in (original, connection):
            each.execute("SELECT port_detach()")
        for table in ("item_head", "item_history", "change"):
            connection.execute(
                sql.SQL("DELETE FROM {} AS h WHERE is_internal(h.collection)").format(sql.Identifier(table))
            )
        for table in ("collection_head", "collection_history"):
            connection.execute(sql.SQL("DELETE FROM {} AS h WHERE is_internal(h.id)").format(sql.Identifier(table)))
        connection.execute(
            """
            SELECT delete_collection(c.id) FROM collection_ids() AS c(id)
            WHERE c.id IN (SELECT internal_collections(ARRAY(SELECT collection_ids())))
            """
        )
        connection.execute("DELETE FROM registered_search AS r WHERE external.registered_search(r.id) IS NULL")
        connection.execute(
            """
            DELETE FROM exposed AS e
            WHERE NOT EXISTS (SELECT FROM external.asset_location(e.collection, e.item, e.key))
            """
        )
        exposed: Exposed = set(connection.execute("SELECT collection, item, key FROM exposed").fetchall())
        for (collection,) in connection.execute("SELECT collection_ids()").fetchall():
            _rewrite_collection(original, b"SELECT collection_document(%s)", collection)
            _rewrite_collection(connection, b"SELECT external.collection_document(%s)", collection)
            for batch in assets.batches(connection, collection):
                pairs = [(item, _public(connection, item, exposed)) for item in batch]
                changed = [(item, public) for item, public in pairs if item != public]
                _rewrite_items(original, [item for item, _ in changed])
                _rewrite_items(connection, [public for _, public in changed])


@contextmanager
def _opened(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.translated(), database.connect(settings, settings.database.admin_user) as connection:
        connection.execute("SET search_path = almagest, public")
        yield connection


def _public(connection: psycopg.Connection, item: Document, exposed: Exposed) -> Document:
    # Not external.item_document: of one document, unlike of a page, it drops the nulls.
    row = connection.execute(
        "SELECT item, base FROM external.item_row(%s, %s)", (item["collection"], item["id"])
    ).fetchone()
    assert row, "collections that are hidden are gone"
    public = join(json.loads(row[0]), base_item(row[1]))
    for key, asset in assets.stored_assets(public):
        # What outsiders read by our address still has to lie where it was exposed.
        if (item["collection"], item["id"], key) in exposed:
            public["assets"][key] = {**asset, "href": item["assets"][key]["href"]}
    return public


def _rewrite_collection(connection: psycopg.Connection, document: bytes, collection: str) -> None:
    row = connection.execute(document, (collection,)).fetchone()
    if row and row[0] is not None:
        connection.execute("SELECT replace_collection(%s::jsonb)", (json.dumps(row[0]),))


def _rewrite_items(connection: psycopg.Connection, items: list[Document]) -> None:
    # Deleted first: what is only stored in another way would be left alone.
    with connection.transaction():
        for item in items:
            connection.execute("SELECT port_delete_item(%s, %s)", (item["collection"], item["id"]))
        Store(connection).put(items)
