"""``python -m almagest.services.leaks FIRST SECOND``: tries to tell a copy from one without what is hidden."""

import argparse
import asyncio
import sys
import warnings
from dataclasses import replace
from itertools import islice

from almagest.core.errors import AlmagestError
from almagest.core.settings import Settings
from almagest.services.leaks.compare import Pair, Tally
from almagest.services.leaks.grammar import seeded
from almagest.services.leaks.purge import purge
from almagest.services.leaks.sides import open_side
from almagest.services.leaks.vocabulary import gather

_STOP_AFTER = 10
_DIFFERENT = 3


def main() -> None:
    """Purge the second database and compare."""
    parser = argparse.ArgumentParser(prog="python -m almagest.services.leaks", description=__doc__)
    parser.add_argument("first", help="database: a copy of the catalogue")
    parser.add_argument("second", help="database: another copy, from which what is hidden is deleted")
    parser.add_argument("--requests", type=int, default=2000, help="how many to ask")
    parser.add_argument("--seed", type=int, default=0, help="other requests for another number")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
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
    for difference in tally.differences:
        sys.stdout.write(f"{difference.describe(settings.site.origin)}\n\n")
    outcome = f"{len(tally.differences)} differences" if tally.differences else "no difference"
    sys.stdout.write(f"{tally.asked:,} answers compared, {outcome}\n")
    sys.exit(_DIFFERENT if tally.differences else 0)


async def _compare(first: Settings, second: Settings, count: int, seed: int) -> Tally:
    words = gather((first, second))
    tally = Tally()
    async with open_side(first) as one, open_side(second) as other:
        await Pair(one, other, ordered=False).compare(islice(seeded(words, seed), count), tally, stop_after=_STOP_AFTER)
    return tally


if __name__ == "__main__":
    main()
