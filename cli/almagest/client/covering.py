"""The coverage of a catalogue, asked for over its API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from almagest.catalogue import moments
from almagest.client.api import Asks, StacApi, links_of, spelt
from almagest.client.http import joined
from almagest.core.errors import AlmagestError, ConfigurationError
from almagest.pipelines.matchups.coverage.numbers import Coverage
from almagest.pipelines.matchups.coverage.survey import Count, Outdated, survey

_CONFORMANCE = "/aggregation"


@dataclass(frozen=True)
class Counting:
    """How an API counts.

    Attributes:
        href: where it does.
        takes_posts: whether questions may have a body.
        can_filter: whether they may have a condition.
        is_ours: whether it is an Almagest, which knows what is out of date.
    """

    href: str
    takes_posts: bool
    can_filter: bool
    is_ours: bool

    @classmethod
    def of(cls, api: StacApi) -> Counting:
        """What an API says of itself.

        Raises:
            ConfigurationError: it does not count.
        """
        landing = api.ask("GET", api.root)
        links = [link for link in links_of(landing) if link.get("rel") == "aggregate" and link.get("href")]
        classes = landing.get("conformsTo")
        offered = [str(one) for one in classes] if isinstance(classes, list) else []
        if not links and not any(one.endswith(_CONFORMANCE) for one in offered):
            raise ConfigurationError(
                f"{api.root} does not count: it has no aggregations (STAC API aggregation extension), by which alone"
                " coverage is told."
            )
        href = str(links[0]["href"]) if links else "aggregate"
        takes_posts = any(str(link.get("method")).upper() == "POST" for link in links)
        can_filter = any(one.endswith(f"{_CONFORMANCE}#filter") for one in offered)
        return cls(joined(api.root, href), takes_posts, can_filter, moments.CONFORMANCE in offered)


def coverage(once: Asks, api: StacApi, search: Mapping[str, Any], among: Collection[str] = ()) -> Coverage:
    """The coverage of a catalogue.

    Args:
        once: asks the API without patience for what may remain untold.
        api: that API, asked for all else.
        search: `datetime` and `bbox` of a STAC item search.
        among: only pairs with one of these collections; none: all.

    Raises:
        AlmagestError: the API does not count, refuses, or answers with something else.
    """
    counting = Counting.of(api)
    asking = survey(api.described(), search, among=among, can_filter=counting.can_filter)
    answer: Any = None
    while True:
        try:
            question = asking.send(answer)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]  # a Coverage
        if isinstance(question, Count):
            answer = _counted(once if question.may_be_refused else api.ask, counting, question)
        else:
            answer = _outdated(once, question) if counting.is_ours else None


def _counted(ask: Asks, counting: Counting, question: Count) -> Any:
    asked = {**question.search, **question.choices, "aggregations": list(question.names)}
    try:
        if counting.takes_posts:
            found = ask("POST", counting.href, json=asked)
        else:
            found = ask("GET", counting.href, params=spelt(asked))
    except AlmagestError:
        if question.may_be_refused:
            return None
        raise
    aggregations = found.get("aggregations")
    if isinstance(aggregations, list):
        return aggregations
    return None if question.may_be_refused else []


def _outdated(once: Asks, question: Outdated) -> list[str] | None:
    """As Almagest tells those inside, while not too much is new."""
    try:
        found = once("GET", "stale", params={"collection": question.collection, "limit": str(question.most)})
        return [str(item["id"]) for item in found["products"]]
    except (AlmagestError, KeyError, TypeError):
        return None
