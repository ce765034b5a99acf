"""What the benches have in common: a cluster of their own, commands that are timed, and the file of results."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from almagest.catalogue import database
from bench import catalogue
from support import cluster as clusters
from support.processes import highest

RESULTS = Path(__file__).parent / "results" / "latest.json"


@contextlib.contextmanager
def cluster() -> Iterator[tuple[clusters.Cluster, Path]]:
    """A cluster, and a folder for files beside it; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="almagest-bench-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "cluster").mkdir()
        try:
            yield clusters.start(root / "cluster"), root
        finally:
            clusters.stop(root / "cluster")


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of the rounds: what slows a round down slows both."""
    return round(statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True)), 3)


def prepare(cluster: clusters.Cluster, ours: str, stock: str) -> None:
    """Two databases to be cloned, with the collection: one as it is with us, and one with nothing of ours."""
    database.prepare(cluster.settings(ours))
    alone = cluster.settings(stock)
    database.create(alone)
    database.install_pgstac(alone)
    for name in (ours, stock):
        with cluster.connect(name) as connection:
            connection.execute("SET search_path = pgstac, public")
            document = json.dumps(catalogue.collection())
            connection.execute("SELECT create_collection(%s::jsonb)", (document,))
        cluster.seal(name)


def timed(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of a command, and the most memory that its processes had, together [MiB]."""
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        running = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        memory = highest(running.pid)
        seconds = time.perf_counter() - start
        if running.wait():
            said.seek(0)
            raise SystemExit(f"{arguments} ended with {running.returncode}: {said.read()[-2000:]}")
    return seconds, memory / 1024


def add(summary: dict[str, Any]) -> None:
    """Puts what was measured among the results of the other benches, and prints it."""
    RESULTS.parent.mkdir(exist_ok=True)
    others = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    merged = {part: {**others.get(part, {}), **values} for part, values in summary.items()}
    RESULTS.write_text(json.dumps({**others, **merged}, indent=2) + "\n")
    print(json.dumps(summary, indent=2))
