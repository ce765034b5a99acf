"""Takes what outsiders cannot see out of a copy of a catalogue."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from almagest.catalogue import assets, database
from almagest.core.settings import Settings

Document = dict[str, Any]
Exposed = set[tuple[str, str, str]]


def purge(settings: Settings) -> None:
    """Deletes what is hidden, by the very functions that hide it. Only ever to be done to a copy."""
    with database.translated(), database.connect(settings, settings.database.admin_user) as connection:
        connection.execute("SET search_path = almagest, public")
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
            connection.execute("SELECT replace_collection(external.collection_document(%s))", (collection,))
            for batch in assets.batches(connection, collection):
                _purge_items(connection, batch, exposed)


def _purge_items(connection: psycopg.Connection, batch: list[Document], exposed: Exposed) -> None:
    changed = []
    for item in batch:
        row = connection.execute("SELECT external.item_document(%s, %s)", (item["collection"], item["id"])).fetchone()
        public: Document = row[0] if row else {}
        for key, asset in assets.stored_assets(public):
            # What outsiders read by our address still has to lie where it was exposed.
            if (item["collection"], item["id"], key) in exposed:
                public["assets"][key] = {**asset, "href": item["assets"][key]["href"]}
        if public and public != item:
            changed.append(public)
    if changed:
        connection.execute("SELECT * FROM upsert_items(%s::jsonb)", (json.dumps(changed),))
