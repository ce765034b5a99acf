"""A long past: how fast it is read, followed, folded and forgotten.

    python tests/bench/history.py [--versions 10000000] [--states 10]

Adds to results/latest.json, under the number of versions. Everything is in milliseconds, but what ends in `_s`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("extensions", "services", "tests")]

from almagest.catalogue import database, pruning  # noqa: E402
from bench import asking, measuring, past  # noqa: E402

_TIMES = 300


def main() -> None:
    """Makes the past, measures, and adds what came of it to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=10_000_000)
    parser.add_argument("--states", type=int, default=10)
    parser.add_argument("--times", type=int, default=_TIMES)
    given = parser.parse_args()
    made = past.Past.of(given.versions, given.states)
    with measuring.cluster() as (cluster, folder):
        settings = cluster.settings("bench")
        database.prepare(settings)
        with cluster.connect("bench") as admin:
            found: dict[str, Any] = {"made": past.make(admin, made)}
            past.check(admin, made)
            found["sizes_mb"] = sizes(admin)
            with database.connect(settings, "almagest_reader") as reader:
                found["sql"] = in_the_database(reader, made, given.times)
            found["http"] = asking.measured(settings, made, given.times, folder)
            found["folding"] = folding(admin)
            found["retention"] = retention(admin)
    name = f"history_{given.versions // 1000}k"
    measuring.add({name: {"items": made.items, "states": made.states, "through_triggers": made.real, **found}})


