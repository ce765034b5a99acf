"""Sealing the audit, soon after its rows are written."""

from __future__ import annotations

import asyncio
import math
import time

import structlog

from almagest.core.errors import AlmagestError
from almagest.services.ops.database import Database

log = structlog.get_logger(__name__)

#: How long rows may be seen unsealed, where no transaction of others is long.
INTERVAL_S = 5.0
#: How often it is looked whether there is room for the months to come.
ROOM_EVERY_S = 3600.0


async def keep_sealing(database: Database) -> None:
    """Seals until it is cancelled; several processes do no harm. The log has the hash of each block, too."""
    looked_s = -math.inf
    while True:
        if time.monotonic() - looked_s >= ROOM_EVERY_S:
            looked_s = time.monotonic()
            await _make_room(database)
        try:
            while block := await database.seal_audit():
                number, rows, head = block
                log.info("audit sealed", block=number, rows=rows, hash=head)
        except AlmagestError as error:
            log.warning("the audit is not sealed", reason=str(error))
        except Exception:  # or nobody would do it until the next start
            log.exception("the audit is not sealed")
        await asyncio.sleep(INTERVAL_S)


async def _make_room(database: Database) -> None:
    try:
        await database.extend_audit()
    except AlmagestError as error:
        log.warning("the audit has no room for the next months yet", reason=str(error))
