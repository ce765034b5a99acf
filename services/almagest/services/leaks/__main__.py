"""``python -m almagest.services.leaks FIRST SECOND``: tries to tell a copy from one without what is hidden."""

import argparse
import asyncio
import logging
import sys
import warnings
from dataclasses import replace
from itertools import islice

import structlog

from almagest.core.errors import AlmagestError
from almagest.core.settings import Settings
from almagest.services.leaks.compare import Pair, Tally
from almagest.services.leaks.grammar import seeded
from almagest.services.leaks.purge import purge
from almagest.services.leaks.sides import open_side
from almagest.services.leaks.vocabulary import gather

_STOP_AFTER = 10
_SHOWN = 10
_DIFFERENT = 3
_BROKEN = 4


def main() -> None:
    """Purge the second database and compare."""
    parser = argparse.ArgumentParser(prog="python -m almagest.services.leaks", description=__doc__)
    parser.add_argument("first", help="database: a copy of the catalogue")
    parser.add_argument("second", help="database: another copy, from which what is hidden is deleted")
    parser.add_argument("--requests", type=int, default=2000, help="how many to ask")
    parser.add_argument("--seed", type=int, default=0, help="other requests for another number")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    _be_quiet()
    try:
        settings = Settings.load()
        first, second = (
            replace(settings, database=settings.database.model_copy(update={"name": name}))
            for name in (arguments.first, arguments.second)
        )
        purge(first, second)
        tally = asyncio.run(_compare(first, second, arguments.requests, arguments.seed))
    except AlmagestError as error:
        sys.exit(str(error))
    origin = settings.site.origin
    for difference in tally.differences:
        sys.stdout.write(f"{difference.describe(origin)}\n\n")
    for request in tally.broken[:_SHOWN]:
        sys.stdout.write(f"{request.curl(origin)}\n  an unexpected error of both copies\n\n")
    outcome = f"{len(tally.differences)} differences" if tally.differences else "no difference"
    if tally.broken:
        shown = f", of which {_SHOWN} are shown" if len(tally.broken) > _SHOWN else ""
        outcome += f", but {len(tally.broken):,} unexpected errors{shown}: of these requests nothing is known"
    sys.stdout.write(f"{tally.asked:,} answers compared, {outcome}\n")
    sys.exit(_DIFFERENT if tally.differences else _BROKEN if tally.broken else 0)


def _be_quiet() -> None:
    """What the applications log of a request is no part of the result: only errors are told, a line each."""
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, _only_the_kind, structlog.processors.LogfmtRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.CRITICAL)


def _only_the_kind(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The class of an exception, in place of where it was raised and with which values."""
    if event.pop("exc_info", None):
        kind, _, _ = sys.exc_info()
        event["kind"] = kind.__name__ if kind else None
    return event


async def _compare(first: Settings, second: Settings, count: int, seed: int) -> Tally:
    words = gather((first, second))
    tally = Tally()
    async with open_side(first) as one, open_side(second) as other:
        await Pair(one, other, ordered=False).compare(islice(seeded(words, seed), count), tally, stop_after=_STOP_AFTER)
    return tally


if __name__ == "__main__":
    main()
