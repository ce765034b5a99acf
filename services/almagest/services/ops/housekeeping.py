"""What has to be done now and then, whoever is asking."""

from __future__ import annotations

import asyncio

import structlog

from almagest.core.errors import AlmagestError
from almagest.services.ops.cabinet import Cabinet
from almagest.services.ops.database import Database

log = structlog.get_logger(__name__)

#: So many seconds of commits are counted one by one with every look-up of an epoch, and of changes with every question
#: for numbers or for what was made of something.
INTERVAL_S = 20.0
#: As many as `fold_commits` folds at most.
FOLDED_AT_ONCE = 100_000
#: So old is what replicas know of who is writing, at least.
TIME_S = 2.0
#: Time between two looks for bytes that no file is made of.
COLLECTING_S = 3600.0


async def keep_house(database: Database) -> None:
    """Folds commits, and forgets old logins, until it is cancelled; there are none without a database."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            while await database.fold_commits() >= FOLDED_AT_ONCE:
                pass
            await database.forget_sessions()
        except AlmagestError as error:
            log.warning("housekeeping has to wait", reason=str(error))
        except Exception:  # or nobody would do it until the next start
            log.exception("housekeeping failed")


async def keep_time(database: Database) -> None:
    """Writes down who is writing until it is cancelled; several processes do no harm."""
    while True:
        try:
            await database.keep_time()
        except AlmagestError as error:
            log.warning("who is writing is not written down", reason=str(error))
        except Exception:  # or replicas would know of no later moment
            log.exception("who is writing is not written down")
        await asyncio.sleep(TIME_S)


async def collect(cabinet: Cabinet) -> None:
    """Removes what crashes have left of files, until it is cancelled."""
    while True:
        await asyncio.sleep(COLLECTING_S)
        try:
            if removed := await cabinet.collect():
                log.info("bytes of no file are removed", places=removed)
        except (AlmagestError, OSError) as error:
            log.warning("bytes of no file are not looked for", reason=str(error))
        except Exception:
            log.exception("bytes of no file are not looked for")
