"""Everything that carries jobs is killed while they are done: each is done once, and none is lost.

What a job does is a version of an item; a job that was done twice would leave two.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis

from almagest.catalogue import database, jobs
from almagest.catalogue.storing import Store
from almagest.core.settings import Settings
from almagest.pipelines.doorbell import Doorbell
from support import cluster as clusters
from support import plugin_processes as made
from support import rasters
from support.works import Processes, processes

WORKERS = 4


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A cluster that may be crashed; what it has said to be committed is on disk."""
    root = clusters.make_root()
    clusters.initialise(root)
    running = clusters.serve(root, synchronous_commit="on")
    own = replace(running.settings("chaos"), site=running.settings("chaos").site.model_copy(update={"home": tmp_path}))
    database.prepare(own)
    with database.connect(own, "postgres") as admin, admin.transaction():
        admin.execute("SET search_path = almagest, public")
        Store(admin).collections([rasters.collection("effects")])
    yield own
    clusters.stop(root)


def test_forty_jobs_survive(settings: Settings) -> None:
    print(chaos(settings, 40))


@pytest.mark.soak
def test_two_hundred_jobs_survive(settings: Settings) -> None:
    print(f"\n{chaos(settings, 200)}")


def chaos(settings: Settings, number: int) -> str:
    """Runs so many jobs, a quarter of them children, while whatever carries them is killed."""
    root = Path(settings.db_host)
    with processes(settings, ALMAGEST_WORK_SLOTS="2") as works:
        for name in names():
            works.start_worker(name)
        chance = random.Random(number)
        ids = submit(settings, number, chance)
        until = time.monotonic() + 120 + number
        once, again = blows(works, root, chance)
        for blow in once:
            assert pending(settings), "all was done before everything was tried"
            blow()
            time.sleep(chance.uniform(1, 2))
        while pending(settings) and time.monotonic() < until - 40:
            again()
            time.sleep(chance.uniform(2, 4))
        while waiting := pending(settings):
            assert time.monotonic() < until, f"{waiting} jobs have not ended:\n{works.log('w0')[-5000:]}"
            time.sleep(0.5)
    return counted(settings, ids)


def names() -> list[str]:
    return [f"w{number}" for number in range(WORKERS)]


def submit(settings: Settings, number: int, chance: random.Random) -> list[UUID]:
    """Three quarters of the jobs by themselves, the others as children of a few."""
    doorbell = Doorbell(settings)
    single, parents = number * 3 // 4, max(1, number // 40)
    children = (number - single - parents) // parents
    wanted: list[tuple[Any, dict[str, Any]]] = [
        (made.EFFECT, {"name": f"e{n}", "pause_s": chance.uniform(0, 400 / number)}) for n in range(single)
    ]
    wanted += [(made.FAN, {"name": f"f{n}", "number": children}) for n in range(parents)]
    chance.shuffle(wanted)
    ids = []
    with database.connect(settings, "almagest_ops") as connection:
        for process, inputs in wanted:
            job, _ = jobs.accept(connection, process, inputs, "chaos")
            doorbell.ring(job, process.queue)
            ids.append(job)
    return ids


Blow = Callable[[], None]


def blows(works: Processes, root: Path, chance: random.Random) -> tuple[list[Blow], Blow]:
    """What happens once, in this order, and what goes on happening as long as there are jobs."""

    def kill_a_worker() -> None:
        name = chance.choice(names())
        works.kill(name)
        works.start_worker(name)

    def flush_redis() -> None:
        with contextlib.suppress(redis.RedisError), works.connection() as connection:
            connection.flushall()

    def kill_redis() -> None:
        works.kill_redis()
        shutil.rmtree(works.folder / "redis" / "appendonlydir")
        time.sleep(1)
        works.start_redis()

    def pause_a_worker() -> None:
        works.kill("w0", signal.SIGSTOP)
        time.sleep(5)  # longer than a lease
        works.kill("w0", signal.SIGCONT)

    def crash_postgres() -> None:
        clusters.crash(root)

    once = [kill_a_worker, flush_redis, crash_postgres, pause_a_worker, kill_redis, kill_a_worker]
    return once, kill_a_worker


def pending(settings: Settings) -> int:
    """How many jobs have not ended."""
    with database.connect(settings, "almagest_worker") as connection:
        return sum(counts(connection).get(status, 0) for status in ("accepted", "running"))


def counts(connection: psycopg.Connection[Any]) -> dict[str, int]:
    rows = connection.execute("SELECT status, sum(number)::int FROM almagest.job_counts() GROUP BY status")
    return dict(rows.fetchall())


def counted(settings: Settings, ids: list[UUID]) -> str:
    """What became of the jobs.

    Raises:
        AssertionError: one was lost, or done twice, or left something half-published.
    """
    with database.connect(settings, "postgres") as admin:
        found = counts(admin)
        total = sum(found.values())
        ends = dict(
            admin.execute("SELECT job, count(*) FROM almagest.job_event WHERE message = 'successful' GROUP BY job")
        )
        again = admin.execute(
            "SELECT count(*) FROM almagest.job_event WHERE message ~ '^attempt ([2-9]|[1-9][0-9])'"
        ).fetchone()
        effects = dict(
            admin.execute(
                "SELECT h.id, 1 + (SELECT count(*) FROM almagest.item_history AS o WHERE o.id = h.id)"
                " FROM almagest.item_head AS h WHERE h.collection = 'effects' AND NOT h.deleted"
            )
        )
        wanted = {
            inputs["name"]
            for process, inputs in admin.execute("SELECT process, inputs FROM almagest.job")
            if process == "test-effect"
        }
    assert set(ids) <= set(ends)
    lost = total - len(ends) + len(wanted - set(effects))
    doubled = sum(number > 1 for number in (*ends.values(), *effects.values()))
    print(f"chaos: {again[0] if again else 0} attempts were not the first")
    told = f"chaos: {total - lost} of {total} jobs ended once, {lost} lost, {doubled} doubled"
    assert (found, lost, doubled) == ({"successful": total}, 0, 0), told
    return told
