"""Folds what has changed into rollups and into the edges of lineages, now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import psycopg
import structlog

from almagest.catalogue import database, lineage, rollups
from almagest.core.errors import AlmagestError
from almagest.core.settings import Settings
from almagest.services.ops.housekeeping import INTERVAL_S

log = structlog.get_logger(__name__)

Work = Callable[[psycopg.Connection[Any]], None]


async def keep_folding(settings: Settings) -> None:
    """Folds until it is cancelled. The first time everything is counted, which takes minutes of a large catalogue."""
    # Neither waits for the other, nor is kept from its work by what befalls it.
    async with asyncio.TaskGroup() as both:
        both.create_task(_keep(settings, "rollups", fold_rollups))
        both.create_task(_keep(settings, "lineages", lineage.fold))


async def fold(settings: Settings, work: Work) -> None:
    """Folds once, on a connection of its own, which is interrupted where this is cancelled.

    Raises:
        AlmagestError: the database does not answer, or others fold all the time.
    """
    opening = asyncio.create_task(asyncio.to_thread(database.connect, settings, "almagest_ops"))
    try:
        connection = await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(AlmagestError, psycopg.Error):
            (await opening).close()
        raise
    with closing(connection):
        folding = asyncio.create_task(asyncio.to_thread(work, connection))
        try:
            await asyncio.shield(folding)
        except asyncio.CancelledError:
            connection.cancel_safe(timeout=2.0)
            await asyncio.gather(folding, return_exceptions=True)
            raise


def fold_rollups(connection: psycopg.Connection[Any]) -> None:
    """Folds rollups, and looks for extremes that have gone."""
    rollups.fold(connection)
    rollups.refresh(connection)


async def _keep(settings: Settings, what: str, work: Work) -> None:
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            await fold(settings, work)
        except (AlmagestError, psycopg.Error) as error:
            log.warning("changes are not folded", into=what, reason=str(error).strip())
        except Exception:  # or nobody would do it until the next start
            log.exception("changes are not folded", into=what)
