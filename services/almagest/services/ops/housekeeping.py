"""What has to be done now and then, whoever is asking."""

from __future__ import annotations

import asyncio

import structlog

from almagest.core.errors import AlmagestError
from almagest.services.ops.database import Database

log = structlog.get_logger(__name__)

#: So many seconds of commits are counted one by one with every look-up of an epoch.
INTERVAL_S = 20.0
#: As many as `fold_commits` folds at most.
FOLDED_AT_ONCE = 100_000


async def keep_house(database: Database) -> None:
    """Folds commits and forgets old logins until it is cancelled; while the database is away, there are none."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            while await database.fold_commits() >= FOLDED_AT_ONCE:
                pass
            await database.forget_sessions()
        except AlmagestError as error:
            log.warning("housekeeping has to wait", reason=str(error))
