"""Aggregations from what was counted beforehand, beside the same by a scan, over HTTP; and such as filter.

    python tests/bench/aggregation.py [--items 1000000] [--rounds 5] [--collections 4]

Adds to results/latest.json. A ratio is the time of the scan by the time from rollups: how many times as fast these are.
The scan is asked for by a box round the whole globe, which every item lies in.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("extensions", "pipelines", "services", "cli", "tests")]

from almagest.catalogue import database, rollups  # noqa: E402
from almagest.catalogue.storing import Store  # noqa: E402
from almagest.core.settings import Settings  # noqa: E402
from bench import catalogue, measuring  # noqa: E402
from conftest import stac_client  # noqa: E402

#: What is asked at once.
QUESTIONS: dict[str, dict[str, Any]] = {
    "total": {"aggregations": ["total_count"]},
    "times": {"aggregations": ["datetime_min", "datetime_max", "datetime_frequency"]},
    "terms": {"aggregations": ["platform_frequency", "collection_frequency"]},
    "numbers": {"aggregations": ["cloud_cover_frequency", "cloud_cover_min", "cloud_cover_max", "cloud_cover_sum"]},
    **{
        grid: {
            "aggregations": [f"centroid_{grid}_grid_frequency"],
            f"centroid_{grid}_grid_frequency_precision": precision,
        }
        for grid, precision in (("geohash", 3), ("geotile", 6), ("geohex", 2))
    },
}
# A scan of more than 250,000 places is refused.
QUESTIONS["geohex"]["collections"] = catalogue.collections(4)[:1]
EVERYTHING = {"bbox": [-180, -90, 180, 90]}
#: Such as filter, and so are always scanned.
FILTERED: dict[str, dict[str, Any]] = {
    "a box": {"bbox": [0, 30, 30, 60]},
    "a month": {"datetime": "2019-03-01T00:00:00Z/2019-03-31T00:00:00Z"},
    "cloud cover": {"filter-lang": "cql2-json", "filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]}},
}
_BATCH = 5000


def main() -> None:
    """Fills a catalogue, runs the rounds and adds what they say to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--collections", type=int, default=4)
    given = parser.parse_args()
    with measuring.cluster() as (cluster, _):
        settings = cluster.settings("aggregation")
        # A scan of everything is what nobody should have to wait for.
        patient = settings.database.model_copy(
            update={"statement_timeout_s": 600.0, "external_statement_timeout_s": 600.0}
        )
        settings = replace(settings, database=patient)
        database.prepare(settings)
        fill(settings, given.items, given.collections)
        start = time.perf_counter()
        with database.connect(settings, "postgres") as connection:
            rollups.fold(connection)
            counted_s = time.perf_counter() - start
            # What grew at once is known to nobody yet.
            connection.execute("VACUUM ANALYZE")
        print(f"counted in {counted_s:.1f} s", file=sys.stderr)
        measured = rounds(settings, given.rounds)
        measuring.add(summarized(measured, given.items, given.rounds, counted_s))


def fill(settings: Settings, count: int, among: int) -> None:
    """Stores the items."""
    with database.connect(settings, "almagest_writer") as connection:
        store = Store(connection)
        store.collections(catalogue.collection(name) for name in catalogue.collections(among))
        batch = []
        for number, item in enumerate(catalogue.items(count, among=among), 1):
            batch.append(item)
            if len(batch) == _BATCH or number == count:
                prepared = store.prepare(batch)
                with connection.transaction():
                    store.put(prepared)
                batch = []
                if number % (20 * _BATCH) == 0:
                    print(f"stored {number:,}", file=sys.stderr)
        store.refresh()


def rounds(settings: Settings, count: int) -> dict[str, list[float]]:
    """Seconds of each question, from rollups and by a scan, and of those that filter."""
    measured: dict[str, list[float]] = {}
    for audience, prefix in (("internal", "/api"), ("external", "/external")):
        with stac_client(settings, audience) as client:  # type: ignore[arg-type]

            def ask(name: str, body: dict[str, Any], prefix: str = prefix, client: Any = client) -> Any:
                start = time.perf_counter()
                answer = client.post(f"{prefix}/aggregate", json=body)
                measured.setdefault(name, []).append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text
                return answer.json()["aggregations"]

            for _ in range(count):
                for name, question in QUESTIONS.items():
                    rolled = ask(f"{audience}_{name}_rolled_s", question)
                    if audience == "external" and name not in {"total", "terms"}:
                        continue
                    scanned = ask(f"{audience}_{name}_scanned_s", {**question, **EVERYTHING})
                    assert same(rolled, scanned), name
                for name, search in FILTERED.items() if audience == "internal" else ():
                    every = [name for question in QUESTIONS.values() for name in question["aggregations"]]
                    ask(f"filtered by {name}, all at once_s", {**search, "aggregations": every})
    return measured


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Whether two answers say the same; of buckets as frequent as others the first few may be others."""
    return [{**each, "buckets": len(each.get("buckets", ()))} for each in one] == [
        {**each, "buckets": len(each.get("buckets", ()))} for each in other
    ]


def summarized(measured: dict[str, list[float]], items: int, count: int, counted_s: float) -> dict[str, Any]:
    """Medians, and of each question how many times as fast."""
    middle = {name: round(statistics.median(values), 5) for name, values in measured.items()}
    ratios = {
        f"aggregation_{name.removesuffix('_scanned_s')}": measuring.ratio(
            values, measured[name.replace("_scanned_s", "_rolled_s")]
        )
        for name, values in measured.items()
        if name.endswith("_scanned_s")
    }
    return {
        "ratios": ratios,
        "aggregation": {"items": items, "rounds": count, "counted_s": round(counted_s, 1), **middle},
    }


if __name__ == "__main__":
    main()
