"""A mirror is equal to its source, document for document, whatever died or was told late on the way."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from almagest.catalogue import database, pruning
from almagest.catalogue.acceptance import Rules
from almagest.catalogue.mirroring import BeginAnewError, Entry
from almagest.client.http import Http
from almagest.client.mirroring import open_feed
from almagest.core.errors import (
    AlmagestError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    DatabaseUnavailableError,
    NotFoundError,
    UnauthorizedError,
)
from almagest.core.settings import Settings
from conftest import TEMPLATE
from support import following
from support.cluster import Cluster
from support.commands import runner
from support.ingests import a_seed, collection, environment, item
from support.mirrors import EndedError, MadeUp, gone, mirror, plain, put, stored, there, writing
from support.serving import served

Document = dict[str, Any]


@pytest.fixture
def target(cluster: Cluster) -> Iterator[Settings]:
    """A second catalogue, with nothing in it."""
    with cluster.clone(TEMPLATE) as name:
        yield cluster.settings(name)


@pytest.fixture
def source(settings: Settings) -> Iterator[Settings]:
    """The first catalogue, on a port."""
    with served(settings) as settings:
        yield settings


@pytest.fixture
def writer(source: Settings) -> Iterator[psycopg.Connection[Any]]:
    with writing(source) as connection:
        yield connection


@pytest.fixture
def admin(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, "postgres") as connection:
        yield connection


def api(settings: Settings, audience: str = "api") -> str:
    return f"http://127.0.0.1:{settings.site.port}/{audience}"


def change_at_random(connection: psycopg.Connection[Any], chance: random.Random, count: int) -> None:
    """Writes as many things happen: new items and other ones, deletions, collections that go and come back."""
    names = ["scenes", "masks", "other"]
    for _ in range(count):
        name, number = chance.choice(names), chance.randrange(40)
        there = {row[0] for row in connection.execute("SELECT collection_ids()").fetchall()}
        what = chance.random()
        if name not in there or what < 0.05:
            put(connection, collection(name, description=f"As of {chance.random()}"))
        elif what < 0.08:
            connection.execute("SELECT delete_collection(%s)", (name,))
        elif what < 0.25:
            connection.execute(
                "SELECT delete_item(%s, id) FROM port_item_ids(%s) AS id WHERE id = %s",
                (name, name, item(number)["id"]),
            )
        else:
            numbers = range(number, number + chance.randrange(1, 8))
            changed = [item(n, collection=name) for n in numbers]
            for document in changed:
                document["properties"]["changed"] = chance.random()
                document["links"] = [{"rel": "license", "href": "https://example.org/license"}]
            put(connection, *changed)


@pytest.mark.parametrize("rounds", [2, pytest.param(6, marks=pytest.mark.soak)])
def test_it_becomes_equal_and_stays_so_whatever_happens(
    source: Settings, target: Settings, writer: psycopg.Connection[Any], admin: psycopg.Connection[Any], rounds: int
) -> None:
    chance = random.Random(a_seed())
    for round_ in range(rounds):
        with writing(source) as early:
            if round_ % 2:
                # It takes its number now, and writes when others have come and gone.
                early.execute("BEGIN")
                early.execute("SELECT pg_current_xact_id()")
            change_at_random(writer, chance, 25)
            mirror(api(source), target)
            if round_ % 2:
                there = [row[0] for row in early.execute("SELECT collection_ids()").fetchall()]
                put(early, collection("late"), *(item(n, collection="late") for n in range(round_)))
                if "scenes" in there:
                    put(early, item(3, assets={}))
                early.execute("COMMIT")
        following.settle(admin)
        mirror(api(source), target)
        assert stored(target) == stored(source)
    again = mirror(api(source), target)
    assert (again.told, again.walks) == (0, 0), "it goes on where it was"


def test_generated_links_are_made_anew(source: Settings, target: Settings, writer: psycopg.Connection[Any]) -> None:
    mine = [{"rel": "license", "href": "https://example.org/license"}, {"rel": "derived_from", "href": "https://a.b/c"}]
    # Stock writers store whatever they like.
    put(writer, collection(links=mine), item(1, links=mine), item(2, stac_version="1.0.0"))
    mirror(api(source), target)
    assert stored(target) == stored(source)
    assert stored(target)["scenes", "i000001"]["links"] == mine


def test_of_some_collections(source: Settings, target: Settings, writer: psycopg.Connection[Any]) -> None:
    put(writer, collection(), collection("other"), item(1), item(2, collection="other"))
    mirror(api(source), target, collections=["other"])
    assert set(stored(target)) == {("other", None), ("other", "i000002")}
    with pytest.raises(ConflictError, match=r"--state .* --fresh"):
        mirror(api(source), target)
    with pytest.raises(ConflictError, match="--fresh"):
        mirror(api(source), target, collections=["scenes"])
    assert set(stored(target)) == {("other", None), ("other", "i000002")}, "nothing was touched"
    mirror(api(source), target, collections=["scenes"], name="of its own")
    assert stored(target) == stored(source)
    mirror(api(source), target, collections=["scenes"], name="of its own")
    assert stored(target) == stored(source), "each leaves what the other has brought"
    with writing(target) as other:
        other.execute("DELETE FROM almagest.mirror WHERE name = 'of its own'")
        other.execute("SELECT delete_collection('scenes')")
    mirror(api(source), target, collections=["scenes", "other"], fresh=True)
    assert stored(target) == stored(source)
    mirror(api(source), target, collections=["scenes"], fresh=True)
    assert set(stored(target)) == {("scenes", None), ("scenes", "i000001")}, "what is not followed any more goes"


def test_what_outsiders_see_can_be_followed(settings: Settings, target: Settings) -> None:
    with writing(settings) as writer, served(settings, "external") as source:
        shown, hidden = item(1), item(2)
        hidden["assets"]["raw"] = {"href": "file:///secret.tif"}
        put(writer, collection(), shown, hidden)
        mirror(api(source, "external"), target)
        assert stored(target) == plain([collection(), shown, item(2)])


def test_a_log_that_was_dropped_is_no_end(
    source: Settings, target: Settings, writer: psycopg.Connection[Any], admin: psycopg.Connection[Any]
) -> None:
    put(writer, collection(), collection("left"), *map(item, range(5)), item(9, collection="left"))
    following.settle(admin)
    mirror(api(source), target)
    with writing(target) as other:
        put(other, item(100))  # of somebody else
    writer.execute("SELECT delete_item('scenes', 'i000003')")
    writer.execute("SELECT delete_collection('left')")
    put(writer, item(4, assets={}))
    pruning.prune(admin, days=0)
    following.settle(admin)
    told = mirror(api(source), target)
    assert told.walks == 1
    assert any("again" in sentence for sentence in told.said)  # type: ignore[attr-defined]
    mine = stored(target)
    assert mine.pop(("scenes", "i000100")) == item(100), "it did not come from there"
    assert mine == stored(source)


def test_what_others_put_goes_only_when_asked_to(
    source: Settings, target: Settings, writer: psycopg.Connection[Any], admin: psycopg.Connection[Any]
) -> None:
    with writing(target) as other:
        put(other, collection("own"), item(7, collection="own"), collection(description="Ours."), item(8))
    before = stored(target)
    put(writer, collection(), item(1))
    with pytest.raises(ConflictError, match=r"'scenes'.*--adopt"):
        mirror(api(source), target)
    assert stored(target) == before
    mirror(api(source), target, adopt=True)
    assert set(stored(target)) == {*stored(source), ("own", None), ("own", "i000007"), ("scenes", "i000008")}
    mirror(api(source), target, prune=True)
    assert ("scenes", "i000008") in stored(target), "not without a walk"
    mirror(api(source), target, prune=True, fresh=True)
    assert set(stored(target)) == {*stored(source), ("own", None), ("own", "i000007")}, (
        "other collections are not its own"
    )
    with writing(target) as other:
        put(other, item(8))
    writer.execute("SELECT delete_collection('scenes')")
    following.settle(admin)
    told = mirror(api(source), target)
    assert set(stored(target)) == {("own", None), ("own", "i000007"), ("scenes", None), ("scenes", "i000008")}
    assert any("stays here" in sentence for sentence in told.said)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.soak)])
def test_killed_at_random_moments_nothing_is_lost(
    source: Settings, target: Settings, writer: psycopg.Connection[Any], admin: psycopg.Connection[Any], kills: int
) -> None:
    chance = random.Random(a_seed())
    put(writer, collection(), collection("masks"), *map(item, range(1200)))
    put(writer, *(item(n, collection="masks") for n in range(900)))
    change_at_random(writer, chance, 30)
    following.settle(admin)
    command = [sys.executable, "-m", "almagest.cli.main", "mirror", "--from", api(source), "--state", "test"]
    quiet = subprocess.DEVNULL
    with database.connect(target, "postgres") as other:

        def reached() -> str | None:
            row = other.execute("SELECT cursor FROM almagest.mirror").fetchone()
            return row[0] if row else None

        for _ in range(kills):
            before = reached()
            running = subprocess.Popen(command, env=environment(target), stdout=quiet, stderr=quiet)
            while reached() == before and running.poll() is None:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.6))
            running.send_signal(signal.SIGKILL)
            running.wait()
            assert reached() != before, "it goes on from where it was"
            change_at_random(writer, chance, 3)
    following.settle(admin)
    done = subprocess.run(command, env=environment(target), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert stored(target) == stored(source)


def moment(second: int) -> datetime:
    return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)


def test_an_item_may_be_told_of_before_its_collection(target: Settings) -> None:
    told = MadeUp([[there(item(1))], [there(collection())]], now={"scenes": collection()})
    mirror(told, target)
    assert stored(target) == plain([collection(), item(1)])
    told = MadeUp(
        [[there(item(2, collection="never")), there(item(3))]], {"scenes": collection()}, name="https://another/api"
    )
    with pytest.raises(ConflictError, match="nothing any more"):
        mirror(MadeUp([]), target, name="test", fresh=True)
    with pytest.raises(ConflictError, match="--adopt"):
        mirror(told, target, name="another")
    mirror(told, target, name="another", adopt=True)
    assert ("never", "i000002") not in stored(target), "it has gone meanwhile: that is told later"
    assert ("scenes", "i000003") in stored(target)


def test_that_a_collection_went_may_be_told_after_something_of_its_successor(target: Settings) -> None:
    began = [there(collection(), moment(1)), there(item(1), moment(2))]
    late = [
        there(item(2), moment(5)),
        gone("scenes", "i000001", moment(3)),
        gone("scenes", None, moment(3)),
        there(collection(description="anew"), moment(4)),
    ]
    mirror(MadeUp([began, late]), target)
    assert stored(target) == plain([collection(description="anew"), item(2)])


def test_in_a_page_the_later_entry_wins(target: Settings) -> None:
    page = [
        there(collection()),
        there(item(1)),
        gone("scenes", "i000001"),
        there(item(2)),
        there(item(2, assets={})),
        there(item(3)),
        gone("scenes", "i000003"),
        there(item(3, assets={})),
        gone("scenes", "i000004"),
    ]
    counted = mirror(MadeUp([page]), target)
    assert stored(target) == plain([collection(), item(2, assets={}), item(3, assets={})])
    assert (counted.created, counted.deleted) == (3, 0), "what came and went within a page was never there"


def test_a_document_that_cannot_be_stored_keeps_no_other_out(target: Settings) -> None:
    broken = item(2, geometry={"type": "Point", "coordinates": ["x"]})
    timeless = item(3, properties={})
    wrong = Entry("scenes", "i000004", item(5))
    unknown = Entry("scenes", "i000006", None)
    told = MadeUp([[there(collection()), there(item(1)), there(broken), there(timeless), wrong, unknown]])
    counted = mirror(told, target)
    assert stored(target) == plain([collection(), item(1)])
    assert counted.refused == 4
    assert "i000005" in " ".join(counted.said)  # type: ignore[attr-defined]


def test_what_was_not_asked_for_stays_out(target: Settings) -> None:
    kept = [collection("own"), item(7, collection="own")]
    with writing(target) as other:
        put(other, *kept)
    lies = [there(collection("own", description="x")), there(item(8, collection="own")), gone("own", "i000007")]
    told = MadeUp([[there(collection()), there(item(1)), *lies, gone("own"), there(collection("scenes\0"))]])
    counted = mirror(told, target, collections=["scenes"])
    assert stored(target) == plain([*kept, collection(), item(1)])
    assert (counted.told, counted.refused) == (7, 5)
    assert sum("--collections" in sentence for sentence in counted.said) == 5  # type: ignore[attr-defined]
    nameless = [gone("scenes", ""), gone("scenes", "\0"), gone("", "x"), gone("own", "i000007")]
    counted = mirror(MadeUp([[], nameless, [there(item(2))]]), target, collections=["scenes"])
    assert counted.refused == 4
    assert stored(target) == plain([*kept, collection(), item(1), item(2)])


@pytest.mark.parametrize("prune", [False, True])
def test_what_did_not_come_from_there_is_not_deleted_from_there(target: Settings, prune: bool) -> None:
    kept = [collection("own"), item(7, collection="own")]
    with writing(target) as other:
        put(other, *kept)
    mirror(MadeUp([[there(collection()), there(item(1)), there(item(2))]]), target)
    with writing(target) as other:
        put(other, item(5))
    refused = there({**item(5), "geometry": {"type": "Point", "coordinates": ["x"]}})
    later = [refused, *(gone("scenes", f"i00000{n}") for n in (1, 5)), gone("own", "i000007"), gone("own")]
    counted = mirror(MadeUp([[], later]), target, prune=prune)
    mine = [] if prune else [item(5)]
    assert stored(target) == plain([*kept, collection(), item(2), *mine])
    assert counted.deleted == 2 - len(mine)
    assert any("did not come from there" in sentence for sentence in counted.said)  # type: ignore[attr-defined]


def test_what_was_refused_did_not_come_from_there(target: Settings) -> None:
    mirror(MadeUp([[there(collection()), there(item(1))]]), target)
    with writing(target) as other:
        put(other, item(5))
    broken = there({**item(5), "bbox": "none"}), there({**item(1), "bbox": "none"})
    mirror(MadeUp([[], [*broken], [gone("scenes", "i000005")]]), target)
    assert stored(target) == plain([collection(), item(1), item(5)])
    counted = mirror(MadeUp([[there(collection())], [*broken]]), target, fresh=True)
    assert (counted.refused, counted.deleted) == (2, 0), "it is there, as it was when it could be taken"
    assert stored(target) == plain([collection(), item(1), item(5)])


def test_of_a_collection_that_is_refused_each_item_is(target: Settings) -> None:
    broken = collection("broken", item_assets={"data": "no object"})
    told = MadeUp([[there(broken), there(item(1, collection="broken")), there(collection()), there(item(2))]])
    told.now = {"broken": broken}
    counted = mirror(told, target)
    assert stored(target) == plain([collection(), item(2)])
    assert counted.refused == 2


def test_a_copy_is_judged_as_any_document(target: Settings) -> None:
    beyond = {"type": "Point", "coordinates": [190.0, 10.0]}
    bad = [
        item(1, assets={"data": "no object"}),
        item(2, id="../2"),
        item(3, geometry={"type": "Point", "coordinates": [1.0, 2.0, 3.0, 4.0]}),
        item(4, links=[{"rel": "self"}]),
        item(5, properties={"datetime": "yesterday"}),
        {**collection("scenes"), "id": "i000006", "collection": "scenes"},
    ]
    entries = [Entry("scenes", document["id"], document) for document in bad]
    good = [item(10, geometry=beyond, bbox=[190, 10, 190, 10]), item(11, bbox=[0, 0, 20, 20])]
    counted = mirror(MadeUp([[there(collection()), *entries, *map(there, good)]]), target)
    assert counted.refused == len(bad)
    found = stored(target)
    assert set(found) == {("scenes", None), ("scenes", "i000010"), ("scenes", "i000011")}
    assert found["scenes", "i000010"]["geometry"]["coordinates"] == [-170, 10]
    assert found["scenes", "i000010"]["bbox"] == [-170, 10, -170, 10]
    assert found["scenes", "i000011"] == good[1], "too wide a box does no harm: both stay equal"


def test_a_cursor_that_is_refused_twice_in_a_row_ends_it(target: Settings) -> None:
    class Refusing(MadeUp):
        refuses = 1

        def page(self, cursor: str | None, *, wait: bool) -> Any:
            if cursor == "1" and self.refuses:
                self.refuses -= 1
                raise BadRequestError("This is no cursor.")
            return super().page(cursor, wait=wait)

    pages = [[there(collection())], [there(item(1))]]
    once = mirror(Refusing(pages), target)
    assert (once.walks, stored(target)) == (1, plain([collection(), item(1)]))
    always = Refusing(pages, name="https://other/api")
    always.refuses = 1000
    with pytest.raises(AlmagestError, match="refuses the cursors that it gives"):
        mirror(always, target, forever=True)
    assert always.refuses == 998


def test_two_at_once_do_not_overtake_each_other(target: Settings) -> None:
    class Overtaken(MadeUp):
        def page(self, cursor: str | None, *, wait: bool) -> Any:
            found = super().page(cursor, wait=wait)
            if cursor == "1":
                mirror(MadeUp(self.pages), target)
            return found

    with pytest.raises(ConflictError, match="one is enough"):
        mirror(Overtaken([[there(collection())], [there(item(1))], [there(item(2))]]), target)
    assert stored(target) == plain([collection(), item(1), item(2)])


def test_a_source_that_has_nothing_any_more_is_not_believed(target: Settings) -> None:
    full, empty = MadeUp([[there(collection()), there(item(1))]]), MadeUp([])
    mirror(full, target)
    with pytest.raises(ConflictError, match="nothing any more"):
        mirror(empty, target, fresh=True)
    assert stored(target) == plain([collection(), item(1)])
    mirror(empty, target, prune=True)
    assert stored(target) == {}


def test_a_source_that_is_away_is_waited_for(target: Settings) -> None:
    class Away(MadeUp):
        troubles = 3

        def page(self, cursor: str | None, *, wait: bool) -> Any:
            if cursor == "1" and self.troubles:
                self.troubles -= 1
                raise DatabaseUnavailableError("It does not answer.")
            return super().page(cursor, wait=wait)

    pages = [[there(collection())], [there(item(1))]]
    with pytest.raises(DatabaseUnavailableError):
        mirror(Away(pages), target)
    pauses: list[float] = []
    with pytest.raises(EndedError):
        mirror(Away(pages), target, forever=True, rest=pauses.append)
    assert pauses == [5, 10, 20]
    assert stored(target) == plain([collection(), item(1)])


def test_a_source_that_always_says_begin_anew_ends_it(target: Settings) -> None:
    with pytest.raises(BeginAnewError):
        mirror(MadeUp([[there(collection())]], gone={"1", None}), target)  # type: ignore[arg-type]


def test_faults_are_told_in_a_sentence(source: Settings, target: Settings) -> None:
    with pytest.raises(NotFoundError):
        mirror(f"{api(source)}/conformance", target)
    page = httpx.MockTransport(lambda _: httpx.Response(200, json={"links": []}))
    with Http("https://page", transport=page) as http, pytest.raises(ConfigurationError, match="no STAC API"):
        open_feed(http, "https://page", Rules("https://here"))
    with pytest.raises(DatabaseUnavailableError, match="right address"):
        mirror("http://127.0.0.1:9/api", target)
    answers = {401: "A key is needed", 403: "does not open this"}
    for status, sentence in answers.items():
        refusal = httpx.MockTransport(lambda _, s=status: httpx.Response(s, json={"detail": "A key is needed."}))
        with Http("https://closed/api", "a-key", transport=refusal) as http, pytest.raises(UnauthorizedError) as caught:
            open_feed(http, "https://closed/api", Rules("https://here"))
        assert sentence in str(caught.value)


def test_the_command(source: Settings, target: Settings, writer: psycopg.Connection[Any]) -> None:
    put(writer, collection(), item(1), item(2, collection="scenes", assets={}))
    run = runner(target, "mirror")
    told = run("--from", api(source), "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {
        "told": 3, "created": 3, "updated": 0, "unchanged": 0, "deleted": 0, "refused": 0, "walks": 1
    }  # fmt: skip
    assert "tells of its changes" in told.stderr
    assert stored(target) == stored(source)
    again = ("--from", api(source), "--state", "another", "--json")
    barred = run(*again)
    assert (barred.returncode, "--adopt" in barred.stderr) == (1, True)
    assert json.loads(run(*again, "--adopt").stdout)["unchanged"] == 3
    refused = run("--from", "http://ada:secret@127.0.0.1/api")
    assert refused.returncode == 1
    assert "secret" not in refused.stdout + refused.stderr
    assert run("--from", api(source), "--collections", ",").returncode == 2


@pytest.mark.soak
def test_followed_it_is_equal_as_soon_as_something_changes(
    source: Settings, target: Settings, writer: psycopg.Connection[Any]
) -> None:
    put(writer, collection())
    command = [sys.executable, "-m", "almagest.cli.main", "mirror", "--from", api(source), "--follow"]
    pipe = subprocess.PIPE
    running = subprocess.Popen(command, env=environment(target), stdout=pipe, stderr=pipe, text=True)
    try:
        for number in range(3):
            put(writer, item(number))
            until = time.monotonic() + 60
            while ("scenes", item(number)["id"]) not in stored(target):
                assert running.poll() is None, "it has ended"
                assert time.monotonic() < until, "it does not come"
                time.sleep(0.1)
    finally:
        running.terminate()
        _, err = running.communicate()
    assert running.returncode == 128 + signal.SIGTERM
    assert "goes on from there" in err
