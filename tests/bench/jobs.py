"""How many empty jobs are done in a second: Almagest, and plain Celery with its results in Redis, in turns.

    python tests/bench/jobs.py [--jobs 400] [--rounds 5] [--slots 4]

Adds to results/latest.json. Ours go the whole way: into the table, rung for, claimed under a lease, run with a folder
of their own, and ended in the table. Theirs are a message and a result. Both have one worker of as many threads, the
same Redis, and as many threads that hand jobs in; a round ends when whoever handed them in knows that all are done.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("extensions", "pipelines", "services", "cli", "tests")]

from almagest.catalogue import database, jobs  # noqa: E402
from almagest.cli.stack import redis  # noqa: E402
from almagest.core.settings import Settings  # noqa: E402
from almagest.pipelines.doorbell import Doorbell  # noqa: E402
from bench import measuring  # noqa: E402
from support.plugin_processes import EMPTY  # noqa: E402
from support.works import Processes, processes  # noqa: E402

DATABASE = "jobs"
_LONGEST_S = 120.0

#: Has so many jobs done.
Round = Callable[[int], None]


def main() -> None:
    """Runs the rounds and adds what they say to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=4)
    given = parser.parse_args()
    rates: dict[str, list[float]] = {"almagest": [], "celery": []}
    with measuring.cluster() as (cluster, folder):
        settings = cluster.settings(DATABASE, folder)
        database.prepare(settings)
        with (
            processes(settings, ALMAGEST_WORK_SLOTS=str(given.slots), ALMAGEST_WORK_POLL_S="5") as works,
            ours(settings, works, given.slots) as mine,
            theirs(settings, works, given.slots) as peer,
        ):
            sides = {"almagest": mine, "celery": peer}
            for run in sides.values():
                run(given.slots)  # both are awake
            for number in range(given.rounds):
                for name in sides if number % 2 == 0 else reversed(sides):
                    began = time.perf_counter()
                    sides[name](given.jobs)
                    rates[name].append(given.jobs / (time.perf_counter() - began))
                    print(f"round {number + 1}, {name}: {rates[name][-1]:.0f}/s", file=sys.stderr)
    told = {f"{name}_per_s": round(statistics.median(found), 1) for name, found in rates.items()}
    measuring.add(
        {
            "ratios": {"jobs_vs_celery": measuring.ratio(rates["almagest"], rates["celery"])},
            "jobs": {"jobs": given.jobs, "rounds": given.rounds, "slots": given.slots, **told},
        }
    )


@contextlib.contextmanager
def ours(settings: Settings, works: Processes, hands: int) -> Iterator[Round]:
    """A worker, and an office as the ops app has one."""
    works.start_worker("ours")
    doorbell, own = Doorbell(settings), threading.local()

    def submit(number: int) -> None:
        if not hasattr(own, "connection"):
            own.connection = stack.enter_context(database.connect(settings, "almagest_ops"))
        job, _ = jobs.accept(own.connection, EMPTY, {"name": str(number)}, "bench")
        doorbell.remind(job, EMPTY.queue)

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(hands) as threads:
        watcher = stack.enter_context(database.connect(settings, "almagest_ops"))

        def run(number: int) -> None:
            list(threads.map(submit, range(number)))
            until = time.monotonic() + _LONGEST_S
            while jobs.listed(watcher, filters={"status": ["accepted", "running"]}, limit=1):
                if time.monotonic() > until:
                    raise SystemExit(f"jobs are not done: {works.log('ours')[-2000:]}")
                time.sleep(0.01)

        yield run


@contextlib.contextmanager
def theirs(settings: Settings, works: Processes, slots: int) -> Iterator[Round]:
    """A worker of Celery's own."""
    os.environ["ALMAGEST_BENCH_REDIS"] = str(redis.socket(settings))
    from bench import celery_peer

    command = [sys.executable, "-m", "celery", "-A", "bench.celery_peer", "worker", "--pool", "threads"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    with (settings.site.home / "logs" / "celery.log").open("wb") as log, ThreadPoolExecutor(slots) as threads:
        worker = subprocess.Popen(
            [*command, "--concurrency", str(slots), "--loglevel", "WARNING"], env=environment, stdout=log, stderr=log
        )

        def submit(number: int) -> Any:
            return celery_peer.empty.apply_async((str(number),))

        def run(number: int) -> None:
            for result in threads.map(submit, range(number)):
                result.get(timeout=_LONGEST_S)

        try:
            yield run
        finally:
            worker.terminate()
            worker.wait(20)


if __name__ == "__main__":
    main()
