"""An ingest of a hundred thousand items: killed again and again, and its memory."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from almagest.catalogue import database
from almagest.core.settings import Settings
from bench import catalogue
from support.cluster import Cluster
from support.ingests import command, environment, put, workers_of
from support.memory import highest

pytestmark = pytest.mark.soak

COUNT, BATCH = 100_000, 2_000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("soak")
    (folder / "collection.json").write_text(json.dumps(catalogue.collection()))
    catalogue.write(folder / "items.ndjson", COUNT)
    return folder


@pytest.fixture
def undisturbed(cluster: Cluster, source: Path) -> Iterator[Settings]:
    with cluster.clone("template_almagest") as name:
        settings = cluster.settings(name)
        assert put(settings, source, batch_size=BATCH, workers=2).totals.created == COUNT
        yield settings


def digest(settings: Settings) -> Any:
    """What stands for all that is stored of the items, but for who wrote it when."""
    with database.connect(settings, "postgres") as connection:
        return connection.execute(
            "SELECT count(*), count(DISTINCT (collection, id)), sum(hashtextextended("
            "jsonb_build_array(id, collection, datetime, end_datetime, geometry::text, content)::text, 0)::numeric)"
            " FROM pgstac.items"
        ).fetchone()


def noted(settings: Settings) -> int:
    with database.connect(settings, "almagest_writer") as connection:
        row = connection.execute("SELECT count(*) FROM ingest_batch").fetchone()
    assert row is not None
    return int(row[0])


def begin(settings: Settings, source: Path, *more: str) -> subprocess.Popen[str]:
    arguments = command(source, "--batch-size", str(BATCH), "--workers", "2", "--json", *more)
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, env=environment(settings), stdout=pipe, stderr=pipe, text=True)


def test_killed_at_random_moments_until_it_is_done(settings: Settings, undisturbed: Settings, source: Path) -> None:
    chance = random.Random()
    kills = 0
    while noted(settings) < 0.8 * COUNT / BATCH:
        running = begin(settings, source)
        time.sleep(chance.uniform(2, 25))
        workers = list(workers_of(running.pid))
        running.kill()
        running.communicate()
        kills += 1
        until = time.monotonic() + 30
        while any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers):
            assert time.monotonic() < until, "a worker did not notice that its parent is gone"
            time.sleep(0.05)
    missing = COUNT // BATCH - noted(settings)
    last = begin(settings, source)
    out, err = last.communicate()
    assert last.returncode == 0, err
    told = json.loads(out)
    assert told["batches_sent"] == missing, f"after {kills} kills"
    assert told["created"] == missing * BATCH
    assert digest(settings) == digest(undisturbed)


def test_memory_stays_flat(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "collection.ndjson").write_text(json.dumps(catalogue.collection()))
    put(settings, tmp_path / "collection.ndjson")
    used = []
    for count in (20_000, 200_000):
        file = tmp_path / f"{count}.ndjson"
        catalogue.write(file, count)
        running = begin(settings, file, "--batch-size", "5000")
        used.append(highest(running.pid))
        _, err = running.communicate()
        assert running.returncode == 0, err
    assert used[1] < 1.15 * used[0], used
