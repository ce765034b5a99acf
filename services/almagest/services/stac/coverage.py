"""A page that tells what there is of the matchups of each pair of sensors, as one audience sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse

from almagest.catalogue.lineage import STALE
from almagest.catalogue.moments import whole_days
from almagest.core.errors import AlmagestError, BadRequestError, DatabaseUnavailableError, OverloadedError
from almagest.pipelines.matchups.coverage.numbers import Coverage
from almagest.pipelines.matchups.coverage.page import Places, page
from almagest.pipelines.matchups.coverage.survey import Count, Outdated, survey
from almagest.services.stac.aggregating import Aggregator
from almagest.services.stac.client import CatalogueClient

#: On one page: each takes several statements.
_MOST_PAIRS = 10
#: All of a page [s]: whoever waits for it has given up soon after.
_PATIENCE_S = 20.0
#: Of more matchups than these, it takes too long for a page to count those that are compared: each is read.
_MOST_SCANNED = 200_000
#: From the page to where STAC Browser is.
_BROWSER = "../"


@dataclass(frozen=True)
class Look:
    """What was found.

    Attributes:
        coverage: of a catalogue.
        is_whole: nothing is left out of it that could be told at another moment.
    """

    coverage: Coverage
    is_whole: bool


@dataclass(frozen=True)
class Covering:
    """Looks for coverage as one audience.

    Attributes:
        aggregator: counts.
        origin: of the site, by which links to its items are known.
        is_inside: also what is out of date is told, and not all that is there is shown by STAC Browser.
    """

    aggregator: Aggregator
    origin: str
    is_inside: bool

    async def look(self, search: dict[str, Any], among: list[str]) -> Look:
        """The coverage, as far as it can be told in one page's time.

        Args:
            search: `datetime` and `bbox` of a search.
            among: only pairs with one of these collections; none: all.

        Raises:
            BadRequestError: the search is not possible.
            OverloadedError: not a single pair can be told in that time.
        """
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        described = await self.aggregator.catalogue.named("%-vs-%")
        asking = survey(described, search, among=among, most=_MOST_PAIRS, most_compared=_MOST_SCANNED)
        is_whole = True
        ask: Callable[[], Count | Outdated] = partial(next, asking)
        while True:
            try:
                question = ask()
            except StopIteration as ended:
                return Look(ended.value, is_whole)
            answer: Any = None
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await self._answered(question)
            except TimeoutError:
                is_whole = False
                ask = partial(asking.throw, OverloadedError())
                continue
            except (DatabaseUnavailableError, OverloadedError) as error:
                if not _may_be_missing(question, error):
                    raise
                is_whole = False
            ask = partial(asking.send, answer)

    async def browsed(self, found: Coverage) -> frozenset[str]:
        """Those of its collections that STAC Browser shows."""
        ids = [name for pair in found.pairs for name in (pair.names.matchups, pair.names.events) if name is not None]
        if not self.is_inside:
            return frozenset(ids)
        async with self.aggregator.pool.connection() as connection:
            return frozenset(await connection.fetchval("SELECT public_among($1)", ids))

    async def _answered(self, question: Count | Outdated) -> Any:
        """The answer; None: it is not told to this audience."""
        if isinstance(question, Outdated):
            return await self._outdated(question) if self.is_inside else None
        try:
            return await self.aggregator.aggregate(question.search, list(question.names), question.choices, None)
        except BadRequestError:
            if question.may_be_refused:
                return None
            raise

    async def _outdated(self, question: Outdated) -> list[str]:
        async with self.aggregator.pool.connection() as connection:
            rows = await connection.fetch(STALE, question.collection, "", "", question.most, self.origin)
        return [row["item"] for row in rows]


def _may_be_missing(question: Count | Outdated, error: AlmagestError) -> bool:
    """Whether the rest is told without the answer."""
    if isinstance(question, Outdated):
        return True  # where much has just been found, it is not noted yet what that is made of
    return question.may_be_refused and isinstance(error, OverloadedError)


def router(covering: Covering, client: CatalogueClient) -> APIRouter:
    """The page, for one audience."""
    routes = APIRouter(tags=["Matchups"])

    @routes.get("/coverage", response_class=HTMLResponse)
    async def coverage(
        request: Request,
        collections: Annotated[
            str | None,
            Query(description="Only pairs of these: of scenes, matchups or events; with commas between them."),
        ] = None,
        datetime: Annotated[str | None, Query(description="Only what is of this time, as in a search.")] = None,
        bbox: Annotated[str | None, Query(description="Only what meets this box, as in a search.")] = None,
    ) -> HTMLResponse:
        """Show what there is of the matchups of each pair of sensors: how many, when, where, compared, out of date.

        A page for people; `almagest coverage --json` tells the same in numbers.
        """
        among = [name.strip() for name in (collections or "").split(",") if name.strip()]
        asks = {"collections": ",".join(among), "datetime": datetime or "", "bbox": bbox or ""}
        try:
            asked = {"datetime": whole_days(datetime) if datetime else None, "bbox": _box(bbox)}
            checked = client.checked({name: value for name, value in asked.items() if value is not None})
        except (BadRequestError, ValidationError) as error:
            if "text/html" not in request.headers.get("Accept", ""):
                raise
            problem = str(error) if isinstance(error, BadRequestError) else error.errors()[0]["msg"]
            return HTMLResponse(page(Coverage((), {}), Places(""), asks=asks, problem=problem), status_code=400)
        search = {name: checked[name] for name in asked if name in checked}
        look = await covering.look(search, among)
        found = look.coverage
        places = Places("", _BROWSER, await covering.browsed(found))
        # Beside the loop, which others wait for.
        text = await asyncio.to_thread(page, found, places, asks=asks)
        # What is left out may be there a moment later, and no commit tells of it.
        return HTMLResponse(text, headers=None if look.is_whole else {"Cache-Control": "no-store"})

    return routes


def _box(text: str | None) -> list[float] | None:
    if not text:
        return None
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (4, 6):
        raise BadRequestError("bbox: is west, south, east and north, with commas between them.")
    return numbers
