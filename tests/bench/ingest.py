"""How fast items go in: `almagest ingest`, which keeps versions, against `pypgstac load` into stock pgSTAC, in turns.

    python tests/bench/ingest.py [--items 100000] [--rounds 5]

Adds to results/latest.json. A ratio is their time by ours: above 1 we are faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("extensions", "tests")]

from bench import catalogue, measuring  # noqa: E402
from support import cluster as clusters  # noqa: E402
from support import ingests  # noqa: E402

ENGINES = ("almagest", "pypgstac")
#: What is measured, and how `pypgstac load` does it fastest.
METHODS = {"insert": "insert", "again": "upsert"}


def main() -> None:
    """Runs the rounds and adds what they say to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with measuring.cluster() as (cluster, folder):
        file = folder / "items.ndjson"
        catalogue.write(file, given.items)
        measured = rounds(cluster, file, given.rounds)
    measuring.add(summarized(measured, given.items))


def rounds(cluster: clusters.Cluster, file: Path, count: int) -> dict[str, list[float]]:
    """Seconds and peak memory (MiB) of each engine, for a file that is new and for one that is stored already.

    Ours keeps versions; the peer loads into stock pgSTAC, which has nothing of ours.
    """
    measuring.prepare(cluster, "almagest", "pypgstac")
    measured: dict[str, list[float]] = {}
    for number in range(count):
        for engine in ENGINES if number % 2 == 0 else reversed(ENGINES):
            with cluster.clone(engine) as name:
                for what in METHODS:
                    seconds, memory = measuring.timed(*command(engine, what, cluster, name, file))
                    measured.setdefault(f"{engine}_{what}_s", []).append(seconds)
                    measured.setdefault(f"{engine}_{what}_mib", []).append(memory)
                    print(f"round {number + 1}, {engine}, {what}: {seconds:.1f} s, {memory:.0f} MiB", file=sys.stderr)
    return measured


def command(
    engine: str, what: str, cluster: clusters.Cluster, name: str, file: Path
) -> tuple[list[str], dict[str, str]]:
    """What loads the file, and its environment."""
    if engine == "almagest":
        return ingests.command(file, "--json"), ingests.environment(cluster.settings(name))
    dsn = f"postgresql://postgres@/{name}?host={cluster.root}&port={cluster.port}"
    program = Path(sys.executable).with_name("pypgstac")
    return [str(program), "load", "items", str(file), "--method", METHODS[what], "--dsn", dsn], dict(os.environ)


def summarized(measured: dict[str, list[float]], items: int) -> dict[str, Any]:
    """Medians, and of each pair of times its ratio."""
    middle = {name: round(statistics.median(values), 3) for name, values in measured.items()}
    pairs = {"ingest_vs_pypgstac": "insert", "ingest_again_vs_pypgstac": "again"}
    return {
        "ratios": {
            name: measuring.ratio(measured[f"pypgstac_{what}_s"], measured[f"almagest_{what}_s"])
            for name, what in pairs.items()
        },
        "ingest": {"items": items, "rounds": len(measured["almagest_insert_s"]), **middle},
    }


if __name__ == "__main__":
    main()
