"""The canary: hidden things are planted, looked for as an outsider, and taken away, in one transaction.

It passes only if the database as it is now, with the functions and grants it has, keeps them hidden. The external
processes ask for that before they serve anybody.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from almagest.catalogue import keeping
from almagest.catalogue.reserved import CANARY
from almagest.catalogue.storing import Store

_EXTENT = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
_COLLECTION = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": CANARY,
    "title": "Canary",
    "description": "Empty, and internal for good: on every start it is checked that outsiders see nothing of it.",
    "license": "other",
    "extent": _EXTENT,
    "links": [],
}
_ITEM = "canary"
_DATETIME = "2000-01-01T00:00:00Z"

#: What the database says to a statement that is not fit for it.
_NOT_ASKED = ("Undefined", "Ambiguous", "SyntaxError", "InsufficientPrivilege", "DatatypeMismatch", "Indeterminate")

Check = tuple[str, str, tuple[Any, ...]]


def run(connection: psycopg.Connection) -> list[str]:
    """Runs it, and notes that it has passed if it has.

    Args:
        connection: in autocommit mode, as a superuser.

    Returns:
        What outsiders can see of what is hidden, in sentences; nothing if all is well.
    """
    connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (CANARY,))
    try:
        _ensure_collection(connection)
        word = f"hush{secrets.token_hex(8)}"
        with connection.transaction(force_rollback=True):
            search = _plant(connection, word)
            with _outside(connection):
                leaks = _look_for(connection, word, _hidden_collection(search), "internal collection")
                leaks += _ask_for_hidden_names(connection)
            # The same item, were its collection public: now its hidden parts must not be seen.
            connection.execute(
                "UPDATE almagest.collection_rule SET internal = (pattern <> %s) WHERE pattern = %s", (CANARY, CANARY)
            )
            with _outside(connection):
                leaks += _look_for(connection, word, _hidden_parts(), "hidden part of an item")
                if connection.execute("SELECT 1 FROM item_row(%s, %s)", (CANARY, _ITEM)).fetchone() is None:
                    leaks.append("the canary's own item is not seen where it should be: nothing was proven")
                leaks += _touch_tables(connection)
        if leaks:
            connection.execute("DELETE FROM almagest.canary")
        else:
            connection.execute("SELECT almagest.note_canary()")
        return leaks
    finally:
        connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", (CANARY,))


def _ensure_collection(connection: psycopg.Connection) -> None:
    row = connection.execute("SELECT almagest.port_collection_exists(%s)", (CANARY,)).fetchone()
    if row and row[0]:
        return

    def make() -> None:
        connection.execute("SELECT almagest.create_collection(%s::jsonb)", (json.dumps(_COLLECTION),))
        Store(connection).prepare([_item()])

    # To make a partition means to wait for every reader of the catalogue: it is made once, and stays.
    keeping.patiently(connection, "SELECT almagest.port_hold_readers()", make)


#: How many items of which collection.
_COUNTED = '[{"kind": "collection"}]'
_PAIRS = "SELECT 1 FROM pair_page(%s::jsonb, NULL, false, 10)"
#: What the item is derived from.
_LINEAGE = "(SELECT l.lineage FROM lineage(%s, %s, NULL, true, 1, 10, '') AS l)"


def _item(**more: object) -> dict[str, object]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": _ITEM,
        "collection": CANARY,
        "geometry": {"type": "Point", "coordinates": [0, 0]},
        "bbox": [0, 0, 0, 0],
        "properties": {"datetime": _DATETIME},
        "links": [],
        "assets": {},
        **more,
    }


def _plant(connection: psycopg.Connection, word: str) -> str:
    """An item full of hidden things, each holding ``word``, and a search for it; returns the search's id."""
    hidden = {"href": f"file:///{word}/data.tif", "title": word}
    item = _item(
        properties={"datetime": _DATETIME, f"almagest:{word}": word, "almagest:canary": word},
        assets={
            "stored": hidden,
            "bare": {**hidden, "href": f"/{word}/data.tif"},
            "bucket": {**hidden, "href": f"s3://{word}/data.tif"},
            "remote": {"href": "https://example.org/data.tif", "alternate": {"here": hidden}},
        },
        links=[
            {"rel": "derived_from", "href": f"file:///{word}/source.json"},
            {"rel": "related", "href": "https://example.org/", "almagest:version": word},
        ],
    )
    Store(connection).put([item], mode="create")
    search = {"collections": [CANARY], "filter": {"op": "=", "args": [{"property": "id"}, word]}}
    row = connection.execute(
        "SELECT almagest.register_search(%s::jsonb, %s::jsonb)", (json.dumps(search), json.dumps({"name": word}))
    ).fetchone()
    assert row is not None
    return str(row[0]["id"])


