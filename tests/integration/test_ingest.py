"""An ingest straight into a database: what goes in, what stays out and what is said of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from almagest.catalogue import database
from almagest.catalogue.exchange import writer
from almagest.catalogue.extents import around, bare_collection
from almagest.catalogue.ingest.collecting import Collections
from almagest.catalogue.ingest.line import Access, Line
from almagest.catalogue.reserved import CANARY
from almagest.core.errors import DatabaseUnavailableError
from almagest.core.settings import Settings
from support.ingests import collection, collections, item, put, run, stored, versions, write
from support.serving import served

ITEMS = [item(n) for n in range(40)]
WHOLE = {("scenes", each["id"]): each for each in ITEMS}


def make(kind: str, folder: Path) -> str | Path:
    """The items, and their collection, as a source of some kind."""
    documents = [collection(), *ITEMS]
    match kind:
        case "ndjson" | "ndjson.gz":
            return write(folder / f"all.{kind}", documents)
        case "folder":
            for document in documents:
                (folder / f"{document['id']}.json").write_text(json.dumps(document))
            return folder
        case "feature collection":
            (folder / "features.json").write_text(json.dumps({"type": "FeatureCollection", "features": ITEMS}))
            (folder / "collection.ndjson").write_text(json.dumps(collection()))
            return folder
        case "stac" | "geoparquet":
            target = folder / ("all.parquet" if kind == "geoparquet" else "catalogue")
            with writer(kind, target) as out:
                out.write_collection(collection())
                for each in ITEMS:
                    out.write(each)
            return target
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["ndjson", "ndjson.gz", "folder", "feature collection", "stac", "geoparquet"])
def test_every_kind_of_source_goes_in_whole(settings: Settings, tmp_path: Path, kind: str) -> None:
    report = put(settings, make(kind, tmp_path), batch_size=15, workers=2)
    assert (report.totals.items, report.totals.created, report.totals.batches_sent) == (40, 40, 3)
    assert not report.entries
    assert stored(settings) == WHOLE
    assert collections(settings) == {"scenes": collection()}


def test_standard_input_goes_in(settings: Settings, tmp_path: Path) -> None:
    text = "".join(json.dumps(document) + "\n" for document in [*ITEMS, collection()])
    done = run(settings, "-", input=text)
    assert (done.returncode, done.stdout) == (0, "1 collection: 1 created; 40 items: 40 created\n")
    assert stored(settings) == WHOLE


def test_another_catalogue_goes_in_by_its_api(settings: Settings, real_settings: Settings) -> None:
    with served(real_settings) as elsewhere:
        search = f"{elsewhere.site.origin}/search?collections=landsat-c2-l2&limit=30"
        done = run(settings, search, "--create-collections")
    assert done.returncode == 0, done.stderr
    assert len(stored(settings)) == 100


def test_what_is_in_is_not_touched_again(settings: Settings, tmp_path: Path) -> None:
    source = write(tmp_path / "all.ndjson", [collection(), *ITEMS])
    put(settings, source)
    before = versions(settings)
    again = put(settings, source)
    assert (again.totals.unchanged, again.totals.collections_unchanged, again.totals.batches_sent) == (40, 1, 1)
    assert versions(settings) == before
    changed = {**ITEMS[3], "properties": {**ITEMS[3]["properties"], "number": None}}
    write(source, [collection(title="Scenes"), *ITEMS[:3], changed, *ITEMS[4:], item(77)])
    third = put(settings, source)
    assert (third.totals.created, third.totals.updated, third.totals.unchanged) == (1, 1, 39)
    assert third.totals.collections_updated == 1
    assert stored(settings) == {**WHOLE, ("scenes", changed["id"]): changed, ("scenes", item(77)["id"]): item(77)}
    assert collections(settings) == {"scenes": collection(title="Scenes")}


def test_of_an_id_that_comes_twice_the_first_counts_and_the_other_is_named(settings: Settings, tmp_path: Path) -> None:
    """In one batch, in different batches, in different files."""
    other = {**ITEMS[1], "properties": {**ITEMS[1]["properties"], "number": "other"}}
    first = write(tmp_path / "first.ndjson", [collection(), *ITEMS, ITEMS[0], other])
    second = write(tmp_path / "second.ndjson", [collection(title="Other"), collection(), ITEMS[2], other])
    report = put(settings, first, second, batch_size=7, workers=2)
    assert (report.totals.created, report.totals.repeated, report.totals.refused) == (40, 2, 3)
    assert report.reasons() == {
        "second.ndjson:1": "another document of this collection stands at first.ndjson:1",
        "first.ndjson:43": "another item of this id stands at first.ndjson:3",
        "second.ndjson:4": "another item of this id stands at first.ndjson:3",
    }
    assert stored(settings) == WHOLE


def test_workers_do_not_change_what_comes_out(settings: Settings, tmp_path: Path) -> None:
    broken = [{**each, "geometry": None} if n % 9 == 0 else each for n, each in enumerate(map(item, range(300)))]
    source = write(tmp_path / "all.ndjson", [collection(), *broken, *broken[:50]])
    several = put(settings, source, batch_size=11, workers=4)
    inside = stored(settings)
    assert several.totals.created == len(inside) == 300 - 34
    with database.connect(settings, "almagest_writer") as connection:
        connection.execute("SELECT delete_collection('scenes')")
    one = put(settings, source, batch_size=11, workers=1)
    assert one.entries == several.entries
    assert one.totals == several.totals
    assert stored(settings) == inside


def test_missing_collections_are_made_from_their_items(settings: Settings, tmp_path: Path) -> None:
    crossing = {
        "geometry": {"type": "Polygon", "coordinates": [[[179, 10], [181, 10], [181, 11], [179, 11], [179, 10]]]},
        "bbox": [179, 10, 181, 11],
    }
    items = [
        *(item(n, collection="west") for n in range(30)),
        item(1, collection="across"),
        item(2, collection="across", **crossing),
    ]
    source = write(tmp_path / "items.ndjson", items)
    refused = put(settings, source)
    assert refused.totals.refused == 32
    assert "--create-collections" in refused.entries[0]["reason"]
    report = put(settings, source, create_collections=True, batch_size=4, workers=2)
    assert (report.totals.collections_created, report.totals.created) == (2, 32)
    made = collections(settings)
    assert made["west"]["extent"]["spatial"]["bbox"] == [[0, 0, 30, 30]]
    assert made["west"]["extent"]["temporal"]["interval"] == [["2024-01-01T12:00:00Z", "2024-12-01T12:00:00Z"]]
    assert made["across"]["extent"]["spatial"]["bbox"] == [[-180, 1, 180, 11]]
    again = put(settings, source, create_collections=True)
    assert (again.totals.collections_created, again.totals.unchanged) == (0, 32)
    assert collections(settings) == made
    # More items widen what was made so, and nothing that somebody has described.
    write(source, [collection("across"), item(60, collection="west"), item(3, collection="across")])
    put(settings, source, create_collections=True)
    assert collections(settings)["west"]["extent"]["spatial"]["bbox"] == [[0, 0, 61, 61]]
    assert collections(settings)["across"] == collection("across")


@pytest.fixture
def line(settings: Settings) -> Iterator[Line]:
    with contextlib.closing(Line(replace(Access.of(settings), patience_s=0.3), proven=True)) as line:
        yield line


@pytest.fixture
def made(line: Line) -> Collections:
    """The collections as an ingest sees them that has met items of two, and has made these."""
    found = Collections(line)
    found.look()
    assert found.cover({"scenes": around([item(3)]), "other": around([item(3)])}) == 2
    return found


def test_a_collection_that_two_ingests_make_covers_the_items_of_both(
    settings: Settings, line: Line, made: Collections
) -> None:
    other = Collections(line)  # it looked before the first had made it
    assert other.cover({"scenes": around([item(10)])}) == 0
    other.settle()
    made.settle()
    assert collections(settings) == {
        "scenes": bare_collection("scenes", around([item(3), item(10)])),
        "other": bare_collection("other", around([item(3)])),
    }


def test_what_others_did_to_a_collection_meanwhile_stays(settings: Settings, made: Collections) -> None:
    with database.connect(settings, "almagest_writer") as connection:
        connection.execute("SELECT put_collection(%s::jsonb)", (json.dumps(collection()),))
        connection.execute("SELECT delete_collection('other')")
    made.settle()
    assert collections(settings) == {"scenes": collection()}


def test_an_ingest_leaves_collections_alone_that_it_has_no_items_of(
    settings: Settings, line: Line, made: Collections
) -> None:
    bystander = Collections(line)
    bystander.look()
    made.cover({"scenes": around([item(10)])})
    made.settle()
    bystander.settle()
    assert collections(settings)["scenes"] == bare_collection("scenes", around([item(3), item(10)]))


def test_collections_that_other_tools_have_stored_do_not_stop_an_ingest(settings: Settings, tmp_path: Path) -> None:
    with database.connect(settings, "postgres") as connection:
        for number, extent in enumerate([None, {}, {"spatial": {"bbox": [[0, 0, 1, 1]]}}]):
            document = {"type": "Collection", "id": f"strange{number}"} | ({"extent": extent} if extent else {})
            connection.execute("SELECT pgstac.create_collection(%s::jsonb)", (json.dumps(document),))
    report = put(settings, write(tmp_path / "all.ndjson", ITEMS), create_collections=True)
    assert report.totals.created == 40


def test_who_waits_for_a_collection_holds_nothing_that_others_wait_for(settings: Settings, line: Line) -> None:
    """Else two who put the same one may wait for each other."""
    advisory = (
        "SELECT granted FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
        " WHERE l.locktype = 'advisory' AND a.application_name = 'almagest ingest' AND a.datname = current_database()"
    )
    with database.connect(settings, "postgres") as looking, ThreadPoolExecutor(1) as pool:
        with database.connect(settings, "almagest_writer", autocommit=False) as other:
            other.execute("SELECT lock_item('scenes', 'any')")
            putting = pool.submit(Collections(line).put, collection())
            while (False,) not in (locks := looking.execute(advisory).fetchall()):
                assert not putting.done()
        assert locks == [(False,)]
        assert putting.result() == "created"


@pytest.mark.parametrize("dry_run", [False, True])
def test_nothing_is_put_into_the_canary_and_it_is_not_replaced(
    settings: Settings, tmp_path: Path, *, dry_run: bool
) -> None:
    source = write(tmp_path / "all.ndjson", [collection(CANARY), item(collection=CANARY)])
    report = put(settings, source, create_collections=True, dry_run=dry_run)
    assert (report.totals.refused, report.totals.created, report.totals.collections_created) == (2, 0, 0)
    assert all("not anybody's to change" in reason for reason in report.reasons().values())


def test_items_that_name_no_collection_go_where_one_says(settings: Settings, tmp_path: Path) -> None:
    homeless = {name: value for name, value in item(1).items() if name != "collection"}
    source = write(tmp_path / "all.ndjson", [collection(), collection("other"), homeless, item(2, collection="other")])
    report = put(settings, source, collection="scenes")
    assert stored(settings).keys() == {("scenes", item(1)["id"]), ("other", item(2)["id"])}
    assert [entry["remark"] for entry in report.entries] == ["it named no collection and went to scenes"]


def test_broken_items_are_reported_and_the_good_ones_go_in(settings: Settings, tmp_path: Path) -> None:
    """Ten kinds of them: each in the report with its place, its id and a reason that says what is wrong."""
    ring = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    nameless = {name: value for name, value in item(4).items() if name != "id"}
    broken: list[tuple[Any, str]] = [
        (item(0, geometry={"type": "Polygon", "coordinates": [ring[:-1]]}), "the ring is not closed"),
        (item(1, geometry={"type": "Polygon", "coordinates": [[ring[0], ring[1], ring[0]]]}), "/geometry"),
        ('{"type": "Feature", "id": "nan", "collection": "scenes", "bbox": [NaN, 0, 1, 1]}', "not JSON"),
        (item(3, properties={"datetime": "2024-02-30T00:00:00Z"}), "/properties/datetime"),
        (nameless, '"id" is a required property'),
        (item(5, type="Fature"), "Fature"),
        (item(6, properties={"datetime": "2024-01-01T00:00:00Z", "text": "x" * 1_100_000}), "/properties/text"),
        (item(7, properties={"datetime": "2024-01-01T00:00:00Z", "deep": deep}), "nests too deeply"),
        ({**item(90), "assets": {}}, "another item of this id stands at items.ndjson:2"),
        (item(9, collection="elsewhere"), "There is no collection 'elsewhere'"),
        (item(10, properties={"datetime": "2024-01-01T00:00:00Z", "nul": "a\0b"}), "NUL"),
        ("this is no JSON", "not JSON"),
    ]
    lines = [collection(), item(90), *(document for document, _ in broken), item(91)]
    source = tmp_path / "items.ndjson"
    source.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines))
    report = tmp_path / "report.ndjson"
    done = run(settings, source, "--report", report)
    assert done.returncode == 1
    assert done.stdout == f"1 collection: 1 created; 14 items: 2 created; 12 refused (see {report})\n"
    entries = [json.loads(line) for line in report.read_text().splitlines()]
    assert [entry["file"] for entry in entries] == [f"items.ndjson:{n}" for n in range(3, 15)]
    for entry, (document, reason) in zip(entries, broken, strict=True):
        assert entry["kind"] == "refused"
        assert reason in entry["reason"], entry
        assert len(entry["reason"]) < 1000
        if isinstance(document, dict):
            assert entry["id"] == document.get("id")
        assert f"{entry['file']}: " in done.stderr
    assert stored(settings).keys() == {("scenes", item(90)["id"]), ("scenes", item(91)["id"])}


def test_what_the_database_alone_refuses_is_found_among_the_good(settings: Settings, tmp_path: Path) -> None:
    with database.connect(settings, "postgres") as connection:
        connection.execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF new.id IN ('i000007', 'i000023') THEN RAISE 'this one is cursed'; END IF; RETURN new; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON pgstac.items FOR EACH ROW EXECUTE FUNCTION public.refuse()"
        )
    report = put(settings, write(tmp_path / "all.ndjson", [collection(), *ITEMS]))
    assert report.totals.created == len(stored(settings)) == 38
    assert report.reasons() == {
        "all.ndjson:9": "The database refuses it: this one is cursed",
        "all.ndjson:25": "The database refuses it: this one is cursed",
    }
    assert put(settings, tmp_path / "all.ndjson").reasons() == report.reasons()


def test_a_dry_run_says_the_same_and_stores_nothing(settings: Settings, tmp_path: Path) -> None:
    documents = [collection(), *ITEMS, ITEMS[0], item(3, geometry=None), item(1, collection="elsewhere")]
    source = write(tmp_path / "all.ndjson", documents)
    dry = put(settings, source, dry_run=True)
    assert (dry.totals.checked, dry.totals.created, dry.totals.repeated, dry.totals.refused) == (40, 0, 1, 2)
    assert not stored(settings)
    assert not collections(settings)
    assert put(settings, source).entries == dry.entries
    for document in (collection(), {**collection(), "title": "another"}):
        dry, wet = (
            put(settings, write(tmp_path / "one.ndjson", [document]), dry_run=dry_run).totals
            for dry_run in (True, False)
        )
        assert str(dry) == str(wet)


def test_the_database_may_go_away_for_a_while(settings: Settings, tmp_path: Path) -> None:
    source = write(tmp_path / "all.ndjson", [collection(), *map(item, range(2000))])
    running = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _CUT_OFF.format(host=settings.db_host, port=settings.database.port, name=settings.database.name),
        ]
    )
    try:
        report = put(settings, source, batch_size=50, workers=2)
    finally:
        running.kill()
        running.wait()
    assert report.totals.created + report.totals.unchanged == len(stored(settings)) == 2000
    assert any("the database is away" in sentence for sentence in report.said)


#: Ends the sessions of the ingest, again and again.
_CUT_OFF = """
import time, psycopg
with psycopg.connect(host={host!r}, port={port}, dbname={name!r}, user="postgres", autocommit=True) as connection:
    for _ in range(12):
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'almagest ingest' AND datname = current_database()"
        )
        time.sleep(0.3)
