"""Many writers at once, of every kind: each change is kept, and each state is found again."""

from __future__ import annotations

import concurrent.futures
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count, pairwise
from pathlib import Path
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
from support import ingests, versions
from support.serving import served

Document = dict[str, Any]

WRITERS = 64
PATH = "/api/collections/scenes/items/i000000"


def asset(number: int) -> Document:
    return {"href": f"https://example.org/result-{number}.nc"}


def put(client: httpx.Client, number: int) -> None:
    """Reads, and writes unless somebody has come in between; then again."""
    for _ in range(20 * WRITERS):
        found = client.get(PATH)
        assert found.status_code == 200, found.text
        document = found.json()
        document["assets"][f"result-{number}"] = asset(number)
        answer = client.put(PATH, json=document, headers={"If-Match": found.headers["etag"]})
        if answer.status_code == 200:
            return
        assert answer.status_code == 412, answer.text
        time.sleep(random.uniform(0, 0.5))
    raise AssertionError("it never came to its turn")


def merge_patch(client: httpx.Client, number: int) -> None:
    answer = client.patch(PATH, json={"assets": {f"result-{number}": asset(number)}})
    assert answer.status_code == 200, answer.text


def json_patch(client: httpx.Client, number: int) -> None:
    answer = client.patch(PATH, json=[{"op": "add", "path": f"/assets/result-{number}", "value": asset(number)}])
    assert answer.status_code == 200, answer.text


#: Ways in which a client adds an asset to an item.
WAYS: tuple[Callable[[httpx.Client, int], None], ...] = (put, merge_patch, json_patch)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_sixty_four_at_once_on_one_item_are_all_kept(settings: Settings, way: Callable[..., None]) -> None:
    with database.connect(settings, "almagest_writer") as connection, ExitStack() as stack:
        store = Store(connection)
        store.collections([ingests.collection()])
        store.put([ingests.item()])
        # Two processes, as far as the database can tell.
        origins = [stack.enter_context(served(settings)).site.origin for _ in range(2)]
        clients = [
            stack.enter_context(httpx.Client(base_url=origins[number % 2], timeout=120, verify=False))
            for number in range(WRITERS)
        ]
        with concurrent.futures.ThreadPoolExecutor(WRITERS) as threads:
            list(threads.map(way, clients, range(WRITERS)))
        last = clients[0].get(PATH).json()
        assert set(last["assets"]) == {"data", *(f"result-{number}" for number in range(WRITERS))}
        past = versions.documents(connection, "scenes", "i000000")
        assert past[0] == ingests.item()
        assert [len(each["assets"]) for each in past if each] == list(range(1, WRITERS + 2))
        for one, other in pairwise(past):
            assert one is not None
            assert other is not None
            assert one["assets"].items() < other["assets"].items()
        listed = clients[0].get(f"{PATH}/versions", params={"limit": 1000}).json()["versions"]
        assert len(listed) == WRITERS + 1
        assert [each["valid_from"] for each in listed] == sorted((each["valid_from"] for each in listed), reverse=True)
        assert deadlocks(settings) == 0


def deadlocks(settings: Settings) -> int:
    with database.connect(settings, "postgres") as admin:
        row = admin.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


ITEMS = 6
MONTHS = ("2024-01-05T00:00:00Z", "2024-02-05T00:00:00Z", "2024-03-05T00:00:00Z")
KINDS = ("put_item", "upsert", "delsert")
_PRESENT = "SELECT max(valid_from) FROM item_states('scenes', %s)"


class Writers:
    """Whoever writes, notes what it wrote; everything that is written is unlike all else."""

    def __init__(self, settings: Settings, seconds: float) -> None:
        self._settings = settings
        self._until = time.monotonic() + seconds
        self._numbers = count()
        self._lock = threading.Lock()
        self.written: Counter[bytes] = Counter()
        self.by: Counter[str] = Counter()

    def item(self, identifier: int) -> Document:
        with self._lock:
            number = next(self._numbers)
        moment = MONTHS[number // 3 % len(MONTHS)]
        return ingests.item(identifier, properties={"datetime": moment, "number": number, "nothing": None})

    def note(self, who: str, documents: list[Document]) -> None:
        with self._lock:
            self.written.update(map(key, documents))
            self.by[who] += len(documents)

    def go_on(self) -> bool:
        """So long at least, and on a slow machine until each kind has written everything twice."""
        with self._lock:
            behind = min(self.by[who] for who in KINDS) < 2 * ITEMS
        return time.monotonic() < self._until + (60 if behind else 0)

    def put_item(self, identifier: int) -> None:
        """Reads, changes and writes, if nothing else was written in between."""
        with database.connect(self._settings, "almagest_writer") as connection:
            while self.go_on():
                state = connection.execute(_PRESENT, (f"i{identifier:06d}",)).fetchone()
                assert state is not None
                document = self.item(identifier)
                try:
                    text = orjson.dumps(document).decode()
                    row = connection.execute("SELECT * FROM put_item(%s, %s)", (text, *state)).fetchone()
                except psycopg.Error as error:
                    if error.sqlstate != "AM412":
                        raise
                    continue
                assert row is not None
                assert row[0] == "updated"
                self.note("put_item", [document])

    def load(self, method: str, folder: Path) -> None:
        """What `pypgstac load` does, over and over."""
        target = self._settings.database
        stock = PgstacDB(
            dsn=f"postgresql://almagest_writer@/{target.name}?host={self._settings.db_host}&port={target.port}"
        )
        try:
            while self.go_on():
                documents = [self.item(identifier) for identifier in range(ITEMS)]
                file = ingests.write(folder / f"{method}.ndjson", documents)
                Loader(stock).load_items(str(file), insert_mode=method)
                self.note(method, documents)
        finally:
            stock.close()


def key(document: Document) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
def test_writers_of_ours_and_of_pgstac_lose_nothing_to_each_other(
    settings: Settings, tmp_path: Path, seconds: int
) -> None:
    first = [ingests.item(number) for number in range(ITEMS)]
    with database.connect(settings, "postgres") as admin:
        store = Store(admin)
        store.collections([ingests.collection()])
        admin.execute("UPDATE pgstac.collections SET partition_trunc = 'month' WHERE id = 'scenes'")
        store.put(first)
        writers = Writers(settings, seconds)
        with concurrent.futures.ThreadPoolExecutor(10) as threads:
            running = [threads.submit(writers.put_item, number % ITEMS) for number in range(8)]
            running += [threads.submit(writers.load, method, tmp_path) for method in ("upsert", "delsert")]
        for each in running:
            each.result()
        found: Counter[bytes] = Counter()
        for document in first:
            states = versions.states(admin, "scenes", document["id"])
            assert states[0].document == document
            found.update(key(state.document) for state in states[1:] if state.document is not None)
            assert all(state.document is not None for state in states)
        assert found == writers.written
        assert min(writers.by[who] for who in KINDS) >= 2 * ITEMS
        twice = admin.execute("SELECT id FROM pgstac.items GROUP BY collection, id HAVING count(*) > 1").fetchall()
        assert twice == []
        print(writers.by, deadlocks(settings))
