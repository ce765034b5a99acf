"""An ingest of a hundred thousand items: killed again and again, and its memory."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from almagest.catalogue import database
from almagest.catalogue.ingest.batches import PART
from almagest.core.settings import Settings
from bench import catalogue
from support.cluster import Cluster
from support.ingests import a_seed, command, environment, kill, noted, put, wait_for
from support.processes import highest

pytestmark = pytest.mark.soak

COUNT, BATCH = 100_000, PART  # as it is unless somebody says otherwise


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
        assert put(settings, source, workers=2).totals.created == COUNT
        yield settings


def digest(settings: Settings) -> Any:
    """What stands for all that is stored of the items, but for who wrote it when."""
    with database.connect(settings, "postgres") as connection:
        return connection.execute(
            "SELECT count(*), count(DISTINCT (collection, id)), sum(hashtextextended("
            "jsonb_build_array(id, collection, datetime, end_datetime, geometry::text, content)::text, 0)::numeric)"
            " FROM pgstac.items"
        ).fetchone()


def begin(settings: Settings, source: Path) -> subprocess.Popen[str]:
    arguments = command(source, "--workers", "2", "--json")
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, env=environment(settings), stdout=pipe, stderr=pipe, text=True)


def test_killed_at_random_moments_until_it_is_done(settings: Settings, undisturbed: Settings, source: Path) -> None:
    chance = random.Random(a_seed())
    kills = 0
    while (inside := noted(settings)) < 0.8 * COUNT / BATCH:
        running = begin(settings, source)
        wait_for(settings, inside + chance.randint(1, 8), running)
        kill(running)
        kills += 1
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
        running = begin(settings, file)
        used.append(highest(running.pid))
        _, err = running.communicate()
        assert running.returncode == 0, err
    assert used[1] < 1.15 * used[0], used
