"""``as-of``: what was there at a moment, over HTTP.

What a search finds then is what stock pgSTAC finds in a database that was filled with what was there then.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from almagest.catalogue import database, loading
from almagest.core.settings import Settings
from conftest import TEMPLATE, stac_client
from support import mixture
from support.cluster import Cluster
from support.comparing import compare, without_made_links
from support.rasters import collection
from support.searches import Search, searches
from support.stock import StockSearch
from support.walking import ALONE, Api, Key, key

Document = dict[str, Any]

STEPS = 30
#: Moments, of all, at which searches are compared.
COMPARED = 6
METHODS = st.sampled_from(["POST", "GET", "GET with text", "GET items"])
_ASSETS = ({}, {"data": {"title": "New"}}, {"data": {"title": "New", "type": "text/plain"}, "note": {"title": "Note"}})


@dataclass
class Then:
    """What was there at a moment."""

    moment: str
    collections: dict[str, Document]
    items: dict[Key, Document]


@dataclass
class Writer:
    """Writes at random, and keeps what was there after each step."""

    settings: Settings
    connection: psycopg.Connection[Any]
    dice: random.Random
    collections: dict[str, Document] = field(default_factory=dict)
    items: dict[Key, Document] = field(default_factory=dict)
    past: list[Then] = field(default_factory=list)

    def begin(self) -> None:
        for document in mixture.collections():
            self._collection(document)
        self._put(mixture.items(25))
        self.note()

    def step(self) -> None:
        steps: tuple[Callable[[], None], ...] = (self.put, self.put, self.update, self.delete, self.assets, self.both)
        self.dice.choice((*steps, *steps, self.again))()
        self.note()

    def note(self) -> None:
        (moment,) = self.connection.execute("SELECT almagest.print_moment(almagest.clock())").fetchone() or ("",)
        self.past.append(Then(moment, copy.deepcopy(self.collections), copy.deepcopy(self.items)))

    def put(self) -> None:
        """Others in the place of some, or beside them."""
        donors = [item for item in mixture.items(60) if item["collection"] in self.collections]
        chosen, bodies = self.dice.sample(donors, 12), self.dice.sample(donors, 12)
        self._put(
            [
                {**body, "id": item["id"], "collection": item["collection"]}
                for item, body in zip(chosen, bodies, strict=True)
            ]
        )

    def update(self) -> None:
        """By plain SQL, as nobody should."""
        level = self.dice.choice([-1, 1, 2, 3])
        for name in self._some(8):
            self.connection.execute(
                "UPDATE pgstac.items SET content = jsonb_set(content, '{properties,level}', %s::text::jsonb)"
                " WHERE collection = %s AND id = %s",
                (str(level), *name),
            )
            self.items[name]["properties"]["level"] = level

    def delete(self) -> None:
        for name in self._some(4):
            self.connection.execute("SELECT almagest.delete_item(%s, %s)", name)
            del self.items[name]

    def both(self) -> None:
        """Several changes in one transaction, of some of which nothing is left."""
        gone, changed = self._some(2), self._some(3)
        with self.connection.transaction():
            for name in gone:
                self.connection.execute("DELETE FROM pgstac.items WHERE (collection, id) = (%s, %s)", name)
                self.items.pop(name, None)
            for name in changed:
                for level in (7, 8):
                    self.connection.execute(
                        "UPDATE pgstac.items SET content = jsonb_set(content, '{properties,level}', %s::text::jsonb)"
                        " WHERE collection = %s AND id = %s",
                        (str(level), *name),
                    )
                if name in self.items:
                    self.items[name]["properties"]["level"] = 8

    def assets(self) -> None:
        """What items are stripped against becomes another."""
        name = self.dice.choice([*self.collections])
        self._collection(collection(name, item_assets=self.dice.choice(_ASSETS)))

    def again(self) -> None:
        """A collection goes; half of the time it is made again at once."""
        name = self.dice.choice(mixture.COLLECTIONS)
        if name in self.collections:
            self.connection.execute("SELECT almagest.delete_collection(%s)", (name,))
            del self.collections[name]
            self.items = {other: item for other, item in self.items.items() if other[0] != name}
        if name not in self.collections and self.dice.random() < 0.7:
            self.note()
            self._collection(collection(name, item_assets=self.dice.choice(_ASSETS)))
            self._put([item for item in mixture.items(20) if item["collection"] == name])

    def _collection(self, document: Document) -> None:
        loading.load_documents(self.settings, [document], [])
        self.collections[document["id"]] = document

    def _put(self, documents: list[Document]) -> None:
        loading.load_documents(self.settings, [], documents)
        self.items |= {key(document): copy.deepcopy(document) for document in documents}

    def _some(self, most: int) -> list[Key]:
        return self.dice.sample(sorted(self.items), min(most, len(self.items)))


@dataclass
class World:
    """A past, those who look at it, and stock pgSTAC over what was there at some moments of it."""

    past: list[Then]
    inside: Api
    outside: Api
    references: dict[int, StockSearch]

    def at(self, number: int) -> tuple[Then, StockSearch]:
        chosen = sorted(self.references)[number]
        return self.past[chosen], self.references[chosen]


def reference(stack: ExitStack, cluster: Cluster, then: Then) -> StockSearch:
    """Stock pgSTAC, over a database that holds nothing but what was there then."""
    name = stack.enter_context(cluster.clone(TEMPLATE))
    queryables(cluster, name)
    loading.load_documents(cluster.settings(name), then.collections.values(), then.items.values())
    return stack.enter_context(StockSearch.over(cluster, name))


def queryables(cluster: Cluster, name: str) -> None:
    with cluster.connect(name) as connection:
        connection.execute("SET search_path = pgstac, public")
        for named, definition, index, of in mixture.QUERYABLES:
            if of is None:  # others go with their collection, and are not what they were then
                connection.execute("SELECT upsert_queryable(%s, %s::jsonb, NULL, %s)", (named, definition, index))


def later(connection: psycopg.Connection[Any], interval: str) -> None:
    """Moves the clock on: outsiders are told of whole minutes."""
    connection.execute(
        "CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz LANGUAGE sql AS"
        f" 'SELECT clock_timestamp() + interval ''{interval}'''".encode()
    )


@pytest.fixture(scope="module")
def world(cluster: Cluster) -> Iterator[World]:
    with ExitStack() as stack:
        name = stack.enter_context(cluster.clone(TEMPLATE))
        settings = cluster.settings(name)
        queryables(cluster, name)
        connection = stack.enter_context(database.connect(settings, settings.database.admin_user))
        writer = Writer(settings, connection, random.Random(5))
        writer.begin()
        for _ in range(STEPS):
            writer.step()
        later(connection, "2 minutes")
        compared = sorted({0, *random.Random(6).sample(range(len(writer.past)), COMPARED - 2), len(writer.past) - 1})
        yield World(
            writer.past,
            Api(stack.enter_context(stac_client(settings)), "/api"),
            Api(stack.enter_context(stac_client(settings, "external")), "/external"),
            {number: reference(stack, cluster, writer.past[number]) for number in compared},
        )


few = examples(max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("audience", ["inside", "outside"])
def test_a_search_finds_what_it_would_have_found_then(world: World, audience: str) -> None:
    @few
    @given(number=st.integers(0, len(world.references) - 1), search=searches(), method=METHODS)
    def run(number: int, search: Search, method: str) -> None:
        compare_then(world, getattr(world, audience), number, search, method)

    run()


@pytest.mark.soak
@pytest.mark.parametrize("audience", ["inside", "outside"])
def test_so_do_many_more(world: World, audience: str) -> None:
    @examples(few, max_examples=20 * few.max_examples, derandomize=False)
    @given(number=st.integers(0, len(world.references) - 1), search=searches(), method=METHODS)
    def run(number: int, search: Search, method: str) -> None:
        compare_then(world, getattr(world, audience), number, search, method)

    run()


def compare_then(world: World, api: Api, number: int, search: Search, method: str) -> None:
    then, stock = world.at(number)
    names = search.get("collections")
    asks_one = method == "GET items" and names in ALONE and not {"ids", "intersects"} & {*search}
    if asks_one and names[0] not in then.collections:
        assert api.ask({**search, "as-of": then.moment}, method).status_code in {400, 404}
        return
    compare(api, stock, search, method, then.items, **{"as-of": then.moment})


@pytest.mark.parametrize("audience", ["inside", "outside"])
def test_everything_is_there_at_every_moment(world: World, audience: str) -> None:
    api: Api = getattr(world, audience)
    for then in world.past:
        pages = [*api.walk(api.ask({"as-of": then.moment, "limit": 60}, "POST"), "next")]
        found = {key(item): without_made_links(item) for page in pages for item in page["features"]}
        assert found == then.items
        listed = api.client.get(f"{api.prefix}/collections", params={"as-of": then.moment, "limit": 100}).json()
        documents = {document["id"]: document for document in listed["collections"] if document["id"][0] != "_"}
        assert documents.keys() & {*mixture.COLLECTIONS} == then.collections.keys()
        for name, document in then.collections.items():
            assert (documents[name].get("item_assets") or {}) == (document.get("item_assets") or {})
