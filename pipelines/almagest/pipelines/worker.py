"""A worker: ``almagest worker --queues default,cpu``, or ``python -m almagest.pipelines.worker`` with the same options.

Celery's consumer hears the doorbell, in a thread for each job that is done at the same time; the reconciler sees to
what nobody rang for. Whatever dies, the table knows.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import structlog
from celery import signals
from psycopg_pool import ConnectionPool
from structlog.contextvars import get_contextvars

from almagest.catalogue import database
from almagest.core import logs
from almagest.core.errors import AlmagestError, ConfigurationError
from almagest.core.groups import QUEUES
from almagest.core.processes import sign_of_life, why_unwell
from almagest.core.settings import Settings
from almagest.pipelines import registry
from almagest.pipelines.courier import Courier
from almagest.pipelines.doorbell import RING, Doorbell
from almagest.pipelines.herald import Herald
from almagest.pipelines.keeper import Keeper
from almagest.pipelines.reconciler import Reconciler
from almagest.pipelines.runner import Runner
from almagest.pipelines.scheduler import Scheduler

log = structlog.get_logger(__name__)

ROLE = "almagest_worker"


def serve(settings: Settings, queues: Sequence[str], slots: int, name: str) -> None:
    """Does jobs until told to stop.

    Args:
        settings: of the stack.
        queues: kinds of machines that this one is.
        slots: jobs that are done at the same time.
        name: of this worker among others; its folder is called so.

    Raises:
        ConfigurationError: another one of this name runs here.
    """
    work = settings.work
    lease = timedelta(seconds=work.lease_s)
    free, leaving = threading.BoundedSemaphore(slots), threading.Event()
    workroot = settings.site.home / "work" / name
    workroot.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_alone(workroot))
        pool = stack.enter_context(_pool(settings, slots))
        for left in workroot.iterdir():  # by a predecessor that was killed
            shutil.rmtree(left, ignore_errors=True)
        keeper = Keeper(pool, lease)
        doorbell = Doorbell(settings)
        runner = Runner(pool, keeper, registry.processes(), settings, workroot, doorbell.remind)
        reconciler = Reconciler(
            pool,
            runner,
            doorbell.remind,
            queues,
            free,
            interval_s=work.poll_s,
            retention=timedelta(days=work.retention_days),
            alive=sign_of_life(settings, name),
            first=Scheduler(registry.processes()).look,
        )
        courier, herald = Courier(pool, settings), Herald(pool, settings)

        @doorbell.app.task(name=RING)  # type: ignore[untyped-decorator]
        def answer(job: str) -> None:
            with free:
                try:
                    runner.run(UUID(job))
                    # Not every job of a long queue is rung for: whoever has done one does what is left as well.
                    while not leaving.is_set() and runner.run_due(queues):
                        pass
                except psycopg.Error as error:
                    log.warning("the database is away", job=job, reason=str(error))

        # Logging is ours: Celery finds it done.
        signals.setup_logging.connect(_leave_logging, weak=False)
        reconciler.start()
        stack.callback(reconciler.stop)
        courier.start()
        stack.callback(courier.stop)
        herald.start()
        stack.callback(herald.stop)
        consumer = doorbell.app.Worker(
            pool="threads",
            concurrency=slots,
            queues=list(queues),
            hostname=f"{name}@almagest",
            quiet=True,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=not settings.site.flower,
        )
        # Celery's own handlers would wait for whatever runs.
        consumer.install_platform_tweaks = lambda _: None
        parts = (leaving, reconciler, keeper)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=_leave, args=parts).start())
        consumer.start()


def queues_of(settings: Settings, given: str) -> tuple[str, ...]:
    """Kinds of jobs from a comma-separated list; where that is empty, those of the settings.

    Raises:
        ConfigurationError: there is no such kind.
    """
    queues = tuple(name.strip() for name in given.split(",") if name.strip()) or settings.work.queues
    if unknown := sorted(set(queues) - set(QUEUES)):
        raise ConfigurationError(f"There is no queue {unknown[0]!r}, only {', '.join(QUEUES)}.")
    return queues


@contextmanager
def _alone(workroot: Path) -> Iterator[None]:
    """Keeps others out of a folder: whoever takes it over removes what he finds in it."""
    descriptor = os.open(workroot, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigurationError(f"A worker called {workroot.name} runs here: give this one another name.") from None
    finally:
        os.close(descriptor)


def _leave(leaving: threading.Event, reconciler: Reconciler, keeper: Keeper) -> None:
    """Gives back what is being done and ends: others begin it anew, and nobody waits for hours of work here."""
    leaving.set()
    reconciler.stop()
    try:
        keeper.release()
    except psycopg.Error as error:
        log.warning("jobs not given back", reason=str(error))
    os._exit(0)


def _leave_logging(**_: object) -> None:
    pass


def _pool(settings: Settings, slots: int) -> ConnectionPool[psycopg.Connection]:
    return ConnectionPool(
        # Transactions are begun where there is need of one.
        kwargs={**database.parameters(settings, ROLE), "autocommit": True},
        # Of a database that was started anew, no connection works any more.
        check=ConnectionPool.check_connection,
        min_size=1,
        # One for each job, the keeper, the reconciler and the courier.
        max_size=slots + 3,
        timeout=10,
        open=True,
    )


def main() -> None:
    """The command line of a worker."""
    parser = argparse.ArgumentParser(prog="python -m almagest.pipelines.worker")
    parser.add_argument("--name", default="worker", help="of this worker among those of its home")
    parser.add_argument("--queues", default="", help=f"kinds of jobs, of {','.join(QUEUES)}")
    parser.add_argument("--slots", type=int, default=0, help="jobs at the same time")
    parser.add_argument("--check", action="store_true", help="say whether the worker of this name is well, and end")
    arguments = parser.parse_args()
    logs.configure("worker", get_contextvars)
    try:
        settings = Settings.load()
        if arguments.check:
            sys.exit(why_unwell(sign_of_life(settings, arguments.name)))
        queues = queues_of(settings, arguments.queues)
        serve(settings, queues, arguments.slots or settings.work.slots, arguments.name)
    except AlmagestError as error:
        sys.exit(f"worker: {error}")


if __name__ == "__main__":
    main()
