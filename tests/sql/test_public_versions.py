"""What outsiders see of the past: the changes that they could have seen, found without looking at all the others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import orjson
import psycopg
import pytest

from almagest.catalogue import database, pruning
from almagest.catalogue.hydration import base_item, join
from almagest.core.settings import Settings
from leaks.worlds import set_clock
from support import ingests

Document = dict[str, Any]

HERE = ("scenes", "i000000")


class Run(NamedTuple):
    """States that outsiders cannot tell apart."""

    begin: Any
    end: Any
    deleted: bool


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, "postgres") as connection:
        put_collection(connection)
        yield connection


def put_collection(connection: psycopg.Connection[Any], **changes: Any) -> None:
    document = ingests.collection(**changes)
    connection.execute("SELECT almagest.put_collection(%s::jsonb)", (orjson.dumps(document).decode(),))


def put(connection: psycopg.Connection[Any], seen: int, hidden: int | None) -> None:
    """The item with something that outsiders see, and things of many kinds that they do not."""
    document = ingests.item()
    document["properties"] |= {"seen": seen, "nested": {"a": seen % 2, "almagest:b": hidden}}
    if hidden is not None:
        document["properties"]["almagest:note"] = hidden
        document["assets"][f"hidden-{hidden}"] = {"href": f"file:///hush/{hidden}.tif"}
        document["links"] = [{"rel": "via", "href": f"file:///hush/{hidden}"}]
    connection.execute("SELECT almagest.put_item(%s::jsonb)", (orjson.dumps(document).decode(),))


def rows(connection: psycopg.Connection[Any], statement: str, *values: object) -> list[Any]:
    return connection.execute(statement.encode(), values).fetchall()


def face(connection: psycopg.Connection[Any], moment: Any) -> Document | None:
    found = rows(connection, "SELECT item, base FROM external.item_row_at(%s, %s, %s)", *HERE, moment)
    return join(orjson.loads(found[0][0]), base_item(found[0][1])) if found else None


def runs(connection: psycopg.Connection[Any]) -> list[Run]:
    """As one would find them who looked at every state; the latest first."""
    states = rows(connection, "SELECT valid_from, valid_to FROM almagest.item_states(%s, %s)", *HERE)[::-1]
    faces = [(face(connection, begin), begin, end) for begin, end in states]
    found = []
    for seen, members in groupby(faces, lambda each: each[0]):
        alike = list(members)
        found.append(Run(alike[0][1], alike[-1][2], seen is None))
    return found[::-1]


def listed(connection: psycopg.Connection[Any], before: Any = None, few: int | None = None) -> list[Run]:
    statement = "SELECT valid_from, valid_to, deleted FROM external.item_states(%s, %s, %s, %s)"
    return [Run(*row) for row in rows(connection, statement, *HERE, before, few)]


@pytest.mark.parametrize("seed", range(3))
def test_of_each_question_the_answer_is_that_of_looking_at_everything(
    connection: psycopg.Connection[Any], seed: int
) -> None:
    dice = random.Random(seed)
    for _ in range(25):
        choice = dice.random()
        if choice < 0.1:
            connection.execute("DELETE FROM pgstac.items WHERE id = %s", (HERE[1],))
        elif choice < 0.2:
            put_collection(connection, item_assets={"data": {"title": str(dice.random())}})
        else:
            put(connection, dice.choice((1, 1, 2)), dice.choice((None, 1, 2, 3)))
    expected = runs(connection)
    raw = rows(connection, "SELECT valid_from FROM almagest.item_states(%s, %s)", *HERE)
    assert 3 < len(expected) < len(raw)
    for newer, older in pairwise(expected):
        assert older.end == newer.begin
    assert listed(connection) == expected
    for (before,) in raw:
        ended = [run for run in expected if run.end is not None and run.end <= before]
        for few in (1, 2, 5, None):
            assert listed(connection, before, few) == ended[:few]
    for (moment,) in raw:
        ((is_version,),) = rows(connection, "SELECT external.is_version(%s, %s, %s)", *HERE, moment)
        assert is_version == any(run.begin == moment and not run.deleted for run in expected)
    for number, run in enumerate(expected):
        if not run.deleted:
            beside = rows(connection, "SELECT * FROM external.neighbours(%s, %s, %s)", *HERE, run.begin)
            assert beside == [(earlier(expected, number), later(expected, number), number == 0)]
    ((item, predecessor, is_gone),) = rows(
        connection, "SELECT item, predecessor, is_gone FROM external.item_with_past(%s, %s)", *HERE
    )
    assert (item is None) == expected[0].deleted == is_gone
    if item is not None:
        assert predecessor == earlier(expected, 0)


def public_past(connection: psycopg.Connection[Any], of: tuple[str, str | None]) -> list[tuple[Run, Any]]:
    """What outsiders are told of an item, or (without an id) of a collection, each version with its document."""
    collection, item = of
    statement = "SELECT valid_from, valid_to, deleted FROM external.item_states(%s, %s)"
    found = []
    for run in (Run(*row) for row in rows(connection, statement, *of)):
        if item is None:
            ((document,),) = rows(connection, "SELECT external.collection_document_at(%s, %s)", collection, run.begin)
        else:
            document = face(connection, run.begin)
        ((is_version,),) = rows(connection, "SELECT external.is_version(%s, %s, %s)", *of, run.begin)
        assert is_version == (document is not None) == (not run.deleted)
        found.append((run, document))
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "rules", [{"versions": 2}, {"days": 50}, {"days": 0}, {"days": 50, "versions": 4}], ids=["2", "50d", "0d", "50d, 4"]
)
def test_what_is_left_begins_for_outsiders_when_it_did_before_the_rest_was_forgotten(
    connection: psycopg.Connection[Any], seed: int, rules: dict[str, int]
) -> None:
    dice = random.Random(seed)
    now = datetime(2019, 11, 1, tzinfo=UTC)
    for table in ("item_history", "collection_history"):
        connection.execute(f"CREATE TABLE almagest.{table}_2019q4 (LIKE almagest.{table} INCLUDING ALL)")
        connection.execute(f"ALTER TABLE almagest.{table}_2019q4 OWNER TO almagest_admin")
        connection.execute(
            f"ALTER TABLE almagest.{table} ATTACH PARTITION almagest.{table}_2019q4 "
            "FOR VALUES FROM ('2019-10-01Z') TO ('2020-01-01Z')"
        )
    connection.execute("UPDATE almagest.collection_head SET valid_from = %s", (now,))
    for number in range(40):
        now += timedelta(days=3)
        set_clock(connection, now)
        # Of what ends deleted, nothing is left.
        choice = dice.random() if number < 39 else 0.5
        if choice < 0.1:
            connection.execute("DELETE FROM pgstac.items WHERE id = %s", (HERE[1],))
        elif choice < 0.6:
            put(connection, dice.choice((1, 1, 2)), dice.choice((None, 1, 2, 3)))
        else:
            put_collection(connection, title=dice.choice("ab"), **{"almagest:note": dice.random()})
    subjects: tuple[tuple[str, str | None], ...] = (HERE, (HERE[0], None))
    expected = []
    for of in subjects:
        past = public_past(connection, of)
        stored = rows(connection, "SELECT FROM almagest.stored_states(%s, %s, '-infinity', 'infinity')", *of)
        assert 3 < len(past) < len(stored)
        expected.append(
            [
                (run, document)
                for number, (run, document) in enumerate(past)
                if run.end is None
                or run.end > now - timedelta(days=rules.get("days", 0))
                or sum(not newer.deleted for newer, _ in past[:number]) < rules.get("versions", 0)
            ]
        )
    counted = pruning.prune(connection, **rules, dry_run=True)
    done = pruning.prune(connection, **rules)
    assert (done.items, done.collections) == (counted.items, counted.collections)
    assert done.items + done.collections > 0
    assert [public_past(connection, of) for of in subjects] == expected
    assert pruning.prune(connection, **rules).items == 0
    # A state that ends keeps its beginning.
    set_clock(connection, now + timedelta(days=1))
    put(connection, 3, None)
    assert public_past(connection, HERE)[1][0].begin == expected[0][0][0].begin


def earlier(expected: list[Run], number: int) -> Any:
    return next((run.begin for run in expected[number + 1 :] if not run.deleted), None)


def later(expected: list[Run], number: int) -> Any:
    return next((run.begin for run in expected[:number][::-1] if not run.deleted), None)


def lengthen(connection: psycopg.Connection[Any], path: str, count: int) -> None:
    """Many states before the present ones, each of which differs from the others in this place."""
    connection.execute(
        """
        INSERT INTO almagest.item_history (collection, id, valid_from, valid_to, deleted, base_key, geometry, content)
        SELECT h.collection, h.id, h.valid_from - n * interval '1 s', h.valid_from - (n - 1) * interval '1 s', false,
               h.base_key, h.geometry, jsonb_set(h.content, %s::text[], to_jsonb(n))
        FROM generate_series(1, %s) AS n, (
            SELECT * FROM almagest.item_history ORDER BY valid_from LIMIT 1) AS h
        """,
        (path, count),
    )


def work(connection: psycopg.Connection[Any], statement: str, *values: object) -> dict[str, int]:
    """How often functions were called for an answer: the comparisons of neighbours, and of whole documents."""
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL track_functions = 'all'")
        connection.execute(statement.encode(), values).fetchall()
        return dict(rows(connection, "SELECT funcname, calls FROM pg_stat_xact_user_functions"))


QUESTIONS = [
    "SELECT * FROM external.item_with_past(%s, %s)",
    "SELECT * FROM external.item_states(%s, %s, NULL, 2)",
    "SELECT external.is_version(%s, %s, (SELECT max(valid_to) FROM almagest.item_history))",
    "SELECT * FROM external.neighbours(%s, %s, (SELECT max(valid_to) FROM almagest.item_history))",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_more_states_are_looked_at_than_the_answer_tells_of(
    connection: psycopg.Connection[Any], question: str
) -> None:
    for seen in (1, 2, 3):
        put(connection, seen, seen)
    lengthen(connection, "{properties,seen}", 300)
    done = work(connection, question, *HERE)
    assert 1 <= done["looks_alike"] <= 3


def test_what_is_gone_or_never_was_is_answered_without_looking_at_any_state(
    connection: psycopg.Connection[Any],
) -> None:
    for seen in (1, 2, 3):
        put(connection, seen, seen)
    connection.execute("DELETE FROM pgstac.items WHERE id = %s", (HERE[1],))
    for here in (HERE, ("scenes", "never"), ("nowhere", "never")):
        assert "looks_alike" not in work(connection, "SELECT * FROM external.item_with_past(%s, %s)", *here)


def test_hidden_changes_are_compared_by_what_has_changed_alone(connection: psycopg.Connection[Any]) -> None:
    put(connection, 1, 1)
    put(connection, 2, 2)
    put(connection, 2, 1)
    lengthen(connection, "{properties,almagest:note}", 300)
    done = work(connection, "SELECT * FROM external.item_with_past(%s, %s)", *HERE)
    # The predecessor is one version since long before.
    assert done["looks_alike"] > 300
    assert done["port_hydrate"] <= 4


def test_collections_are_told_alike(connection: psycopg.Connection[Any]) -> None:
    for title, note in (("A", 1), ("A", 2), ("B", 2), ("B", 3), ("A", 3)):
        put_collection(connection, title=title, **{"almagest:note": note})
    inside = rows(connection, "SELECT valid_from FROM almagest.collection_states('scenes')")
    outside = rows(connection, "SELECT valid_from, valid_to FROM external.collection_states('scenes')")
    begins = [inside[n][0] for n in (0, 2, 4, 5)]
    assert outside == list(zip(begins, [None, *begins], strict=False))
    assert rows(connection, "SELECT valid_from FROM external.collection_states('scenes', %s, 1)", begins[1]) == [
        (begins[2],)
    ]
    told = rows(
        connection, "SELECT document::jsonb->>'title', predecessor FROM external.collection_with_past('scenes')"
    )
    assert told == [("A", begins[1])]


def test_hidden_assets_that_a_collection_gets_make_no_version(connection: psycopg.Connection[Any]) -> None:
    """Whether there was no map before, or an empty one; with what can be seen, it begins when that does."""
    hidden = {"t": {"href": "file:///hush/t.png"}}
    shown = {"p": {"href": "https://example.org/p.png"}}
    for more in ({"assets": hidden}, {"assets": {}}, {"assets": hidden}, {"assets": hidden | shown}, {"assets": shown}):
        put_collection(connection, **more)
    inside = rows(connection, "SELECT valid_from FROM almagest.collection_states('scenes')")
    assert len(inside) == 6
    outside = rows(connection, "SELECT valid_from FROM external.collection_states('scenes')")
    assert outside == [inside[1], inside[5]]
