"""Matchups of two sensors by the sweep, beside the join of SQL on pgSTAC's own indexes; and after a few new scenes.

    python tests/bench/matchups.py [--scenes 1000000] [--days 300] [--new 1000] [--rounds 3]

Adds to results/latest.json. `matchup_vs_sql` is the time of a join that tells the same pairs, their overlap and its
area, by that of the sweep, reading included; `matchup_vs_counting` that of one which only counts them, and
`matchup_of_two_workers` the first where two processes share the sweep; `matchup_delta` the time of a whole run,
documents included, by that of one that looks where scenes have changed. The scenes are those of two satellites in
orbits that follow the sun.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / folder) for folder in ("extensions", "pipelines", "services", "cli", "tests")]
sys.path[:0] = PATHS

from almagest.catalogue import database, exporting, rollups  # noqa: E402
from almagest.catalogue.storing import Store  # noqa: E402
from almagest.core.settings import Settings  # noqa: E402
from almagest.pipelines.matchups import find_matchups  # noqa: E402
from almagest.pipelines.matchups.catalogued import Catalogued  # noqa: E402
from almagest.pipelines.matchups.gathering import Wanted  # noqa: E402
from almagest.pipelines.matchups.pairing import Limits, pairs  # noqa: E402
from almagest.pipelines.matchups.updating import Share, Update  # noqa: E402
from bench import measuring  # noqa: E402
from support import rasters  # noqa: E402
from support.processes import highest  # noqa: E402

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
APART_S = 1800
#: Minutes of one revolution, degrees of the orbit's plane, where it starts; width of a scene [degrees of arc].
SENSORS = {"landsat": (98.9, 98.2, 0.0, 1.66), "sentinel": (100.6, 98.6, 11.0, 2.6)}
PLATFORMS = {"landsat": "landsat-9", "sentinel": "sentinel-2a"}
_BATCH = 5000
#: As pgSTAC's indexes can be used for it: what is compared with a time stands alone.
_JOINED = """
    FROM pgstac.items AS a JOIN pgstac.items AS b
      ON b.collection = 'sentinel'
     AND b.datetime BETWEEN a.datetime - interval '30 minutes' AND a.datetime + interval '30 minutes'
     AND ST_Intersects(a.geometry, b.geometry)
    CROSS JOIN LATERAL (SELECT ST_Intersection(a.geometry, b.geometry)) AS o(overlap)
    WHERE a.collection = 'landsat' AND ST_Area(overlap) > 0
"""
_COUNT = f"SELECT count(*) {_JOINED}"
#: What the sweep tells of each pair; whoever asks takes it as it comes.
_TOLD = f"""
    SELECT a.id, b.id, ST_AsBinary(overlap), ST_Area(overlap::geography) / 1e6,
           ST_Area(overlap::geography) / least(ST_Area(a.geometry::geography), ST_Area(b.geometry::geography))
    {_JOINED}
