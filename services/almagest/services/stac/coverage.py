"""A page that tells what there is of the matchups of each pair of sensors, as one audience sees it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from almagest.catalogue.lineage import STALE
from almagest.core.errors import BadRequestError, DatabaseUnavailableError, OverloadedError
from almagest.pipelines.matchups.coverage.numbers import Coverage
from almagest.pipelines.matchups.coverage.page import Places, page
from almagest.pipelines.matchups.coverage.survey import Count, Outdated, survey
from almagest.services.stac.aggregating import Aggregator
from almagest.services.stac.client import CatalogueClient

#: On one page: each takes several statements.
_MOST_PAIRS = 40
#: From the page to where STAC Browser is.
_BROWSER = "../"


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

    async def look(self, search: dict[str, Any], among: list[str]) -> Coverage:
        """The coverage.

        Args:
            search: `datetime` and `bbox` of a search.
            among: only pairs with one of these collections; none: all.

        Raises:
            BadRequestError: the search is not possible.
        """
        asking = survey(await self.aggregator.catalogue.named("%-vs-%"), search, among=among, most=_MOST_PAIRS)
        answer: Any = None
        while True:
            try:
                question = asking.send(answer)
            except StopIteration as ended:
                return ended.value  # type: ignore[no-any-return]  # a Coverage
            answer = await (self._counted(question) if isinstance(question, Count) else self._outdated(question))

    async def browsed(self, found: Coverage) -> frozenset[str]:
        """Those of its collections that STAC Browser shows."""
        ids = [name for pair in found.pairs for name in (pair.names.matchups, pair.names.events) if name is not None]
        if not self.is_inside:
            return frozenset(ids)
        async with self.aggregator.pool.connection() as connection:
            return frozenset(await connection.fetchval("SELECT public_among($1)", ids))

    async def _counted(self, question: Count) -> list[dict[str, Any]] | None:
        try:
            return await self.aggregator.aggregate(question.search, list(question.names), question.choices, None)
        except (BadRequestError, OverloadedError):
            if question.may_be_refused:
                return None
            raise

    async def _outdated(self, question: Outdated) -> list[str] | None:
        if not self.is_inside:
            return None
        try:
            async with self.aggregator.pool.connection() as connection:
                rows = await connection.fetch(STALE, question.collection, "", "", question.most, self.origin)
        except (DatabaseUnavailableError, OverloadedError):
            return None  # where much has just been found, it is not noted yet what that is made of
        return [row["item"] for row in rows]


def router(covering: Covering, client: CatalogueClient) -> APIRouter:
    """The page, for one audience."""
    routes = APIRouter(tags=["Matchups"])

    @routes.get("/coverage", response_class=HTMLResponse)
    async def coverage(
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
        asked = {"datetime": datetime or None, "bbox": _box(bbox)}
        checked = client.checked({name: value for name, value in asked.items() if value is not None})
        search = {name: checked[name] for name in asked if name in checked}
        among = [name.strip() for name in (collections or "").split(",") if name.strip()]
        found = await covering.look(search, among)
        places = Places("", _BROWSER, await covering.browsed(found))
        asks = {"collections": ",".join(among), "datetime": datetime or "", "bbox": bbox or ""}
        # Beside the loop, which others wait for.
        return HTMLResponse(await asyncio.to_thread(page, found, places, asks=asks))

    return routes


def _box(text: str | None) -> list[float] | None:
    if not text:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise BadRequestError("bbox: is west, south, east and north, with commas between them.") from None
