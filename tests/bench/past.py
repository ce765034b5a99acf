"""A catalogue with a long past, made quickly: each item has so many states, spread over more than a year.

A part of the items is written by our own writers, under a clock that is set back, through the triggers that everybody's
changes go through. The others are rows of the same shape, inserted by one statement for each batch and state: what the
part of the triggers left is compared with them by `check`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from almagest.catalogue.storing import Store

COLLECTION = "past"
#: Items of one transaction.
BATCH = 10_000
_SLOW_CLOCK = """
    CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
        SELECT coalesce(nullif(pg_catalog.current_setting('bench.clock', true), '')::timestamptz + (
            pg_catalog.clock_timestamp() - pg_catalog.transaction_timestamp()), pg_catalog.clock_timestamp())
    $$
"""
_CLOCK = """
    CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT pg_catalog.clock_timestamp() $$
"""


@dataclass(frozen=True)
class Past:
    """How long it is.

    Attributes:
        items: how many.
        states: of each, the present one among them.
        real: how many of the items go through the triggers.
        begin: of the second states: of the first ones it is not kept how long before that they began.
        step: between two states of an item.
    """

    items: int
    states: int
    real: int
    begin: datetime
    step: timedelta

    @classmethod
    def of(cls, versions: int, states: int) -> Past:
        """Over the last four quarters and the present one, so that each of them takes its part."""
        now = datetime.now(UTC)
        month = (now.month - 1) // 3 * 3 + 1
        begin = datetime(now.year - 1, month, 1, tzinfo=UTC)
        items = versions // states
        return cls(items, states, max(items // 100, 100), begin, (now - begin) / (states - 1) * 0.999)

    def moment(self, state: int, part: float) -> datetime:
        """When a state (from 0) of the items at this part (0 to 1) of all begins."""
        return self.begin + self.step * (state - 1 + part)


def collection() -> dict[str, Any]:
    """The collection of the items."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": COLLECTION,
        "description": "Items that changed often.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2019-01-01T00:00:00Z", None]]},
        },
        "links": [],
        "item_assets": {"data": {"type": "image/tiff; application=geotiff", "roles": ["data"]}},
    }


def item(number: int, state: int) -> dict[str, Any]:
    """An item as it was in a state; the same as the database makes of it."""
    west, south = -179 + number * 7919 % 358, -89 + number * 104729 % 178
    moment = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(seconds=number * 60)
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"i{number:08d}",
        "collection": COLLECTION,
        "geometry": {"type": "Point", "coordinates": [west, south]},
        "bbox": [west, south, west, south],
        "properties": {
            "datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "eo:cloud_cover": number * 31 % 100,
            "platform": "one" if number % 3 else "other",
            "n": state,
        },
        "assets": {
            "data": {
                "href": f"https://example.org/{number}/{state}.tif",
                "type": "image/tiff; application=geotiff",
                "roles": ["data"],
            }
        },
        "links": [],
    }


def make(connection: psycopg.Connection[Any], past: Past) -> dict[str, float]:
    """Fills a database that was prepared; returns seconds of the parts. As a superuser, in autocommit mode."""
    began = time.monotonic()
    connection.execute("SET search_path = almagest, public")
    connection.execute(_SLOW_CLOCK)
    connection.execute("UPDATE almagest.versioning SET installed_at = %s", (past.moment(-1, 0),))
    store = Store(connection)
    _at(connection, past.moment(0, 0) - timedelta(days=1))
    with connection.transaction():
        connection.execute("SET LOCAL ROLE almagest_admin")
        connection.execute("SELECT almagest.hold_history()")
        connection.execute("SELECT almagest.extend_history('4 years')")
    store.collections([collection()])
    store.make_room(store.prepare([item(0, 0), item(past.items, 0)]).rows)
    for state in range(past.states):
        for first in range(0, past.real, 500):
            _at(connection, past.moment(state, first / past.real))
            numbers = range(first, min(first + 500, past.real))
            with connection.transaction():
                store.put([item(number, state) for number in numbers])
    through_triggers = time.monotonic()
    _say(f"{past.real} items through the triggers: {through_triggers - began:.0f} s")
    for first, last in _batches(past.real, past.items):
        _rows(connection, past, first, last)
    for state in range(past.states):
        for first, last in _batches(past.real, past.items):
            _log(connection, past, first, last, state)
        _say(f"state {state + 1} of {past.states}: {time.monotonic() - began:.0f} s")
    store.refresh()
    connection.execute("RESET bench.clock")
    connection.execute(_CLOCK)
    connection.execute("VACUUM ANALYZE")
    ended = time.monotonic()
    _say(f"made: {ended - began:.0f} s")
    return {"triggers_s": round(through_triggers - began, 1), "statements_s": round(ended - through_triggers, 1)}


