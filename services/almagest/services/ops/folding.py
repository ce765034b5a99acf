"""Folds what has changed into the rollups, now and then."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import psycopg
import structlog

from almagest.catalogue import database, rollups
from almagest.core.errors import AlmagestError
from almagest.core.settings import Settings

log = structlog.get_logger(__name__)

#: Whoever aggregates adds the changes of so many seconds one by one.
INTERVAL_S = 20.0


async def keep_folding(settings: Settings) -> None:
    """Folds until it is cancelled. The first time everything is counted, which takes minutes of a large catalogue."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            await fold(settings)
        except (AlmagestError, psycopg.Error) as error:
            log.warning("rollups are not folded", reason=str(error).strip())
        except Exception:  # or nobody would do it until the next start
            log.exception("rollups are not folded")


async def fold(settings: Settings) -> None:
    """Folds once, on a connection of its own, which is interrupted where this is cancelled.

    Raises:
        AlmagestError: the database does not answer, or others fold all the time.
    """
    connection = await asyncio.to_thread(database.connect, settings, "almagest_ops")
    with closing(connection):
        folding = asyncio.create_task(asyncio.to_thread(_fold, connection))
        try:
            await asyncio.shield(folding)
        except asyncio.CancelledError:
            connection.cancel_safe(timeout=2.0)
            await asyncio.gather(folding, return_exceptions=True)
            raise


def _fold(connection: psycopg.Connection[Any]) -> None:
    rollups.fold(connection)
    rollups.refresh(connection)
