"""Whoever follows the feed has in the end what the catalogue has, however others write meanwhile."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from pypgstac.db import PgstacDB
from pypgstac.load import Loader

from almagest.catalogue import database
from almagest.catalogue.storing import Store
from almagest.core.settings import Settings
from conftest import stac_client
from support import following, ingests

Document = dict[str, Any]
Catalogue = dict[tuple[str, str | None], Document]
Connection = psycopg.Connection[Any]

COLLECTIONS = ("scenes", "others")
IDS = tuple(f"i{number:06d}" for number in range(8))


@pytest.fixture
def admin(settings: Settings) -> Iterator[Connection]:
    with database.connect(settings, settings.database.admin_user) as connection:
        connection.execute("SET search_path = almagest, public")
        for name in COLLECTIONS:
            connection.execute("SELECT put_collection(%s::jsonb)", (json.dumps(ingests.collection(name)),))
        following.settle(connection)
        yield connection


@pytest.fixture
def writers(settings: Settings, admin: Connection) -> Iterator[Callable[[], Connection]]:
    """Opens connections of writers, all of which are closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(database.connect(settings, "almagest_writer"))


@pytest.fixture(params=["/api", "/external"])
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(settings: Settings, admin: Connection, prefix: str) -> Iterator[httpx.Client]:
    with stac_client(settings, "internal" if prefix == "/api" else "external") as client:
        yield client


def item(identifier: str, number: int, collection: str = "scenes") -> Document:
    document = ingests.item(number % 3)
    document["properties"] |= {"number": number, "almagest:secret": number % 5}
    # Another month is another partition.
    return {**document, "id": identifier, "collection": collection}


def put(connection: Connection, *documents: Document) -> None:
    store = Store(connection)
    store.put(store.prepare(documents))


def there(client: httpx.Client, prefix: str) -> Catalogue:
    """The catalogue as it is read by itself, links aside: those of pages lead to pictures, too."""
    found: Catalogue = {}
    for collection in client.get(f"{prefix}/collections", params={"limit": 100}).json()["collections"]:
        if collection["id"] == "almagest-canary":
            continue
        found[collection["id"], None] = collection
        page = client.get(f"{prefix}/collections/{collection['id']}/items", params={"limit": 100}).json()
        for document in page["features"]:
            found[collection["id"], document["id"]] = document
    return without_links(found)


def without_links(catalogue: Catalogue) -> Catalogue:
    return {
        key: {name: value for name, value in document.items() if name != "links"} for key, document in catalogue.items()
    }


def describe(connection: Connection, text: str) -> None:
    """Changes a collection, which keeps nobody waiting who writes items, as items of two partitions do."""
    document = ingests.collection("others", description=text)
    connection.execute("SELECT almagest.put_collection(%s::jsonb)", (json.dumps(document),))


def names(changes: list[Document]) -> list[tuple[str, str | None]]:
    return [(change["type"], change.get("item")) for change in changes]


def test_who_wrote_early_and_late_is_told_of_once_and_last(
    client: httpx.Client, prefix: str, admin: Connection, writers: Callable[[], Connection]
) -> None:
    """A transaction takes its number first and writes an item last: in the log, what it overwrote comes behind it."""
    early, late = writers(), writers()
    put(late, item(IDS[0], 1))
    following.settle(admin)
    _, begin = following.rest(client, prefix, None)
    with early.transaction():
        describe(early, "early")
        put(late, item(IDS[0], 2))
        put(early, item(IDS[0], 3))
    following.settle(admin)
    rows = admin.execute(
        "SELECT item, at FROM change WHERE item = %s ORDER BY era, xact, sequence DESC LIMIT 3", (IDS[0],)
    ).fetchall()
    moments = [at for _, at in rows]
    assert moments != sorted(moments), "the log does not stand in the order of time: this is what is tested"
    for limit in (1, 2, 100):
        changes, _ = following.rest(client, prefix, begin, limit=limit, documents="true")
        assert names(changes) == [("updated", None), ("updated", IDS[0])]
        assert changes[-1]["document"]["properties"]["number"] == 3


