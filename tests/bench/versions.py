"""What keeping versions costs others: stock `pypgstac load` with our triggers and without, rounds in turns.

    python tests/bench/versions.py [--items 100000] [--rounds 5]

Adds to results/latest.json. A ratio is the time with them by the time without: 1 is for nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("extensions", "tests")]

from bench import catalogue, measuring  # noqa: E402
from support import cluster as clusters  # noqa: E402

KINDS = ("with", "without")
METHODS = ("insert", "upsert")


def main() -> None:
    """Runs the rounds and adds what they say to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with measuring.cluster() as (cluster, folder):
        files = {what: folder / f"{what}.ndjson" for what in METHODS}
        catalogue.write(files["insert"], given.items)
        write_changed(files["upsert"], given.items)
        measured = rounds(cluster, files, given.rounds)
    measuring.add(summarized(measured, given.items))


def write_changed(file: Path, count: int) -> None:
    """The same items, each with another cloud cover."""
    with file.open("wb") as stream:
        for item in catalogue.items(count):
            item["properties"]["eo:cloud_cover"] += 100
            stream.write(orjson.dumps(item) + b"\n")


def rounds(cluster: clusters.Cluster, files: dict[str, Path], count: int) -> dict[str, list[float]]:
    """Seconds of each load, with and without."""
    measuring.prepare(cluster, "with", "without")
    measured: dict[str, list[float]] = {}
    for number in range(count):
        for kind in KINDS if number % 2 == 0 else reversed(KINDS):
            with cluster.clone(kind) as name:
                for what in METHODS:
                    seconds, _ = measuring.timed(load(cluster, name, files[what], what), dict(os.environ))
                    measured.setdefault(f"{kind}_{what}_s", []).append(seconds)
                    print(f"round {number + 1}, {kind} triggers, {what}: {seconds:.1f} s", file=sys.stderr)
                check(cluster, name, kind)
    return measured


def load(cluster: clusters.Cluster, name: str, file: Path, method: str) -> list[str]:
    """The command that loads a file."""
    dsn = f"postgresql://postgres@/{name}?host={cluster.root}&port={cluster.port}"
    program = Path(sys.executable).with_name("pypgstac")
    return [str(program), "load", "items", str(file), "--method", method, "--dsn", dsn]


def check(cluster: clusters.Cluster, name: str, kind: str) -> None:
    """Every item was changed, and where versions are kept has left one."""
    with cluster.connect(name) as connection:
        changed = "SELECT count(*) FROM pgstac.items WHERE (content->'properties'->>'eo:cloud_cover')::float < 100"
        assert connection.execute(changed).fetchone() == (0,)
        if kind == "with":
            missing = "SELECT (SELECT count(*) FROM pgstac.items) - (SELECT count(*) FROM almagest.item_history)"
            # The canary's own collection has no item that stays.
            assert connection.execute(missing).fetchone() == (0,)


def summarized(measured: dict[str, list[float]], items: int) -> dict[str, Any]:
    """Medians, and of each pair of times its ratio."""
    middle = {name: round(statistics.median(values), 3) for name, values in measured.items()}
    return {
        "ratios": {
            f"trigger_{what}": measuring.ratio(measured[f"with_{what}_s"], measured[f"without_{what}_s"])
            for what in METHODS
        },
        "versions": {"items": items, "rounds": len(measured["with_insert_s"]), **middle},
    }


if __name__ == "__main__":
    main()