@contextmanager
def _outside(connection: psycopg.Connection) -> Iterator[None]:
    connection.execute("SET LOCAL search_path = external, public")
    connection.execute("SET LOCAL ROLE almagest_external")
    yield
    connection.execute("RESET ROLE")
    connection.execute("RESET search_path")


def _hidden_parts() -> list[Check]:
    everything = json.dumps({"collections": [CANARY]})
    return [
        ("search", "SELECT * FROM search_page(%s::jsonb, NULL, false, 10)", (everything,)),
        ("mosaic", "SELECT * FROM mosaic_items(%s::jsonb, NULL, 10, false, false)", (everything,)),
        ("item", "SELECT * FROM item_row(%s, %s)", (CANARY, _ITEM)),
        ("tiler's item", "SELECT item_document(%s, %s)", (CANARY, _ITEM)),
        ("asset", "SELECT * FROM asset_location(%s, %s, 'stored')", (CANARY, _ITEM)),
        ("queryables", "SELECT queryables(ARRAY[%s])", (CANARY,)),
        ("lineage", f"SELECT {_LINEAGE}::text", (CANARY, _ITEM)),
        ("item with its past", "SELECT item, base FROM item_with_past(%s, %s)", (CANARY, _ITEM)),
        ("versions", "SELECT * FROM item_states(%s, %s)", (CANARY, _ITEM)),
        # What this transaction has written is not settled, which the other functions that know moments refuse.
        ("version", "SELECT * FROM item_row_at(%s, %s, clock_timestamp())", (CANARY, _ITEM)),
    ]


def _hidden_collection(search: str) -> list[Check]:
    # Whatever of these answers at all tells of it: each is made to say the collection's name.
    said = "SELECT 'found ' || %s WHERE EXISTS "
    everything = json.dumps({"collections": [CANARY]})
    return [
        (what, f"{said}({statement})", (CANARY, *values))
        for what, statement, values in (
            *_hidden_parts()[:3],
            ("tiler's item", "SELECT 1 WHERE item_document(%s, %s) IS NOT NULL", (CANARY, _ITEM)),
            ("queryables", "SELECT 1 WHERE queryables(ARRAY[%s]) IS NOT NULL", (CANARY,)),
            ("lineage", f"SELECT 1 WHERE {_LINEAGE} IS NOT NULL", (CANARY, _ITEM)),
            ("collection", "SELECT 1 WHERE collection_document(%s) IS NOT NULL", (CANARY,)),
            ("collections", "SELECT 1 FROM collection_ids() AS c(id) WHERE id = %s", (CANARY,)),
            ("collection search", "SELECT 1 WHERE collection_page('{}')::text LIKE '%%' || %s || '%%'", (CANARY,)),
            ("registered search", "SELECT 1 WHERE registered_search(%s) IS NOT NULL", (search,)),
            ("buckets", "SELECT 1 FROM aggregate('{}', %s::jsonb) AS a WHERE a.key = %s", (_COUNTED, CANARY)),
            ("numbers", "SELECT 1 FROM aggregate(%s::jsonb, %s::jsonb)", (everything, _COUNTED)),
            *(
                (
                    f"{side} of a pair",
                    f"{_PAIRS} WHERE %s IN (collection, partner_collection)",
                    (json.dumps(of), CANARY),
                )
                for side, of in _sides({"collections": [CANARY]})
            ),
            *_hidden_past(),
        )
    ]