def test_nothing_is_missed_while_an_early_transaction_is_open(
    client: httpx.Client, prefix: str, admin: Connection, writers: Callable[[], Connection]
) -> None:
    early, late = writers(), writers()
    put(late, item(IDS[7], 0))  # so that no partition has to be made below
    following.settle(admin)
    _, begin = following.rest(client, prefix, None)
    cursor, told = begin, list[Document]()
    with early.transaction():
        describe(early, "early")
        for number in range(3):
            put(late, item(IDS[1], number), item(IDS[2 + number], number))
            changes, cursor = following.rest(client, prefix, cursor)
            told += changes
        assert told == [], "what could still come before it is waited for"
    following.settle(admin)
    changes, cursor = following.rest(client, prefix, cursor)
    told += changes
    # In each transaction, new items and changed ones are written at the same time.
    by_transaction = [names(told)[:1], *(sorted(names(told)[start : start + 2]) for start in (1, 3, 5))]
    assert by_transaction == [
        [("updated", None)],
        [("created", IDS[1]), ("created", IDS[2])],
        [("created", IDS[3]), ("updated", IDS[1])],
        [("created", IDS[4]), ("updated", IDS[1])],
    ]
    assert following.rest(client, prefix, begin)[0] == told
    assert following.rest(client, prefix, cursor) == ([], cursor), "nothing comes twice"


def test_what_a_transaction_takes_back_is_not_told(
    client: httpx.Client, prefix: str, admin: Connection, writers: Callable[[], Connection]
) -> None:
    writer = writers()
    put(writer, item(IDS[0], 1))
    following.settle(admin)
    _, begin = following.rest(client, prefix, None)
    with writer.transaction():
        put(writer, item(IDS[1], 1))
        writer.execute("SELECT delete_item('scenes', %s)", (IDS[1],))
        writer.execute("SELECT delete_item('scenes', %s)", (IDS[0],))
        put(writer, item(IDS[0], 1))
        with contextlib.suppress(ZeroDivisionError), writer.transaction():
            put(writer, item(IDS[2], 1))
            raise ZeroDivisionError
    following.settle(admin)
    assert following.rest(client, prefix, begin)[0] == []


