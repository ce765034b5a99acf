"""Two workers share the months of a run that finds matchups, and one of them is killed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from almagest.catalogue import database, exporting, jobs, loading
from almagest.core.settings import Settings
from almagest.pipelines.doorbell import Doorbell
from conftest import TEMPLATE
from support import plugin_processes, rasters
from support.cluster import Cluster
from support.works import Processes, processes

PAIRS = "l9-landsat-9-vs-s2-S2A"
PLATFORMS = {"s2": "S2A", "l9": "landsat-9"}
SCENES = 700
WORKERS = ("w0", "w1")


@pytest.fixture
def sites(cluster: Cluster, tmp_path: Path) -> Iterator[list[Settings]]:
    """Two catalogues of the same scenes, in six months."""
    chance = random.Random(4)
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    scenes = []
    for number in range(SCENES):
        of = chance.choice(["s2", "l9"])
        when = (begin + timedelta(minutes=number * 182 * 1440 / SCENES + chance.uniform(0, 900))).isoformat()
        west = chance.choice([10, 11, 12])
        place = (west, 0, west + 2, 2)
        scenes.append(rasters.item(f"{of}-{number:03}", of, place, {}, when, platform=PLATFORMS[of]))
    with ExitStack() as stack:
        made = []
        for name in ("quiet", "killed"):
            own = cluster.settings(stack.enter_context(cluster.clone(TEMPLATE)))
            home = tmp_path / name
            home.mkdir()
            own = replace(own, site=own.site.model_copy(update={"home": home}))
            loading.load_documents(own, [rasters.collection(of) for of in PLATFORMS], scenes)
            made.append(own)
        yield made


def test_killing_one_changes_nothing_in_the_result(sites: list[Settings]) -> None:
    quiet, killed = sites
    assert run(quiet, kill=False) == 0
    assert run(killed, kill=True) > 0, "nothing was tried again: nobody was killed at work"
    told = items(quiet)
    assert len(told) > 100
    assert items(killed) == told
    for settings in sites:
        with database.connect(settings, "postgres") as admin:
            found = admin.execute("SELECT count(*) FROM almagest.item_history WHERE collection LIKE %s", [f"%{PAIRS}"])
            assert found.fetchone() == (0,), "something was published twice"


def run(settings: Settings, *, kill: bool) -> int:
    """Finds matchups by two workers; answers how many attempts were not the first."""
    with processes(settings, ALMAGEST_WORK_SLOTS="1") as works:
        for name in WORKERS:
            works.start_worker(name)
        with database.connect(settings, "almagest_ops") as connection:
            asked = {"collections": [*PLATFORMS], "max_time_difference": 40_000, "event_gap": 60_000}
            inputs = plugin_processes.SHARED.parse(asked).model_dump(mode="json")
            parent, _ = jobs.accept(connection, plugin_processes.SHARED, inputs, "user:ann")
            Doorbell(settings).ring(parent, plugin_processes.SHARED.queue)
        until = time.monotonic() + 120
        while (job := state(settings, parent)).status in {"accepted", "running"}:
            assert time.monotonic() < until, works.log("w1")[-3000:]
            if kill and at_work(settings) >= 2:
                works.kill("w0")
                kill = False
            time.sleep(0.1)
        assert job.status == "successful", job.error
        assert (job.outputs or {})["matchups"] > 100
        return attempts(settings, works)


def state(settings: Settings, job: UUID) -> jobs.Job:
    with database.connect(settings, "almagest_ops") as connection:
        return jobs.find(connection, job)


def at_work(settings: Settings) -> int:
    """How many parts are being done."""
    with database.connect(settings, "postgres") as admin:
        asked = "SELECT count(*) FROM almagest.job WHERE status = 'running' AND process = 'find-matchups'"
        (number,) = admin.execute(asked).fetchone() or (0,)
    return int(number)


def attempts(settings: Settings, works: Processes) -> int:
    with database.connect(settings, "postgres") as admin:
        (parts,) = admin.execute("SELECT count(*) FROM almagest.job WHERE process = 'find-matchups'").fetchone() or (0,)
        assert parts >= 3, works.log("w1")[-3000:]
        again = "SELECT count(*) FROM almagest.job_event WHERE message ~ '^attempt ([2-9]|[1-9][0-9])'"
        (number,) = admin.execute(again).fetchone() or (0,)
    return int(number)


def items(settings: Settings) -> dict[str, dict[str, Any]]:
    """What was found; of links those that name no moment."""
    with exporting.snapshot(settings) as moment:
        found = {item["id"]: item for name in (PAIRS, f"matchup-events-{PAIRS}") for item in moment.items(name, {})}
    for item in found.values():
        del item["properties"]["almagest:job"]
        item["links"] = sorted(
            json.dumps({name: link.get(name) for name in ("rel", "href", "matchup:role")}) for link in item["links"]
        )
    return found