def check(connection: psycopg.Connection[Any], past: Past) -> None:
    """What the triggers left and what was inserted have the same shape, and the numbers are right."""
    for table in ("item_head", "item_history", "change"):
        name = "item" if table == "change" else "id"
        shapes = connection.execute(
            f"""
            SELECT kind, count(*), min(n), max(n) FROM (
                SELECT t.{name} < %s AS kind, t.{name}, count(*) AS n FROM almagest.{table} AS t
                WHERE t.collection = %s AND t.{name} IS NOT NULL GROUP BY 1, 2) AS s
            GROUP BY kind ORDER BY kind DESC
            """,  # type: ignore[arg-type]
            (f"i{past.real:08d}", COLLECTION),
        ).fetchall()
        each = {"item_head": 1, "item_history": past.states - 1, "change": past.states}[table]
        assert shapes == [(True, past.real, each, each), (False, past.items - past.real, each, each)], (table, shapes)
    broken = connection.execute(
        """
        SELECT count(*) FROM almagest.item_history AS h WHERE NOT EXISTS (
            SELECT FROM almagest.item_history AS n
            WHERE (n.collection, n.id, n.valid_from) = (h.collection, h.id, h.valid_to)
            UNION ALL
            SELECT FROM almagest.item_head AS n
            WHERE (n.collection, n.id, n.valid_from) = (h.collection, h.id, h.valid_to))
          AND h.id LIKE %s
        """,
        ("%77",),
    ).fetchone()
    assert broken == (0,), broken


def _at(connection: psycopg.Connection[Any], moment: datetime) -> None:
    connection.execute("SELECT set_config('bench.clock', %s, false)", (moment.isoformat(),))


def _batches(first: int, last: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, last, BATCH):
        yield begin, min(begin + BATCH, last)


def _rows(connection: psycopg.Connection[Any], past: Past, first: int, last: int) -> None:
    """Items as they are at present, and their heads."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(_ITEMS, {"first": first, "last": last, "state": past.states - 1, "of": COLLECTION})


def _log(connection: psycopg.Connection[Any], past: Past, first: int, last: int, state: int) -> None:
    """That a state began, and what it was: the head of the last one, history of the others."""
    values = {
        "first": first,
        "last": last,
        "state": state,
        "of": COLLECTION,
        "began": past.moment(state, 0),
        "step": past.step,
        "items": past.items,
    }
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute("INSERT INTO almagest.commit (collection) VALUES (%s)", (COLLECTION,))
        connection.execute("SELECT set_config('almagest.era', almagest.present_era()::text, true)")
        connection.execute(_CHANGES, values)
        connection.execute(_HEADS if state == past.states - 1 else _HISTORY, values)


_NUMBERS = "generate_series(%(first)s::int, %(last)s::int - 1) AS number"
#: As `item` makes it, without what it shares with the base item.
_CONTENT = """
    jsonb_build_object(
        'bbox', jsonb_build_array(p.west, p.south, p.west, p.south), 'links', '[]'::jsonb,
        'assets', jsonb_build_object('data', jsonb_build_object(
            'href', format('https://example.org/%%s/%%s.tif', number, %(state)s))),
        'properties', jsonb_build_object(
            'datetime', to_char(p.moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'eo:cloud_cover', number::bigint * 31 %% 100,
            'platform', CASE WHEN number %% 3 = 0 THEN 'other' ELSE 'one' END, 'n', %(state)s::int))
"""
_PLACES = """
    CROSS JOIN LATERAL (SELECT
        -179 + number::bigint * 7919 %% 358 AS west, -89 + number::bigint * 104729 %% 178 AS south,
        timestamptz '2019-01-01Z' + number * interval '60 s' AS moment) AS p
"""
_BEGAN = "%(began)s::timestamptz + %(step)s::interval * (number::float / %(items)s)"
_ITEMS = f"""
    INSERT INTO pgstac.items (id, collection, datetime, end_datetime, geometry, content)
    SELECT 'i' || lpad(number::text, 8, '0'), %(of)s, p.moment, p.moment,
           ST_SetSRID(ST_MakePoint(p.west, p.south), 4326), {_CONTENT}
    FROM {_NUMBERS} {_PLACES}
"""
_CHANGES = f"""
    INSERT INTO almagest.change (collection, item, at)
    SELECT %(of)s, 'i' || lpad(number::text, 8, '0'), {_BEGAN} FROM {_NUMBERS}
"""
_HEADS = f"""
    INSERT INTO almagest.item_head (collection, id, valid_from)
    SELECT %(of)s, 'i' || lpad(number::text, 8, '0'), {_BEGAN} FROM {_NUMBERS}
"""
_HISTORY = f"""
    INSERT INTO almagest.item_history (
        collection, id, valid_from, valid_to, deleted, base_key, datetime, end_datetime, geometry, content, login, xact)
    SELECT %(of)s, 'i' || lpad(number::text, 8, '0'), {_BEGAN}, {_BEGAN.replace("(number", "(1 + number")}, false,
           almagest.port_collection_key(%(of)s), p.moment, p.moment,
           ST_SetSRID(ST_MakePoint(p.west, p.south), 4326), {_CONTENT}, session_user, pg_current_xact_id()
    FROM {_NUMBERS} {_PLACES}
"""


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