class Crowd:
    """Writers that do whatever is done to a catalogue, each in its own thread, for a time."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.over = threading.Event()
        self.refused: Counter[str] = Counter()

    def write(self, number: int) -> int:
        """One writer; answers how often it wrote."""
        dice = random.Random(f"{self.seed}-{number}")
        done = 0
        with (
            database.connect(self.settings, "almagest_writer") as writer,
            database.connect(self.settings, self.settings.database.admin_user) as admin,
        ):
            for connection in (writer, admin):
                connection.execute("SET lock_timeout = '300ms'")
            acts = [self._put] * 6 + [self._delete] * 3 + [self._replace, self._half, self._none, self._load]
            acts += [self._repartition, self._again] if number == 0 else []
            while not self.over.is_set():
                try:
                    dice.choice(acts)(dice, admin if dice.random() < 0.1 else writer)
                    done += 1
                except psycopg.Error as error:  # two stood in each other's way, or the collection is gone for now
                    self.refused[type(error).__name__] += 1
                except Exception as error:
                    # As stock writers say that the collection is gone.
                    if not any(word in str(error) for word in ("collection", "partition", "Error getting info")):
                        raise
        return done

    def _some(self, dice: random.Random) -> list[Document]:
        collection = dice.choice(COLLECTIONS)
        chosen = dice.sample(IDS, dice.randint(1, 3))
        return [item(identifier, dice.randint(0, 9), collection) for identifier in chosen]

    def _put(self, dice: random.Random, connection: Connection) -> None:
        with connection.transaction():
            for _ in range(dice.randint(1, 2)):
                put(connection, *self._some(dice))
                time.sleep(dice.choice((0, 0, 0.02)))

    def _delete(self, dice: random.Random, connection: Connection) -> None:
        document = self._some(dice)[0]
        connection.execute("SELECT almagest.delete_item(%s, %s)", (document["collection"], document["id"]))

    def _replace(self, dice: random.Random, connection: Connection) -> None:
        with connection.transaction():
            for document in self._some(dice):
                connection.execute(
                    "DELETE FROM pgstac.items WHERE collection = %s AND id = %s",
                    (document["collection"], document["id"]),
                )
                put(connection, document)

    def _half(self, dice: random.Random, connection: Connection) -> None:
        with connection.transaction():
            put(connection, *self._some(dice))
            with connection.transaction(force_rollback=True):
                put(connection, *self._some(dice))
            put(connection, *self._some(dice))

    def _none(self, dice: random.Random, connection: Connection) -> None:
        with connection.transaction(force_rollback=True):
            put(connection, *self._some(dice))
            time.sleep(dice.choice((0, 0.05)))

    def _load(self, dice: random.Random, _: Connection) -> None:
        stock = PgstacDB(
            dsn=f"postgresql://almagest_writer@/{self.settings.database.name}"
            f"?host={self.settings.db_host}&port={self.settings.database.port}"
        )
        try:
            with tempfile.NamedTemporaryFile("wb", suffix=".ndjson") as file:
                file.write(b"\n".join(orjson.dumps(document) for document in self._some(dice)))
                file.flush()
                Loader(stock).load_items(file.name, insert_mode=dice.choice(["upsert", "delsert"]))
        finally:
            stock.close()

    def _repartition(self, dice: random.Random, _: Connection) -> None:
        with database.connect(self.settings, self.settings.database.admin_user) as admin:
            admin.execute("SET lock_timeout = '1s'")
            admin.execute(
                "UPDATE pgstac.collections SET partition_trunc = %s WHERE id = %s",
                (dice.choice(["month", "year", None]), dice.choice(COLLECTIONS)),
            )

    def _again(self, dice: random.Random, connection: Connection) -> None:
        document = ingests.collection("others", title=str(dice.randint(0, 9)))
        if dice.random() < 0.5:
            with contextlib.suppress(psycopg.Error):
                connection.execute("SELECT almagest.delete_collection('others')")
        connection.execute("SELECT almagest.put_collection(%s::jsonb)", (json.dumps(document),))


def follow(client: httpx.Client, prefix: str, seed: int, over: threading.Event) -> list[tuple[str | None, Catalogue]]:
    """Follows until it is over; answers cursors, and what was known when each of them was had."""
    dice = random.Random(seed)
    known: Catalogue = {}
    stops: list[tuple[str | None, Catalogue]] = [(None, {})]
    cursor: str | None = None
    while not over.is_set():
        since = {} if cursor is None else {"since": cursor}
        found = following.page(client, prefix, limit=dice.choice((1, 3, 100)), documents="true", **since)
        following.apply(known, found["changes"])
        cursor = found["cursor"]
        if found["changes"]:
            stops.append((cursor, copy.deepcopy(known)))
        else:
            time.sleep(0.02)
    return stops


def replayed(settings: Settings, seed: int, seconds: float) -> None:
    """Writers write and followers follow; in the end each has, from wherever it goes on, what is there."""
    with database.connect(settings, settings.database.admin_user) as admin:
        for name in COLLECTIONS:
            admin.execute("SELECT almagest.put_collection(%s::jsonb)", (json.dumps(ingests.collection(name)),))
            # Partitions that are made at the same time stand in each other's way.
            with database.connect(settings, "almagest_writer") as writer:
                put(writer, *(item(identifier, number, name) for number, identifier in enumerate(IDS)))
        crowd = Crowd(settings, seed)
        with (
            stac_client(settings) as inside,
            stac_client(settings, "external") as outside,
            ThreadPoolExecutor(8) as threads,
        ):
            sides = ((inside, "/api"), (outside, "/external"))
            writing = [threads.submit(crowd.write, number) for number in range(4)]
            followers = [threads.submit(follow, *side, seed, crowd.over) for side in sides]
            time.sleep(seconds)
            crowd.over.set()
            done = sum(each.result() for each in writing)
            assert done > 20, crowd.refused
            following.settle(admin)
            for (client, prefix), follower in zip(sides, followers, strict=True):
                stops = follower.result()
                expected = there(client, prefix)
                chosen = stops if len(stops) < 40 else [stops[0], *stops[1 :: len(stops) // 40], stops[-1]]
                for cursor, known in chosen:
                    changes, _ = following.rest(client, prefix, cursor, documents="true", limit=1000)
                    following.apply(known, changes)
                    assert without_links(known) == expected, f"seed {seed}, from {cursor}"


@pytest.mark.parametrize("seed", [1, 2])
def test_the_feed_replayed_is_the_catalogue_from_any_cursor(settings: Settings, seed: int) -> None:
    replayed(settings, seed, 4.0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 16))
def test_the_feed_replayed_is_the_catalogue_from_any_cursor_for_long(settings: Settings, seed: int) -> None:
    replayed(settings, seed, 30.0)