def in_the_database(reader: psycopg.Connection[Any], made: past.Past, times: int) -> dict[str, Any]:
    """What the services ask, as they ask it, without HTTP."""
    chance = random.Random(7)

    def one() -> str:
        return f"i{chance.randrange(made.items):08d}"

    def versions() -> None:
        rows = reader.execute("SELECT * FROM item_states(%s, %s, NULL, 100)", (past.COLLECTION, one())).fetchall()
        assert len(rows) == made.states, rows

    def at() -> None:
        number, state = chance.randrange(made.items), chance.randrange(made.states)
        # In the middle of a state, whichever item it is.
        moment = made.moment(state, number / made.items) + made.step / 2
        row = reader.execute(
            "SELECT item::jsonb->'properties'->'n' FROM item_row_at(%s, %s, %s)",
            (past.COLLECTION, f"i{number:08d}", moment),
        ).fetchone()
        assert number < made.real or row == (state,), (row, number, state)

    places = reader.execute(
        """
        SELECT c.era, c.xact::text, c.sequence FROM change AS c TABLESAMPLE SYSTEM (0.2) ORDER BY random() LIMIT %s
        """,
        (times,),
    ).fetchall()

    def page() -> None:
        era, xact, sequence = chance.choice(places)
        reader.execute(
            """
            SELECT c.* FROM change_horizon() AS h, changes_between(%s, %s::text::xid8, %s, h.era, h.xact, 100) AS c
            """,
            (era, xact, sequence),
        ).fetchall()

    def first_page() -> None:
        rows = reader.execute(
            "SELECT c.* FROM change_horizon() AS h, changes_between(0, '0', 0, h.era, h.xact, 1000) AS c"
        ).fetchall()
        assert len(rows) == 1000

    found = {
        "versions": timed(versions, times),
        "item_at": timed(at, times),
        "changes_100": timed(page, times) if places else None,
        "changes_1000_from_the_start": timed(first_page, max(times // 10, 3)),
    }
    began = time.perf_counter()
    followed = follow(reader)
    seconds = time.perf_counter() - began
    return {**found, "log_followed_rows_per_s": round(followed / seconds)}


def follow(reader: psycopg.Connection[Any], most: int = 500_000) -> int:
    """Walks the log by pages of 1,000, as a follower does; answers how many rows there were."""
    place: tuple[Any, ...] = (0, "0", 0)
    rows = 0
    while rows < most:
        page = reader.execute(
            """
            SELECT c.era, c.xact::text, c.sequence
            FROM change_horizon() AS h, changes_between(%s, %s::text::xid8, %s, h.era, h.xact, 1000) AS c
            """,
            place,
        ).fetchall()
        if not page:
            break
        rows, place = rows + len(page), page[-1]
    return rows


def folding(admin: psycopg.Connection[Any]) -> dict[str, float]:
    """Each function that folds, until there is nothing left to fold."""
    names = admin.execute(
        """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = 'almagest'::regnamespace AND p.proname LIKE 'fold\\_%'
          AND p.pronargs = p.pronargdefaults AND p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype
        ORDER BY 1
        """
    ).fetchall()
    found = {}
    for (name,) in names:
        began = time.perf_counter()
        for _ in range(10_000):
            statement = psycopg.sql.SQL("SELECT * FROM {}() AS f").format(psycopg.sql.Identifier("almagest", name))
            rows = admin.execute(statement).fetchall()
            if not any(any(row) for row in rows):
                break
        found[f"{name}_s"] = round(time.perf_counter() - began, 2)
    return found


def retention(admin: psycopg.Connection[Any]) -> dict[str, Any]:
    """Forgets the oldest quarter of a year, as `almagest history prune` does; by partitions, and in how long."""
    partitions = admin.execute(
        """
        SELECT i.inhrelid::regclass::text, pg_relation_filenode(i.inhrelid),
               substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)')::timestamptz
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'almagest.item_history'::regclass AND c.reltuples > 0 ORDER BY 3
        """
    ).fetchall()
    oldest, _, ends = partitions[0]
    count = "SELECT count(*) FROM almagest.item_history"
    (before,) = admin.execute(count).fetchone() or (0,)
    steps: list[tuple[str, float]] = []
    began = time.perf_counter()
    # A day of the next one goes row by row: what is at the edge.
    days = (datetime.now(UTC) - ends).days - 1
    done = pruning.prune(admin, days=days, report=lambda what: steps.append((what, time.perf_counter())))
    seconds = time.perf_counter() - began
    (after,) = admin.execute(count).fetchone() or (0,)
    assert before - after == done.items, (before, after, done)
    gone = admin.execute("SELECT to_regclass(%s)", (oldest,)).fetchone()
    assert gone == (None,), oldest
    left = admin.execute(
        "SELECT count(*) FROM pg_class WHERE relfilenode = ANY (%s)", ([node for _, node, _ in partitions[1:]],)
    ).fetchone()
    assert left == (len(partitions) - 1,), "the others were not written anew"
    ends_at = [moment for _, moment in steps[1:]] + [began + seconds]
    return {
        "states_before": before,
        "states_forgotten": done.items,
        "whole_s": round(seconds, 2),
        **{
            f"{what.replace(' ', '_')}_s": round(end - start, 2)
            for (what, start), end in zip(steps, ends_at, strict=True)
        },
    }


def sizes(admin: psycopg.Connection[Any]) -> dict[str, int]:
    """Of the tables with their indexes [MB]."""
    return {
        str(table).removeprefix("almagest."): int(size) >> 20
        for table, size in admin.execute(
            """
            SELECT t.name::text, pg_total_relation_size(t.name) + (
                SELECT coalesce(sum(pg_total_relation_size(p.relid)), 0)
                FROM pg_partition_tree(t.name) AS p WHERE p.isleaf)
            FROM unnest(ARRAY['almagest.item_history', 'almagest.item_head', 'almagest.change']::regclass[]) AS t(name)
            """
        ).fetchall()
    }


def timed(ask: Callable[[], None], times: int) -> dict[str, float]:
    """The median and the 99th of a hundred [ms], after a few that count for nothing."""
    for _ in range(5):
        ask()
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        measured.append((time.perf_counter() - began) * 1000)
    measured.sort()
    return {"median": round(statistics.median(measured), 2), "p99": round(measured[int(len(measured) * 0.99) - 1], 2)}


if __name__ == "__main__":
    main()