"""


def main() -> None:
    """Fills a catalogue, runs the rounds and adds what they say to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=1_000_000)
    parser.add_argument("--days", type=float, default=300)
    parser.add_argument("--new", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--do", choices=("sweep", "whole", "delta"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.do:
        print(json.dumps({"sweep": swept, "whole": whole, "delta": delta}[given.do](given)))
        return
    with measuring.cluster() as (cluster, _):
        settings = cluster.settings("matchups")
        database.prepare(settings)
        fill(settings, given)
        measured = rounds(settings, given)
    measuring.add(measured)


def scenes(sensor: str, count: int, days: float) -> Iterator[dict[str, Any]]:
    """What a satellite sees by day, in the order of time: squares along its track that do not cross 180 degrees."""
    period, inclination, first, width = SENSORS[sensor]
    times = np.linspace(0, days * 1440, 3 * count)
    along = 2 * np.pi * times / period
    lat = np.degrees(np.arcsin(np.sin(np.radians(inclination)) * np.sin(along)))
    lon = np.degrees(np.arctan2(np.cos(np.radians(inclination)) * np.sin(along), np.cos(along))) + first - times / 4
    lon = (lon + 180) % 360 - 180
    half = width / 2
    wide = half / np.cos(np.radians(np.clip(lat, -80, 80)))
    seen = (np.cos(along) < 0) & (abs(lat) < 80) & (abs(lon) + 1.3 * wide < 180)
    for number, place in enumerate(np.flatnonzero(seen)[:count]):
        x, y, w = lon[place], lat[place], wide[place]
        ring = [
            [x - 1.2 * w, y - 0.8 * half],
            [x + 0.8 * w, y - half],
            [x + 1.2 * w, y + 0.8 * half],
            [x - 0.8 * w, y + half],
        ]
        when = (BEGIN + timedelta(minutes=float(times[place]))).isoformat().replace("+00:00", "Z")
        item = rasters.item(f"{sensor}-{number:07}", sensor, (0, 0, 0, 0), {}, when, platform=PLATFORMS[sensor])
        corners = np.array(ring)
        yield {
            **item,
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            "bbox": [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()],
        }


def fill(settings: Settings, given: argparse.Namespace) -> None:
    """Stores all scenes but those that come later."""
    with database.connect(settings, "almagest_writer") as connection:
        store = Store(connection)
        with connection.transaction():
            store.collections(rasters.collection(sensor) for sensor in SENSORS)
        with database.connect(settings, settings.database.admin_user) as admin:
            admin.execute("UPDATE pgstac.collections SET partition_trunc = 'month'")
        for sensor in SENSORS:
            put(store, connection, scenes(sensor, given.scenes, given.days))
        store.refresh()
    with database.connect(settings, settings.database.admin_user) as connection:
        rollups.fold(connection)
        connection.execute("VACUUM ANALYZE")
    print(f"stored {2 * given.scenes:,} scenes", file=sys.stderr)


def put(store: Store, connection: Any, items: Iterator[dict[str, Any]]) -> None:
    """Stores items in batches."""
    batch: list[dict[str, Any]] = []

    def send() -> None:
        prepared = store.prepare(batch)
        with connection.transaction():
            store.put(prepared)
        batch.clear()

    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            send()
    if batch:
        send()


def rounds(settings: Settings, given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each, and what they found."""
    measured: dict[str, list[float]] = {
        f"{name}_s": [] for name in ("sweep", "shared", "join", "count", "whole", "delta")
    }
    measured["sweep_mib"] = []
    numbers = set()
    for _ in range(given.rounds):
        told, memory = done(settings, "sweep", given.days)
        measured["sweep_s"].append(told["seconds"])
        measured["sweep_mib"].append(memory)
        for name, question in (("join", _TOLD), ("count", _COUNT)):
            start = time.perf_counter()
            number = joined(settings, question)
            measured[f"{name}_s"].append(time.perf_counter() - start)
            numbers.add(number)
        number, seconds = together(settings, given.days)
        measured["shared_s"].append(seconds)
        numbers.add(number)
        numbers.add(told["pairs"])
        print({name: values[-1] for name, values in measured.items() if values}, numbers, file=sys.stderr)
    assert len(numbers) == 1, numbers
    told, memory = done(settings, "whole", given.days)
    measured["whole_s"].append(told["seconds"])
    latest = BEGIN + timedelta(days=given.days / 2)
    extra = [
        {**item, "id": f"late-{item['id']}", "properties": {**item["properties"], "datetime": when.isoformat()}}
        for number, item in enumerate(scenes("landsat", given.new, 1))
        for when in (latest + timedelta(seconds=24 * number),)
    ]
    with database.connect(settings, "almagest_writer") as connection:
        put(Store(connection), connection, iter(extra))
    for _ in range(given.rounds):
        found, _memory = done(settings, "delta", given.days)
        measured["delta_s"].append(found["seconds"])
    middle = {name: round(statistics.median(values), 3) for name, values in measured.items()}
    return {
        "ratios": {
            "matchup_vs_sql": measuring.ratio(measured["join_s"], measured["sweep_s"]),
            "matchup_vs_counting": measuring.ratio(measured["count_s"], measured["sweep_s"]),
            "matchup_of_two_workers": measuring.ratio(measured["join_s"], measured["shared_s"]),
            "matchup_delta": round(middle["whole_s"] / middle["delta_s"], 1),
        },
        "matchups": {
            "scenes": given.scenes,
            "days": given.days,
            "new": given.new,
            "pairs": numbers.pop(),
            "events": told["events"],
            "whole_mib": round(memory),
            "pairs_of_delta": found["pairs"],
            **middle,
        },
    }


def joined(settings: Settings, question: str) -> int:
    """How many pairs PostgreSQL counts, or tells."""
    with database.connect(settings, settings.database.admin_user, autocommit=False) as connection:
        connection.execute("SET jit = off")
        if question is _COUNT:
            (number,) = connection.execute(question.encode()).fetchone() or (0,)
            return int(number)
        with connection.cursor("told", binary=True) as cursor:
            cursor.itersize = 10_000
            return sum(1 for _ in cursor.execute(question.encode()))


def together(settings: Settings, days: float) -> tuple[int, float]:
    """How many pairs two processes find that share the parts, as two workers do, and in how many seconds."""
    running = [started(settings, "sweep", days, share) for share in (0, 1)]
    told = [json.loads(process.communicate()[0]) for process in running]
    return sum(one["pairs"] for one in told), max(one["seconds"] for one in told)


def started(settings: Settings, what: str, days: float, share: int | None = None) -> subprocess.Popen[str]:
    """A process of its own. share: which half of the parts it sees to; None: all of them."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(PATHS),
        "ALMAGEST_HOME": str(settings.site.home),
        "ALMAGEST_DB_HOST": settings.db_host,
        "ALMAGEST_DB_PORT": str(settings.database.port),
        "ALMAGEST_DB_NAME": settings.database.name,
    }
    command = [sys.executable, __file__, "--do", what, "--days", str(days)]
    command += [] if share is None else ["--share", str(share)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def done(settings: Settings, what: str, days: float) -> tuple[dict[str, Any], float]:
    """What a process of its own says, and the most memory that it had [MiB]."""
    with started(settings, what, days) as running:
        memory = highest(running.pid)
        said = running.communicate()[0]
    if running.returncode:
        raise SystemExit(f"{running.args} ended with {running.returncode}")
    return json.loads(said), memory / 1024


def swept(given: argparse.Namespace) -> dict[str, Any]:
    """Reads the scenes, part by part as a run has it, and finds their pairs."""
    start = time.perf_counter()
    number = 0
    with exporting.snapshot(Settings.load()) as moment:
        catalogued = looked(moment)
        parts = find_matchups._parts(moment.months(catalogued.search))
        for part in parts if given.share is None else parts[given.share :: 2]:
            found = list(catalogued.scenes(part, timedelta(seconds=APART_S)).values())
            if len(found) == 2:
                begin = np.datetime64(part.begin.replace(tzinfo=None)) if part.begin else np.datetime64(0, "s")
                end = np.datetime64(part.end.replace(tzinfo=None)) if part.end else np.datetime64("2100")
                for batch in pairs(found[0], found[1], Limits(APART_S)):
                    starts = np.minimum(found[0].start[batch.first], found[1].start[batch.second])
                    number += int(((starts >= begin) & (starts < end)).sum())
    return {"seconds": time.perf_counter() - start, "pairs": number}


def whole(_: argparse.Namespace) -> dict[str, Any]:
    """A whole run as far as its documents, which are not stored."""
    start = time.perf_counter()
    with exporting.snapshot(Settings.load()) as moment:
        catalogued = looked(moment)
        update = Update(catalogued, Limits(APART_S), 300, Nobody())  # type: ignore[arg-type]
        for part in find_matchups._parts(moment.months(catalogued.search)):
            update.run(Share(part))
    return {"seconds": time.perf_counter() - start, "pairs": update.done.matchups, "events": update.done.events}


def delta(_: argparse.Namespace) -> dict[str, Any]:
    """The same where the scenes that came last have changed something."""
    inputs = find_matchups.Inputs(collections=list(SENSORS))
    start = time.perf_counter()
    with exporting.snapshot(Settings.load()) as moment:
        reached = moment.horizon()
        row = moment.connection.execute(
            "SELECT era, xact::text FROM change WHERE item LIKE 'late-%%' ORDER BY era, xact, sequence LIMIT 1"
        ).fetchone()
        assert row is not None
        start = time.perf_counter()
        last = find_matchups.Last(row[0], int(row[1]), 0.0)
        shares = find_matchups._changed(inputs, Nobody(), moment, last, reached)  # type: ignore[arg-type]
        update = Update(looked(moment), Limits(APART_S), 300, Nobody())  # type: ignore[arg-type]
        for share in shares or []:
            update.run(share)
    return {"seconds": time.perf_counter() - start, "pairs": update.done.matchups, "shares": len(shares or [])}


def looked(moment: exporting.Snapshot) -> Catalogued:
    """At all scenes."""
    return Catalogued(moment, {"collections": sorted(SENSORS)}, Wanted(tuple(SENSORS)))


class Nobody:
    """A context that does nothing."""

    def __getattr__(self, name: str) -> Any:
        """Whatever is called."""
        return lambda *_, **__: None


if __name__ == "__main__":
    main()
