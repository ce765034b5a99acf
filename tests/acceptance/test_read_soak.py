"""Two hundred readers for ten minutes, while somebody writes: `make soak`."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
import orjson
import pytest

from almagest.catalogue import database
from almagest.cli.stack import remnants
from bench.load import Connection, Request, Server
from support.processes import proportional
from support.stack import Stack, stack

pytestmark = pytest.mark.soak

T = TypeVar("T")

CLIENTS = 200
MINUTES = 10
#: What is written again and again.
COLLECTION, ITEM = "soak", "watched"
THE_COLLECTION = {
    "type": "Collection", "stac_version": "1.1.0", "id": COLLECTION, "description": "One item.", "license": "other",
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}, "links": [],
}  # fmt: skip
THE_ITEM = {
    "type": "Feature", "stac_version": "1.1.0", "id": ITEM, "collection": COLLECTION, "bbox": [1, 2, 1, 2],
    "geometry": {"type": "Point", "coordinates": [1, 2]}, "links": [], "assets": {},
    "properties": {"datetime": "2024-01-01T00:00:00Z", "seen": 0},
}  # fmt: skip
AUDIENCES = ("/api", "/external")


@dataclass
class Watched:
    """An item whose number grows.

    Attributes:
        told: the last number whose writer was told that it is written.
        given: the last number that was given to a writer.
    """

    told: int = 0
    given: int = 0


@dataclass
class Samples:
    """What was seen of the stack, every few seconds.

    Attributes:
        memory: of each process, by id [KiB]; what is shared counts for each with its part.
        connections: to the database.
    """

    memory: list[dict[int, int]] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)


def test_readers_are_answered_and_nobody_grows() -> None:
    """No error, no 429, no answer older than what was written before it was asked for; memory and connections stay."""
    # The sample's own limits are for strangers; readers here are two hundred from one address.
    with stack("generate", ALMAGEST_ANONYMOUS_RATE="1000000", ALMAGEST_ANONYMOUS_BURST="1000000") as site:
        site.run("audience", "set", "--public", COLLECTION)
        watched, samples, ended = Watched(), Samples(), threading.Event()
        with writing(site, watched, ended), watching(site, samples, ended):
            asked = asyncio.run(read(site, watched, paths(site), time.monotonic() + MINUTES * 60))
        print(f"soak: {asked} answers to {CLIENTS} clients, {watched.told} changes")
        assert watched.told > MINUTES * 60
        check_memory(samples)
        check_connections(site, samples)


async def read(site: Stack, watched: Watched, items: list[str], deadline: float) -> int:
    """Lets all clients read until then; answers how many answers there were."""
    chance = random.Random(11)
    asked, told = 0, set[str]()

    async def client(prefix: str) -> None:
        nonlocal asked
        async with Connection(Server(site.port, prefix)) as connection:
            while time.monotonic() < deadline:
                for request in some_requests(chance, items):
                    least = watched.told
                    body = await connection.ask(request)
                    asked += 1
                    for number in numbers(body):
                        assert least <= number <= watched.given, request
                        told.add(request.path.partition("?")[0] + request.body.decode()[:2])

    async with asyncio.TaskGroup() as group:
        for _, prefix in zip(range(CLIENTS), itertools.cycle(AUDIENCES), strict=False):
            group.create_task(client(prefix))
    here = f"/collections/{COLLECTION}/items"
    assert told >= {f"{here}/{ITEM}", here, "/search", '/search{"'}, "what is never told cannot be old"
    return asked


def paths(site: Stack) -> list[str]:
    """Of items of the sample."""
    with site.client() as client:
        found = client.get("/external/search?limit=50").json()["features"]
    return [f"/collections/{item['collection']}/items/{item['id']}" for item in found]


def some_requests(chance: random.Random, items: list[str]) -> Iterator[Request]:
    """What a client asks for, one after the other: some is asked by everybody, some by nobody else."""
    yield Request(f"/collections/{COLLECTION}/items/{ITEM}")
    yield Request("/search", b'{"collections": ["soak"]}')
    yield Request(f"/collections/{COLLECTION}/items?limit={chance.randint(1, 5)}")
    yield Request("/search?limit=20&sortby=-id")  # of all collections; it comes first
    yield Request("/collections")
    yield Request(chance.choice(items))
    west, south = round(chance.uniform(-180, 160), 4), round(chance.uniform(-90, 80), 4)
    yield Request("/search", orjson.dumps({"bbox": [west, south, west + 20, south + 10]}), follow=1)


def numbers(body: bytes) -> Iterator[int]:
    """What an answer says of the watched item."""
    document = orjson.loads(body)
    for feature in document.get("features", [document]):
        if feature.get("id") == ITEM:
            yield feature["properties"]["seen"]


def check_memory(samples: Samples) -> None:
    """No process has more memory in the last minutes than after the first, but for what caches may still take.

    Backends of PostgreSQL come and go, and are judged together.
    """
    first, last = fifths(samples.memory)
    lasting = {pid for pid in last[0] if all(pid in sample for sample in samples.memory)}
    grown = {
        pid: (before, after)
        for pid in lasting
        if (after := statistics.median(sample[pid] for sample in last))
        > (before := statistics.median(sample[pid] for sample in first)) * 1.1 + 16 * 1024
    }
    before, after = (statistics.median(sum(sample.values()) for sample in part) for part in (first, last))
    print(f"soak: {before / 1024:.0f} MiB in the first minutes, {after / 1024:.0f} MiB in the last")
    assert lasting
    assert not grown
    assert after < before * 1.1


def check_connections(site: Stack, samples: Samples) -> None:
    """There are never more than the settings say, and hardly more in the end than in the beginning."""
    settings = site.settings
    processes = 2 * settings.site.workers + 2 * settings.site.tile_workers + settings.site.ops_workers
    first, last = fifths(samples.connections)
    print(f"soak: at most {max(samples.connections)} connections, {max(last)} in the last minutes")
    assert max(samples.connections) <= processes * settings.database.pool_max
    assert max(last) <= 1.2 * max(first)


def fifths(samples: list[T]) -> tuple[list[T], list[T]]:
    """What was seen in the second fifth, when all is warm, and in the last."""
    fifth = len(samples) // 5
    return samples[fifth : 2 * fifth], samples[-fifth:]


@contextmanager
def writing(site: Stack, watched: Watched, ended: threading.Event) -> Iterator[None]:
    """Changes the watched item several times a second, by HTTP."""
    key = {"Authorization": f"Bearer {site.write_key}"}
    failed: list[str] = []
    with httpx.Client(base_url=f"{site.origin}/api", headers=key, timeout=60) as client:
        client.post("/collections", json=THE_COLLECTION).raise_for_status()
        client.post(f"/collections/{COLLECTION}/items", json=THE_ITEM).raise_for_status()

        def write() -> None:
            while not failed and not ended.wait(0.2):
                watched.given += 1
                change = {"properties": {"seen": watched.given}}
                done = client.patch(f"/collections/{COLLECTION}/items/{ITEM}", json=change)
                if done.status_code == 200:
                    watched.told = watched.given
                else:
                    failed.append(f"{done.status_code} {done.text}")

        with running(write, ended):
            yield
    assert not failed


@contextmanager
def watching(site: Stack, samples: Samples, ended: threading.Event) -> Iterator[None]:
    """Looks every few seconds what the stack takes."""

    def look() -> None:
        settings = site.settings
        with database.connect(settings, settings.database.admin_user) as connection:
            while not ended.wait(5):
                samples.memory.append({pid: proportional(pid) for pid in remnants.of_stack(site.home)})
                ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'almagest %'"
                samples.connections.append(*connection.execute(ours).fetchone() or ())

    with running(look, ended):
        yield


@contextmanager
def running(work: Callable[[], None], ended: threading.Event) -> Iterator[None]:
    """Does something beside until all ends."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
