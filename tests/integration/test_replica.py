"""Reads from a real streaming replica: it serves what it has, writes go elsewhere, and nobody is misled."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from almagest.catalogue import database, loading
from almagest.core.errors import DatabaseUnavailableError
from almagest.core.settings import Database, Replica, Settings, Store
from almagest.services.stac.app import PREFIXES
from almagest.services.tiles.database import Catalogue
from almagest.services.web.pool import Pool
from almagest.services.web.replay import Replay
from conftest import stac_client, tiles_client
from support import following, rasters
from support.cluster import Cluster, initialise, make_root, replicate, serve, stop

pytestmark = pytest.mark.filterwarnings("ignore")

NAME = "almagest"
PICTURES = "pictures"
TILE = "/collections/pictures/tiles/WebMercatorQuad/5/17/11.png?assets=data"
#: What a replica that is not held up needs at most.
SOON_S = 5.0


@dataclasses.dataclass(frozen=True)
class Pair:
    """A primary with a replica, and an Almagest that reads from it."""

    primary: Cluster
    replica: Cluster
    settings: Settings

    def on(self, cluster: Cluster, statement: str) -> Any:
        with cluster.connect(NAME) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchone() if cursor.description else None

    def catch_up(self) -> None:
        (end,) = self.on(self.primary, "SELECT pg_current_wal_flush_lsn()::text")
        soon(lambda: self.on(self.replica, f"SELECT pg_last_wal_replay_lsn() >= '{end}'")[0])

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.catch_up()
        self.on(self.replica, "SELECT pg_wal_replay_pause()")
        soon(lambda: self.on(self.replica, "SELECT pg_get_wal_replay_pause_state()")[0] == "paused")
        try:
            yield
        finally:
            self.on(self.replica, "SELECT pg_wal_replay_resume()")

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """The replica finds its primary no more, and does not say so to anybody."""
        self.catch_up()
        is_streaming = "SELECT count(*) FROM pg_stat_replication"
        (before,) = self.on(self.replica, "SHOW primary_conninfo")
        self._point(f"host={self.replica.root} port=1")
        soon(lambda: self.on(self.primary, is_streaming)[0] == 0)
        try:
            yield
        finally:
            self._point(before)
            soon(lambda: self.on(self.primary, is_streaming)[0] == 1)

    def _point(self, where: str) -> None:
        quoted = where.replace("'", "''")
        self.on(self.replica, f"ALTER SYSTEM SET primary_conninfo = '{quoted}'")
        self.on(self.replica, "SELECT pg_reload_conf()")

    def but(self, *, dsn: str | None = None, most_s: float = 60.0, host: Path | None = None) -> Settings:
        """The settings with another replica, another patience, or another place for the primary."""
        place = Database(**{**self.settings.database.model_dump(), **({"host": str(host)} if host else {})})
        replica = Replica(dsn=self.settings.replica.dsn if dsn is None else dsn, max_age_s=most_s)
        return dataclasses.replace(self.settings, database=place, replica=replica)


def soon(is_so: Callable[[], bool]) -> None:
    """Waits until it is so."""
    deadline = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    roots = make_root(), make_root()
    try:
        initialise(roots[0])
        primary = serve(roots[0], wal_level="replica", synchronous_commit="on", wal_retrieve_retry_interval="50ms")
        place = primary.settings(NAME)
        database.prepare(place)
        folder = tmp_path_factory.mktemp("store")
        file = rasters.write(folder / "a.tif", rasters.gradient(1), crs="EPSG:4326", west=11.5, north=48.5, size=0.01)
        assets = {"data": rasters.asset(file)}
        items = [
            rasters.item(f"i{day}", PICTURES, rasters.bounds(file), assets, f"2024-01-0{day}T00:00:00Z", cloud=day)
            for day in range(1, 6)
        ]
        loading.load_documents(place, [rasters.collection(PICTURES)], items)
        replicate(primary, roots[1])
        replica = serve(roots[1], wal_retrieve_retry_interval="50ms", max_standby_streaming_delay="0")
        settings = dataclasses.replace(
            place, store=Store(store=folder), replica=Replica(dsn=f"host={replica.root} port={replica.port}")
        )
        yield Pair(primary, replica, settings)
    finally:
        for root in reversed(roots):
            stop(root)


@pytest.fixture
def api(pair: Pair) -> Iterator[httpx.Client]:
    pair.catch_up()
    with stac_client(pair.settings) as client:
        yield client


def item(identifier: str, **properties: Any) -> dict[str, Any]:
    return rasters.item(identifier, PICTURES, (11.6, 48.1, 11.7, 48.2), {}, **properties)


def age(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.headers["age"])


def test_what_is_written_goes_to_the_primary_and_comes_back_from_the_replica(pair: Pair, api: httpx.Client) -> None:
    items = f"/collections/{PICTURES}/items"
    made = api.post(items, json=item("new"))
    assert made.status_code == 201
    assert "age" not in made.headers
    soon(lambda: api.get(f"{items}/new").status_code == 200)
    soon(lambda: age(api.get(f"{items}/new")) == 0)
    changed = api.patch(
        f"{items}/new", json={"properties": {"cloud": 7}}, headers={"Content-Type": "application/merge-patch+json"}
    )
    assert changed.json()["properties"]["cloud"] == 7
    assert api.delete(f"{items}/new").status_code in {200, 204}
    soon(lambda: api.get(f"{items}/new").status_code == 410)
    (sessions,) = pair.on(pair.replica, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'almagest_reader'")
    assert sessions >= 2


@pytest.mark.parametrize("audience", ["internal", "external"])
def test_a_hot_standby_answers_whatever_reads(pair: Pair, audience: Any) -> None:
    pair.catch_up()
    collection = f"/collections/{PICTURES}"
    with stac_client(pair.settings, audience) as client:
        search = {"collections": [PICTURES], "limit": 2, "filter": {"op": ">", "args": [{"property": "cloud"}, 1]}}
        search["sortby"] = [{"field": "properties.cloud", "direction": "asc"}]
        assert client.get("/readyz").status_code == 200
        client.base_url = f"{pair.settings.site.origin}{PREFIXES[audience]}"
        first = client.post("/search", json=search)
        (link,) = [link for link in first.json()["links"] if link["rel"] == "next"]
        second = client.post("/search", json=link["body"])
        assert [[found["id"] for found in page.json()["features"]] for page in (first, second)] == [
            ["i2", "i3"],
            ["i4", "i5"],
        ]
        versions = client.get(f"{collection}/items/i1/versions").json()["versions"]
        version = f"{collection}/items/i1/versions/{versions[0]['version']}"
        answers = [first, second]
        answers += [
            client.get(path)
            for path in ("/", "/collections", collection, "/queryables", f"{collection}/queryables", "/search")
        ]
        answers += [client.get(f"{collection}/items{below}") for below in ("", "/i1", "/i1/versions")]
        answers += [client.get(path) for path in (f"{collection}/versions", version, f"{version}/diff")]
        answers += [client.get("/search", headers={"Accept": "application/x-ndjson"})]
        answers += [client.get("/search?bbox=11,48,12,49&datetime=2024-01-02T00:00:00Z/..&fields=id&q=pictures")]
        assert [age(answer) for answer in answers] == [0] * len(answers)
        asset = client.get(f"/assets/{PICTURES}/i1/data")
        assert (asset.status_code, asset.headers["age"]) == (200 if audience == "internal" else 404, "0")


def test_a_replica_knows_what_was_when_as_far_as_its_primary_has_written_it_down(pair: Pair, api: httpx.Client) -> None:
    then = "SELECT almagest.print_moment(almagest.clock())"
    address = f"/collections/{PICTURES}/items"

    def asked(moment: str) -> httpx.Response:
        return api.get(f"/api{address}", params={"as-of": moment})

    (before,) = pair.on(pair.primary, then)
    api.post(address, json=item("brief"))
    (between,) = pair.on(pair.primary, then)
    api.delete(f"{address}/brief")
    pair.catch_up()
    assert asked(between).status_code == 409, "it has all, but does not know that nobody else writes"
    pair.on(pair.primary, "SELECT almagest.keep_time()")
    soon(lambda: asked(between).status_code == 200)
    assert "brief" in asked(between).text
    assert "brief" not in asked(before).text
    with pair.primary.connect(NAME) as writer, writer.transaction(force_rollback=True):
        writer.execute("SELECT almagest.delete_item(%s, 'i1')", (PICTURES,))
        (later,) = pair.on(pair.primary, then)
        pair.on(pair.primary, "SELECT almagest.keep_time()")
        pair.catch_up()
        answer = asked(later)
        assert answer.status_code == 409
        assert asked(answer.json()["latest"]).status_code == 200
    pair.on(pair.primary, "SELECT almagest.keep_time()")
    soon(lambda: asked(later).status_code == 200)


@pytest.mark.parametrize("audience", ["internal", "external"])
def test_who_was_told_of_changes_by_the_primary_does_not_begin_anew(pair: Pair, audience: Any) -> None:
    """A cursor that a replica does not know yet looks to it like one of something that was forgotten long ago."""
    prefix = PREFIXES[audience]
    with (
        stac_client(pair.settings) as writer,
        stac_client(dataclasses.replace(pair.settings, replica=Replica()), audience) as primary,
        stac_client(pair.settings, audience) as replica,
    ):
        _, cursor = following.rest(primary, prefix, None)
        with pair.paused():
            writer.post(f"/api/collections/{PICTURES}/items", json=item(f"late-{audience}"))
            told, cursor = following.rest(primary, prefix, cursor)
            assert [change["item"] for change in told] == [f"late-{audience}"]
            assert replica.get(f"{prefix}/changes", params={"since": cursor}).status_code == 503
        soon(lambda: replica.get(f"{prefix}/changes", params={"since": cursor}).status_code == 200)
        assert following.rest(replica, prefix, cursor)[0] == []


def test_tiles_and_mosaics_come_from_a_hot_standby(pair: Pair) -> None:
    pair.catch_up()
    with tiles_client(pair.settings) as client:
        for path in (TILE, f"/collections/{PICTURES}/items/i1/tiles/WebMercatorQuad/5/17/11.png?assets=data"):
            answer = client.get(path)
            assert (age(answer), answer.headers["content-type"]) == (0, "image/png")
        assert client.get("/readyz").status_code == 200
        with pair.paused():
            registered = client.post("/searches/register", json={"collections": [PICTURES]})
            assert registered.status_code == 200
            assert client.get(f"/searches/{registered.json()['id']}/info").status_code == 200


def test_while_the_replay_rests_answers_are_old_and_say_how_old(pair: Pair, api: httpx.Client) -> None:
    path = f"/collections/{PICTURES}/items/i1"
    with pair.paused():
        begun = time.monotonic()
        assert api.put(path, json=item("i1", cloud=50)).json()["properties"]["cloud"] == 50
        time.sleep(1.1)
        first = api.get(path)
        assert first.json()["properties"]["cloud"] == 1
        assert 1 <= age(first) <= time.monotonic() - begun + 2
        time.sleep(1)
        second = api.get(path)
        assert second.json()["properties"]["cloud"] == 1
        assert age(first) + 1 <= age(second) <= time.monotonic() - begun + 2
        assert age(api.get("/search")) >= 2
    pair.catch_up()
    soon(lambda: api.get(path).headers["age"] == "0")
    assert api.get(path).json()["properties"]["cloud"] == 50


def test_while_nothing_happens_nothing_grows_old(api: httpx.Client) -> None:
    api.get("/collections")
    time.sleep(1.2)
    soon(lambda: age(api.get("/collections")) == 0)


def test_a_replica_that_was_cut_off_grows_old_as_soon_as_it_lacks_something(pair: Pair, api: httpx.Client) -> None:
    path = f"/collections/{PICTURES}/items/i2"
    with pair.cut_off():
        pair.on(pair.primary, "CHECKPOINT")  # the last word of an idle primary
        assert api.put(path, json=item("i2", cloud=60)).status_code == 200
        time.sleep(1.1)
        answer = api.get(path)
        assert answer.json()["properties"]["cloud"] == 2
        assert age(answer) >= 1
    pair.catch_up()
    soon(lambda: api.get(path).json()["properties"]["cloud"] == 60)


def test_without_the_primary_reads_go_on_and_grow_old(pair: Pair, tmp_path: Path) -> None:
    pair.on(pair.primary, "CREATE TABLE IF NOT EXISTS a_change ()")
    pair.catch_up()
    changed = time.monotonic()
    time.sleep(1)
    with stac_client(pair.but(host=tmp_path)) as client:
        answer = client.get("/search")
        assert 1 <= age(answer) <= time.monotonic() - changed + 2
        assert client.post(f"/collections/{PICTURES}/items", json=item("never")).status_code == 503
        time.sleep(1)
        assert age(client.get("/search")) > age(answer)


def test_the_age_is_asked_for_a_few_times_however_many_requests_there_are(pair: Pair, api: httpx.Client) -> None:
    asked = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'almagest'"
    api.get("/search")
    pair.on(pair.primary, "SELECT pg_stat_force_next_flush()")
    (before,) = pair.on(pair.primary, asked)
    begun = time.monotonic()
    requests = 0
    while requests < 50 or time.monotonic() < begun + 1:
        # Not its age: where the machine stands still for longer than a request waits, an answer may be told old.
        assert api.get(f"/collections/{PICTURES}/items/i3").status_code == 200
        requests += 1
    took = time.monotonic() - begun
    time.sleep(1.1)  # sessions tell their counts when they have been idle
    (after,) = pair.on(pair.primary, asked)
    assert after - before < 20 * took
    soon(lambda: age(api.get(f"/collections/{PICTURES}/items/i3")) == 0)


def test_health_checks_name_what_is_wrong_with_the_replica(pair: Pair, tmp_path: Path) -> None:
    def reason(settings: Settings, client: Any = stac_client) -> str:
        with client(settings) as opened:
            answer = opened.get("/readyz")
        assert answer.status_code == 503
        return str(answer.json()["reasons"][0])

    away = f"host={tmp_path} port={pair.replica.port}"
    for client in (stac_client, tiles_client):
        assert reason(pair.but(dsn=away), client) == (
            f"The replica at {tmp_path}, port {pair.replica.port} (ALMAGEST_READ_DSN) does not answer."
        )
    assert "is no replica" in reason(pair.but(dsn=f"host={pair.primary.root} port={pair.primary.port}"))
    with pair.paused():
        pair.on(pair.primary, "CREATE TABLE IF NOT EXISTS another_change ()")
        time.sleep(0.5)
        assert "s behind" in reason(pair.but(most_s=0.2))
        with stac_client(pair.settings) as client:
            assert client.get("/readyz").status_code == 200


def test_a_replica_of_something_else_is_no_replica(pair: Pair, settings: Settings) -> None:
    stranger = dataclasses.replace(settings, replica=Replica(dsn=f"{pair.settings.replica.dsn} dbname={NAME}"))

    async def check() -> None:
        replay = Replay.of(stranger, "almagest_reader")
        assert replay is not None
        try:
            with pytest.raises(DatabaseUnavailableError, match="of another database"):
                await replay.check()
        finally:
            await replay.close()

    asyncio.run(check())


@contextmanager
def _locked_meanwhile(pair: Pair, table: str) -> Iterator[None]:
    """As soon as a session of a service sleeps on the replica, the primary locks what it reads; the replay wins."""

    def lock() -> None:
        asleep = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        soon(lambda: pair.on(pair.replica, asleep)[0])
        pair.on(pair.primary, f"BEGIN; LOCK TABLE {table}; COMMIT; SELECT txid_current()")

    conflicts = "SELECT confl_lock FROM pg_stat_database_conflicts WHERE datname = 'almagest'"
    (before,) = pair.on(pair.replica, conflicts)
    thread = threading.Thread(target=lock)
    thread.start()
    yield
    thread.join()
    soon(lambda: pair.on(pair.replica, conflicts)[0] > before)


#: The second ends the whole session: what may be caught is not cancelled.
SLOW = [
    "SELECT count(*) FROM (SELECT id, pg_sleep(0.3) FROM almagest.registered_search_or_one()) AS r",
    "SELECT almagest.caught()",
]


@pytest.fixture(scope="module")
def slow(pair: Pair) -> None:
    """Statements that look and then sleep, in and out of a block that catches errors."""
    pair.on(
        pair.primary,
        """
        CREATE FUNCTION almagest.registered_search_or_one() RETURNS TABLE (id text) LANGUAGE sql AS
            'SELECT ''x''::text FROM (SELECT count(*) FROM almagest.ledger) AS looked';
        CREATE FUNCTION almagest.caught() RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE
            found bigint;
        BEGIN
            SELECT count(*) INTO found FROM almagest.ledger;
            PERFORM pg_sleep(0.3);
            RETURN 1;
        EXCEPTION WHEN division_by_zero THEN
            RETURN 0;
        END $$;
        GRANT EXECUTE ON FUNCTION almagest.registered_search_or_one(), almagest.caught() TO almagest_reader;
        """,
    )
    pair.catch_up()


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("statement", SLOW)
def test_a_statement_in_the_way_of_the_replay_is_asked_once_again(pair: Pair, statement: str) -> None:
    async def ask() -> Any:
        pool = Pool(pair.settings, "almagest_reader")
        try:
            async with pool.connection() as connection:
                return await connection.fetchval(statement)
        finally:
            await pool.close()

    with _locked_meanwhile(pair, "almagest.ledger"):
        assert asyncio.run(ask()) == 1


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("statement", SLOW)
def test_so_does_the_tiler(pair: Pair, statement: str) -> None:
    catalogue = Catalogue(pair.settings, "almagest_reader")
    catalogue.open()
    with _locked_meanwhile(pair, "almagest.ledger"):
        try:
            assert catalogue._one(statement) == 1
        finally:
            catalogue.close()  # a session tells its counts when it ends