"""


def test_patience_begins_with_the_first_failure_however_long_the_work_took(line: Line) -> None:
    tries: list[int] = []

    def work(connection: psycopg.Connection) -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            connection.execute("SELECT pg_sleep(0.4), pg_terminate_backend(pg_backend_pid())")

    line.run(work)
    assert len(tries) == 2


def test_a_database_that_stays_away_ends_it_with_a_sentence(settings: Settings, tmp_path: Path) -> None:
    source = write(tmp_path / "all.ndjson", [collection(), *map(item, range(3000))])
    with database.connect(settings, "postgres", database="postgres") as connection:
        gone = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _GONE.format(host=settings.db_host, port=settings.database.port, name=settings.database.name),
            ]
        )
        with pytest.raises(DatabaseUnavailableError, match="the same command goes on from there"):
            put(settings, source, patience_s=2, batch_size=25)
        assert gone.wait() == 0
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(_name(settings)))
    inside = len(stored(settings))
    assert 0 < inside < 3000
    assert inside % 25 == 0
    again = put(settings, source, batch_size=25)
    assert (again.totals.resumed, again.totals.created) == (inside, 3000 - inside)


#: Takes the database away as soon as something is in it.
_GONE = """
import time, psycopg
with psycopg.connect(host={host!r}, port={port}, dbname={name!r}, user="postgres", autocommit=True) as connection:
    while not connection.execute("SELECT count(*) FROM almagest.ingest_batch").fetchone()[0]:
        time.sleep(0.02)
