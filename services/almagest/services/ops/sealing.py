"""Sealing the audit, soon after its rows are written."""

from __future__ import annotations

import asyncio

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
    looked_s = -ROOM_EVERY_S
    clock = asyncio.get_running_loop().time
    while True:
        try:
            if clock() - looked_s >= ROOM_EVERY_S:
                await database.extend_audit()
                looked_s = clock()
            while block := await database.seal_audit():
                number, rows, head = block
                log.info("audit sealed", block=number, rows=rows, hash=head)
        except AlmagestError as error:
            log.warning("the audit is not sealed", reason=str(error))
        await asyncio.sleep(INTERVAL_S)
