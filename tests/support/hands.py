"""A worker's parts in this process, without a doorbell: they find what is to be done by themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import BoundedSemaphore

from psycopg_pool import ConnectionPool

from almagest.catalogue import database
from almagest.core.settings import Settings
from almagest.pipelines import registry
from almagest.pipelines.keeper import Keeper
from almagest.pipelines.reconciler import Reconciler
from almagest.pipelines.runner import Runner


@contextlib.contextmanager
def at_work(settings: Settings, folder: Path) -> Iterator[None]:
    """Jobs are done."""
    folder.mkdir(exist_ok=True)
    lease = timedelta(seconds=5)
    with ConnectionPool(
        kwargs={**database.parameters(settings, "almagest_worker"), "autocommit": True}, min_size=1, max_size=6
    ) as pool:
        keeper = Keeper(pool, lease)
        reconciler = Reconciler(
            pool,
            Runner(pool, keeper, registry.processes(), settings, folder),
            lambda *_: True,
            ["default"],
            BoundedSemaphore(2),
            interval_s=0.05,
            retention=timedelta(days=1),
            alive=folder / "alive",
        )
        reconciler.start()
        yield
        reconciler.stop()
        keeper.stop()