with psycopg.connect(host={host!r}, port={port}, dbname="postgres", user="postgres", autocommit=True) as connection:
    connection.execute('ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name!r}")
"""


def _name(settings: Settings) -> sql.Identifier:
    return sql.Identifier(settings.database.name)


def test_usage_that_makes_no_sense_is_told_so(settings: Settings, tmp_path: Path) -> None:
    source = write(tmp_path / "all.ndjson", [collection()])
    for wrong in (
        [],
        [source, "--batch-size", "0"],
        [source, "--batch-size", "6000"],
        [source, "--api-url", "http://127.0.0.1:1", "--db-name", "x"],
        [source, "--api-url", "http://127.0.0.1:1", "--dry-run"],
    ):
        done = run(settings, *wrong)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
    missing = run(settings, tmp_path / "nothing.ndjson")
    assert (missing.returncode, "Traceback" in missing.stderr) == (1, False)
    assert "nothing.ndjson" in missing.stderr


def test_the_flags_of_eomatch_ingest_mean_the_same(settings: Settings, tmp_path: Path) -> None:
    """A static catalogue by `--catalogue`, its files served elsewhere, the database by flags and PGPASSWORD."""
    local = item(1, assets={"data": {"href": "./thumb.png"}, "far": {"href": "https://example.org/far.tif"}})
    with writer("stac", tmp_path / "catalogue") as out:
        out.write_collection(collection())
        out.write(local)
    (found,) = (tmp_path / "catalogue").rglob(f"{local['id']}.json")
    config = tmp_path / "config.yaml"
    config.write_text(f"matchup_catalogue:\n  path: {tmp_path / 'catalogue'}\n")
    flags = ["--db-host", settings.db_host, "--db-port", str(settings.database.port)]
    flags += ["--db-name", settings.database.name, "--db-user", "postgres", "--assets-base-url", "https://host/files/"]
    for source in (["--catalogue", tmp_path / "catalogue"], ["--config", config]):
        done = run(settings, *source, *flags, "-v", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["items"] == 1
    assets = stored(settings)["scenes", local["id"]]["assets"]
    below = found.parent.relative_to(tmp_path / "catalogue")
    assert assets["data"]["href"] == f"https://host/files/{below}/thumb.png"
    assert assets["far"]["href"] == "https://example.org/far.tif"
