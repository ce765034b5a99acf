"""How fast items go in, against `pypgstac load`: the same file, the same cluster, rounds in turns.

    python tests/bench/ingest.py [--items 100000] [--rounds 5]

Writes results/latest.json. A ratio is their time by ours: above 1 we are faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("extensions", "tests")]

import orjson  # noqa: E402

from almagest.catalogue import database  # noqa: E402
from almagest.catalogue.storing import Store  # noqa: E402
from bench import catalogue  # noqa: E402
from support import cluster as clusters  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "latest.json"
ENGINES = ("almagest", "pypgstac")
#: Documents of one transaction: parsed, they take ten times the memory of their text.
BATCH = 1000


def main() -> None:
    """Runs the rounds, or one engine in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--where", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine:
        root, port, name, file = given.where
        run = load if given.engine == "almagest" else load_by_pypgstac
        run(clusters.Cluster(Path(root), int(port)), name, Path(file))
        return
    with tempfile.TemporaryDirectory(prefix="almagest-bench-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        file = root / "items.ndjson"
        catalogue.write(file, given.items)
        (root / "cluster").mkdir()
        cluster = clusters.start(root / "cluster")
        try:
            measured = rounds(cluster, file, given.rounds)
        finally:
            clusters.stop(root / "cluster")
    summary = summarized(measured, given.items)
    RESULTS.parent.mkdir(exist_ok=True)
    others = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    merged = {part: {**others.get(part, {}), **values} for part, values in summary.items()}
    RESULTS.write_text(json.dumps({**others, **merged}, indent=2) + "\n")
    print(json.dumps(summary, indent=2))


def rounds(cluster: clusters.Cluster, file: Path, count: int) -> dict[str, list[float]]:
    """Seconds and peak memory (MiB) of each engine, for a file that is new and for one that is stored already."""
    database.prepare(cluster.settings("template"))
    cluster.seal("template")
    measured: dict[str, list[float]] = {}
    for number in range(count):
        for engine in ENGINES if number % 2 == 0 else reversed(ENGINES):
            with cluster.clone("template") as name:
                with database.connect(cluster.settings(name), "almagest_writer") as connection:
                    Store(connection).collections([catalogue.collection()])
                for what in ("insert", "again"):
                    seconds, memory = timed(engine, cluster, name, file)
                    measured.setdefault(f"{engine}_{what}_s", []).append(seconds)
                    measured.setdefault(f"{engine}_{what}_mib", []).append(memory)
    return measured


def timed(engine: str, cluster: clusters.Cluster, name: str, file: Path) -> tuple[float, float]:
    """Seconds and peak memory of a process that loads the file."""
    where = [str(cluster.root), str(cluster.port), name, str(file)]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--engine", engine, "--where", *where])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{engine} ended with {process.returncode}.")
    return seconds, usage.ru_maxrss / 1024


def load(cluster: clusters.Cluster, name: str, file: Path) -> None:
    """As `almagest ingest` does, in one process: everything is checked, and each batch noted with its items."""
    from almagest.catalogue import acceptance

    settings = cluster.settings(name)
    rules = acceptance.Rules(settings.site.origin)
    with database.connect(settings, "almagest_writer") as connection, file.open("rb") as lines:
        (run,) = connection.execute("SELECT begin_ingest('bench', 'bench')").fetchone() or (0,)
        store = Store(connection)
        number = 0
        while texts := list(islice(lines, BATCH)):
            batch = store.prepare(acceptance.accept_item(orjson.loads(text), rules).document for text in texts)
            with connection.transaction():
                done = store.put(batch)
                noted = (run, number.to_bytes(8), done.total, done.created, done.updated, done.unchanged)
                connection.execute("SELECT record_batch(%s, %s, %s, %s, %s, %s)", noted)
            number += 1
        connection.execute("SELECT finish_ingest(%s)", (run,))
        store.refresh()


def load_by_pypgstac(cluster: clusters.Cluster, name: str, file: Path) -> None:
    """What `pypgstac load items --method upsert` runs."""
    from pypgstac.load import Loader, Methods

    options = {"options": "-c search_path=pgstac,public"}
    with database.pgstac(cluster.settings(name), "almagest_writer", **options) as handle:
        Loader(db=handle).load_items(str(file), Methods.upsert)


def summarized(measured: dict[str, list[float]], items: int) -> dict[str, Any]:
    """Medians, and of each pair of times its ratio."""
    middle = {name: round(statistics.median(values), 3) for name, values in measured.items()}
    pairs = {"ingest_vs_pypgstac": "insert", "ingest_again_vs_pypgstac": "again"}
    return {
        "ratios": {
            name: round(middle[f"pypgstac_{what}_s"] / middle[f"almagest_{what}_s"], 3) for name, what in pairs.items()
        },
        "ingest": {"items": items, "rounds": len(measured["almagest_insert_s"]), **middle},
    }


if __name__ == "__main__":
    main()
