"""What has to be done now and then, whoever is asking."""

from __future__ import annotations

import asyncio

import structlog

from almagest.core.errors import AlmagestError
from almagest.services.ops.database import Database

log = structlog.get_logger(__name__)

#: So many seconds of commits are counted one by one with every look-up of an epoch.
INTERVAL_S = 20.0


async def keep_house(database: Database) -> None:
    """Folds commits until it is cancelled; while the database is away, nothing is committed."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            await database.fold_commits()
        except AlmagestError as error:
            log.warning("commits are not folded", reason=str(error))
