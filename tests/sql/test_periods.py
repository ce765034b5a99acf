"""Searches by time look at one period after the other: wherever time is cut, they find the same in the same order."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from almagest.catalogue import audience, database, loading
from almagest.core.settings import Settings
from support import ingests

#: Before all items.
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
SEARCHES: list[dict[str, Any]] = [
    {},
    {"sortby": [{"field": "datetime", "direction": "asc"}]},
    {"collections": ["a"]},
    {"bbox": [2, 0, 50, 32]},
    {"datetime": "2024-01-02T00:00:00Z/2024-01-04T00:00:00Z"},
    {"datetime": "../2024-01-03", "sortby": [{"field": "datetime", "direction": "asc"}]},
    {"sortby": [{"field": "id", "direction": "asc"}]},
]


@pytest.fixture
def filled(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A catalogue of eighty items of six days, and a superuser's connection."""
    dice = random.Random(5)
    items = [
        ingests.item(n, collection="ab"[n % 2], properties={"datetime": f"2024-01-{dice.randint(1, 6):02}T00:00:00Z"})
        for n in range(80)
    ]
    loading.load_documents(settings, [ingests.collection("a"), ingests.collection("b")], items)
    with database.connect(settings, settings.database.admin_user) as connection:
        audience.apply(settings, connection)
        audience.set_collections(connection, "*", "public")
        connection.execute("SET search_path = almagest, public")
        yield connection


def cut(connection: psycopg.Connection[Any], moments: list[datetime]) -> None:
    """Pretends that there are partitions which begin at these moments: where time is cut is but a matter of speed."""
    connection.execute("DELETE FROM pgstac.partition_stats WHERE partition LIKE 'pretended %'")
    for n, moment in enumerate(moments):
        connection.execute(
            "INSERT INTO pgstac.partition_stats (partition, collection, partition_dtrange)"
            " VALUES (%s, %s, tstzrange(%s, %s))",
            (f"pretended {n}", "ab"[n % 2], moment, moment + timedelta(hours=8)),
        )


def walked(connection: psycopg.Connection[Any], schema: str, search: dict[str, Any], *, backward: bool) -> list[Any]:
    """What pages of seven give, one after the other."""
    found: list[Any] = []
    anchor = None
    while True:
        rows = connection.execute(
            f"SELECT collection, id, sort_values FROM {schema}.search_page(%s, %s, %s, 7)",
            (json.dumps(search), anchor, backward),
        ).fetchall()
        found += [row[:2] for row in rows]
        if len(rows) < 7:
            return found
        anchor = json.dumps(rows[-1][2])


@pytest.mark.parametrize("schema", ["almagest", "external"])
def test_wherever_time_is_cut_pages_are_the_same(filled: psycopg.Connection[Any], schema: str) -> None:
    cut(filled, [])
    whole = {
        (n, backward): walked(filled, schema, search, backward=backward)
        for n, search in enumerate(SEARCHES)
        for backward in (False, True)
    }
    assert len(whole[0, False]) == 80
    assert whole[0, False] == whole[0, True][::-1]
    dice = random.Random(11)
    for count in (17, 40, 200):
        # Also at the very moments that items have.
        cut(
            filled,
            [
                EPOCH + timedelta(hours=dice.choice((dice.randrange(-50, 200), 24 * dice.randrange(7))))
                for _ in range(count)
            ],
        )
        for (n, backward), expected in whole.items():
            assert walked(filled, schema, SEARCHES[n], backward=backward) == expected, (count, SEARCHES[n], backward)


@pytest.mark.parametrize("latest_first", [True, False])
def test_periods_are_all_time_in_order_and_grow(filled: psycopg.Connection[Any], latest_first: bool) -> None:
    def periods(span: str = "(,)") -> list[tuple[datetime | None, datetime | None]]:
        return filled.execute(
            "SELECT lower(p), upper(p) FROM port_periods('{}', %s, %s) AS p", (span, latest_first)
        ).fetchall()

    cut(filled, [EPOCH + timedelta(days=n) for n in range(16)])
    assert periods() == [(None, None)], "so few are planned for at once"
    starts = [EPOCH + timedelta(days=n) for n in range(100)]
    cut(filled, starts)
    found = periods()
    in_time = found[::-1] if latest_first else found
    assert in_time[0][0] is None
    assert in_time[-1][1] is None
    assert all(earlier[1] == later[0] is not None for earlier, later in pairwise(in_time))
    sizes = [sum((a is None or start >= a) and (b is None or start < b) for start in starts) for a, b in found]
    assert sizes == [15, 32, 53], "each is twice the one before, the last has what is left"
    near_the_end = f"(,{starts[9]}]" if latest_first else f"[{starts[90]},)"
    assert periods(near_the_end) == [(None, None)], "what lies beyond is not cut"


def test_a_page_that_is_full_leaves_older_partitions_alone(filled: psycopg.Connection[Any]) -> None:
    cut(filled, [EPOCH + timedelta(hours=6 * n) for n in range(40)])
    looked_at = filled.execute("SELECT lower(p), upper(p) FROM search_periods('{}', NULL, false) AS p").fetchall()
    assert len(looked_at) > 1
    first = filled.execute(
        "SELECT search_query('{}', NULL, false, 7, p) FROM search_periods('{}', NULL, false) AS p LIMIT 1"
    ).fetchone()
    assert first is not None
    assert f"datetime >= '{looked_at[0][0]:%Y-%m-%d %H:%M:%S}+00'" in first[0]