def _sides(search: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Pair searches in which one side is asked for this, by the name of the side."""
    return [(side, {side: search}) for side in ("first", "second")]


def _hidden_past() -> list[Check]:
    """Of the collection, which is there since the first start; what was written just now is not asked for."""
    of_item = (CANARY, _ITEM)
    everything = json.dumps({"collections": [CANARY]})
    return [
        ("item with its past", "SELECT 1 FROM item_with_past(%s, %s) WHERE item IS NOT NULL OR is_gone", of_item),
        ("versions", "SELECT 1 FROM item_states(%s, %s)", of_item),
        ("version", "SELECT 1 FROM item_row_at(%s, %s, clock_timestamp())", of_item),
        ("item as of", "SELECT 1 FROM item_at(%s, %s, clock_timestamp())", of_item),
        ("search as of", "SELECT 1 FROM search_page_at(%s::jsonb, NULL, false, 10, clock_timestamp())", (everything,)),
        (
            "collection with its past",
            "SELECT 1 FROM collection_with_past(%s) WHERE document IS NOT NULL OR is_gone",
            (CANARY,),
        ),
        ("collection's versions", "SELECT 1 FROM collection_states(%s)", (CANARY,)),
        ("collection's version", "SELECT 1 WHERE collection_document_at(%s, clock_timestamp()) IS NOT NULL", (CANARY,)),
        ("collection as of", "SELECT 1 WHERE collection_at(%s, clock_timestamp()) IS NOT NULL", (CANARY,)),
        (
            "collections as of",
            "SELECT 1 WHERE collection_page_at('{}', clock_timestamp())::text LIKE '%%' || %s || '%%'",
            (CANARY,),
        ),
        (
            "changes",
            "SELECT 1 FROM changes_page(0, '0', 0, ARRAY[%s], 10, 10000) AS c WHERE c.collection = %s",
            (CANARY, CANARY),
        ),
        ("last change", "SELECT 1 FROM last_change(NULL, NULL, NULL, 1000) AS c WHERE c.collection = %s", (CANARY,)),
    ]


def _ask_for_hidden_names(connection: psycopg.Connection) -> list[str]:
    """Searches that would read hidden parts. Any other answer than the refusal is a leak, other errors too."""
    named: dict[str, Callable[[str], dict[str, Any]]] = {
        "filter": lambda name: {"filter": {"op": "like", "args": [{"property": name}, "%"]}},
        "nested filter": lambda name: {
            "filter": {"op": "not", "args": [{"op": "isNull", "args": [{"property": name}]}]}
        },
        "query": lambda name: {"query": {name: {"neq": "x"}}},
        "sort": lambda name: {"sortby": [{"field": name, "direction": "asc"}]},
    }
    statement = "SELECT count(*) FROM search_page(%s::jsonb, NULL, false, 1)"
    aggregated = "SELECT count(*) FROM aggregate('{}', %s::jsonb)"
    hidden = "almagest:canary"
    leaks = [
        f"{kind} of {hidden} is not refused"
        for kind in ("terms", "min", "max", "sum")
        if "cannot be asked for"
        not in _answer(connection, aggregated, (json.dumps([{"kind": kind, "property": hidden}]),))
    ]
    leaks += [
        f"filter of pairs by {side}.{hidden} is not refused"
        for side in ("first", "second")
        for other in (f"{side}.{hidden}", "first.datetime")
        if "cannot be asked for"
        not in _answer(
            connection,
            _PAIRS,
            (json.dumps({"filter": {"op": "=", "args": [{"property": f"{side}.{hidden}"}, {"property": other}]}}),),
        )
    ]
    if hidden not in _answer(connection, "SELECT hidden_among(ARRAY[%s])", (hidden,)):
        leaks.append(f"{hidden} is offered for aggregations")
    return leaks + [
        f"{how} by {name} is not refused"
        for how, search in named.items()
        for name in ("assets.stored.href", "properties.almagest:canary", "almagest:canary", "links.href")
        if "cannot be asked for" not in _answer(connection, statement, (json.dumps(search(name)),))
    ]


def _look_for(connection: psycopg.Connection, word: str, checks: list[Check], kind: str) -> list[str]:
    leaks = []
    for what, statement, values in checks:
        seen = _answer(connection, statement, values)
        if word in seen or f"found {CANARY}" in seen:
            leaks.append(f"{kind}: seen by {what}")
        elif seen.startswith(_NOT_ASKED):
            leaks.append(f"{kind}: {what} was not asked, so that nothing was proven: {seen}")
    return leaks


def _touch_tables(connection: psycopg.Connection) -> list[str]:
    tables = ("pgstac", "items"), ("pgstac", "collections"), ("almagest", "exposed"), ("almagest", "registered_search")
    statements = [sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*name)) for name in tables]
    return [
        f"{'.'.join(name)} can be read"
        for name, statement in zip(tables, statements, strict=True)
        if "InsufficientPrivilege" not in _answer(connection, statement, ())
    ]


def _answer(connection: psycopg.Connection, statement: Any, values: tuple[Any, ...]) -> str:
    """All that the database says to a statement, an error included."""
    try:
        with connection.transaction():
            query = statement.encode() if isinstance(statement, str) else statement
            return repr(connection.execute(query, values).fetchall())
    except psycopg.Error as error:
        return f"{type(error).__name__} {error.diag.message_primary} {error.diag.message_detail}"
