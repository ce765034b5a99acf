"""Non-interference: outsiders cannot tell two catalogues apart that differ only in what is hidden from them.

Two worlds: in the strict one, collections are internal unless a rule says otherwise, and `keywords` are hidden. The
request by which the two catalogues of a world can be told apart is printed as it would be sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, strategies
from hypothesis import settings as hypothesis_settings

from almagest.services.leaks.compare import Pair, Tally
from almagest.services.leaks.dice import Dice
from almagest.services.leaks.grammar import TOPICS, Grammar, seeded
from almagest.services.leaks.requests import Request
from almagest.services.leaks.sides import open_side
from almagest.services.leaks.vocabulary import Words, gather
from almagest.services.stac import routes as stac
from almagest.services.tiles import routes as tiles
from conftest import TEMPLATE
from leaks import worlds
from leaks.mutants import IN_LISTS, MUTANTS, Mutant
from leaks.script import Kind
from support import cluster as clusters

pytestmark = pytest.mark.filterwarnings("ignore")

#: Requests to each of the two worlds, drawn evenly; hypothesis, which shrinks what it finds, draws some more.
REQUESTS = 1_000
SHRINKABLE = 150
SOAK = 10
#: Requests by which a mutant has to be caught in `make test`.
TO_CATCH = 1_000


@dataclass
class Arena:
    """The two catalogues of a world, open to requests."""

    runner: asyncio.Runner
    pair: Pair
    words: Words

    def ask(self, requests: Iterable[Request], tally: Tally) -> None:
        self.runner.run(self.pair.compare(requests, tally))

    def tell(self, tally: Tally) -> str:
        origin = self.pair.first.settings.site.origin
        return "\n".join(difference.describe(origin) for difference in tally.differences)


@pytest.fixture(scope="module")
def arenas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bool], Arena]]:
    """Each world is made when first asked for.

    In a cluster of its own: changes are told when all earlier transactions of the cluster have ended. In each world
    somebody writes all the time, from before whose first word nothing of another world would be told.
    """
    made: dict[bool, Arena] = {}
    with ExitStack() as stack, asyncio.Runner() as runner:
        opened = AsyncExitStack()

        def arena(strict: bool) -> Arena:
            if strict not in made:
                folder: Path = tmp_path_factory.mktemp("world")
                cluster = stack.enter_context(clusters.alone(TEMPLATE))
                catalogues = stack.enter_context(worlds.two(cluster, folder, Kind(strict=strict)))

                async def open_both() -> Pair:
                    sides = [await opened.enter_async_context(open_side(settings)) for settings in catalogues]
                    return Pair(*sides)

                made[strict] = Arena(runner, runner.run(open_both()), gather(catalogues))
            return made[strict]

        yield arena
        runner.run(opened.aclose())


def in_worlds(*values: Any) -> list[Any]:
    """One worker for each world."""
    return [
        pytest.param(strict, *more, id=name, marks=pytest.mark.xdist_group(f"leaks-{strict}"))
        for strict, name, *more in values
    ]


BOTH = in_worlds((False, "plain"), (True, "strict"))
PLANTED = in_worlds(*((mutant.strict, mutant.leak, mutant) for mutant in MUTANTS))


@strategies.composite
def requests(draw: Callable[[Any], Any], words: Words) -> Request:
    return Grammar(Dice(lambda below: draw(strategies.integers(0, below - 1))), words).request()


def check(arena: Arena, times: int, seed: int, *, derandomize: bool) -> Tally:
    tally = Tally()

    @hypothesis_settings(
        max_examples=times * SHRINKABLE,
        derandomize=derandomize,
        database=None,
        deadline=None,
        print_blob=not derandomize,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(requests(arena.words))
    def equal(request: Request) -> None:
        found = Tally()
        arena.ask([request], found)
        tally.asked += found.asked
        tally.statuses += found.statuses
        assert not found.differences, f"the two catalogues can be told apart:\n{arena.tell(found)}"

    equal()
    arena.ask(islice(seeded(arena.words, seed), times * REQUESTS), tally)
    assert not tally.differences, f"the two catalogues can be told apart (seed {seed}):\n{arena.tell(tally)}"
    return tally


@pytest.mark.parametrize("strict", BOTH)
def test_two_catalogues_that_differ_only_in_what_is_hidden_answer_alike(
    arenas: Callable[[bool], Arena], strict: bool
) -> None:
    tally = check(arenas(strict), 1, 0, derandomize=True)
    assert tally.asked >= REQUESTS
    # Alike they would be, too, if nothing was ever answered.
    assert tally.statuses[200] + tally.statuses[204] > REQUESTS / 4
    assert not tally.statuses[0] + tally.statuses[500], tally.statuses


@pytest.mark.soak
@pytest.mark.parametrize("strict", BOTH)
def test_they_answer_alike_ten_times_as_often(arenas: Callable[[bool], Arena], strict: bool) -> None:
    tally = check(arenas(strict), SOAK, secrets.randbelow(2**32), derandomize=False)
    assert tally.asked >= SOAK * REQUESTS


@pytest.mark.parametrize("strict", BOTH)
def test_what_is_hidden_inside_of_a_visible_property_changes_no_search(
    arenas: Callable[[bool], Arena], strict: bool
) -> None:
    present = {"op": "not", "args": [{"op": "isNull", "args": [{"property": "processing"}]}]}
    searches: tuple[Any, ...] = (
        {"filter": present, "filter-lang": "cql2-json"},
        {"sortby": [{"field": "many", "direction": "asc"}]},
        {"query": {"many": {"neq": "x"}}},
    )
    both = [{"property": f"{side}.processing"} for side in ("first", "second")]
    conditions: tuple[Any, ...] = (
        {"op": "=", "args": both},
        {"op": "like", "args": [both[0], "%node%"]},
        {"op": "like", "args": [{"property": "second.many"}, "%mark%"]},
    )
    pairs = [{"filter": condition, "limit": 100} for condition in conditions]
    requests = [
        Request("stac", "POST", (path,), body=json.dumps(body).encode())
        for path, bodies in (("search", searches), ("pair-search", pairs))
        for body in bodies
    ]
    arena, tally = arenas(strict), Tally()
    arena.ask(requests, tally)
    assert not tally.differences, arena.tell(tally)
    assert tally.statuses[200] == len(requests)
    for request in requests[len(searches) :]:
        assert caught(arena, IN_LISTS, iter([request]), 1), request


@pytest.mark.parametrize(("strict", "mutant"), PLANTED)
def test_a_planted_leak_is_found(arenas: Callable[[bool], Arena], strict: bool, mutant: Mutant) -> None:
    assert caught(arenas(strict), mutant, seeded(arenas(strict).words, 7, mutant.topics), TO_CATCH)


@pytest.mark.soak
@pytest.mark.parametrize(("strict", "mutant"), PLANTED)
def test_a_planted_leak_is_found_whatever_is_looked_for(
    arenas: Callable[[bool], Arena], strict: bool, mutant: Mutant
) -> None:
    assert caught(arenas(strict), mutant, seeded(arenas(strict).words, 8), SOAK * REQUESTS)


def caught(arena: Arena, mutant: Mutant, tried: Iterator[Request], most: int) -> bool:
    tally = Tally()
    with mutant.planted((arena.pair.first.settings, arena.pair.second.settings)):
        arena.ask(islice(tried, most), tally)
    if os.environ.get("ALMAGEST_TEST_VERBOSE"):
        print(f"{mutant.leak}: {'caught' if tally.differences else 'NOT caught'} after {tally.asked}")
    return bool(tally.differences)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.leak)
def test_no_two_mutants_have_one_name(mutant: Mutant) -> None:
    assert [other.leak for other in MUTANTS].count(mutant.leak) == 1
    assert set(mutant.topics) <= set(TOPICS)


@pytest.mark.parametrize("strict", BOTH[:1])
def test_every_route_of_the_external_audience_is_asked_for(arenas: Callable[[bool], Arena], strict: bool) -> None:
    tables = {"stac": stac.EXTERNAL, "tiles": tiles.EXTERNAL}
    missing = {(app, method, route) for app, table in tables.items() for route in table for method in route.methods}
    for request in islice(seeded(arenas(strict).words, 1), 20_000):
        path = "/" + "/".join(request.path)
        answering = [route for route in tables[request.app] if re.fullmatch(route.pattern, path)]
        missing -= {(request.app, request.method, route) for route in answering}
    assert missing == set()
