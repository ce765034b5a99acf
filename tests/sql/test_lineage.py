"""Lineage is what somebody finds who reads every version of everything that he may see, and follows the links."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from almagest.catalogue import audience, database, lineage, pruning
from almagest.catalogue.versions import moment_of
from almagest.core import sqlstate
from almagest.core.settings import Settings
from support import following, ingests
from support.derivation import COLLECTIONS, Oracle, World

Document = dict[str, Any]


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(settings, "postgres") as connection:
        audience.apply(settings, connection)
        for collection in COLLECTIONS:
            ours = ingests.collection(collection)
            connection.execute("SELECT almagest.put_collection(%s::jsonb)", (psycopg.types.json.Jsonb(ours),))
            audience.set_collections(connection, collection, "internal" if collection == "secret" else "public")
        yield connection


def asked(connection: psycopg.Connection[Any], schema: str, world: World, *of: object) -> Document | None:
    row = connection.execute(
        f"SELECT l.lineage FROM {schema}.lineage(%s, %s, %s, %s, %s, %s, %s) AS l".encode(), (*of, world.origin)
    ).fetchone()
    assert row is not None
    return row[0]


def in_short(told: Document) -> Document:
    return {
        "nodes": [node.get("href") or (node["collection"], node["id"], node.get("version")) for node in told["nodes"]],
        "edges": [(edge["derived"], edge["source"]) for edge in told["edges"]],
        "cut": told["cut"],
    }


def check(world: World, connection: psycopg.Connection[Any], walks: int = 40) -> Counter[str]:
    """Compares walks of both audiences; answers how many edges were in those of each."""
    edges: Counter[str] = Counter()
    for schema, role in (("almagest", "almagest_reader"), ("external", "almagest_external")):
        oracle = Oracle(world, schema)
        roots = oracle.nodes()
        connection.execute(f"SET ROLE {role}".encode())
        try:
            for _ in range(walks if roots else 0):
                collection, item, version = world.chance.choice(roots)
                direction = world.chance.choice(("up", "down"))
                depth, most = world.chance.choice((1, 2, 3, 20)), world.chance.choice((1, 2, 5, 500))
                expected = oracle.walk((collection, item, version), direction, depth, most)
                told = asked(
                    connection, schema, world, collection, item, moment_of(version), direction == "up", depth, most
                )
                assert told is not None
                assert in_short(told) == expected, (schema, direction, depth, most)
                edges[schema] += len(expected["edges"])
                for node in told["nodes"]:
                    if "latest" in node:
                        states = oracle.told[node["collection"], node["id"]].states
                        assert node["latest"] == (moment_of(node["version"]) == states[-1][0])
                        assert node["deleted"] == (states[-1][1] is None)
        finally:
            connection.execute("RESET ROLE")
    return edges


@pytest.mark.parametrize("seed", range(2))
def test_walks_are_those_of_somebody_who_reads_everything(
    connection: psycopg.Connection[Any], settings: Settings, seed: int
) -> None:
    world = World(connection, settings.site.origin, random.Random(seed))
    edges: Counter[str] = Counter()
    for _ in range(3):
        for _ in range(30):
            world.step()
        edges += check(world, connection)
    assert min(edges.values()) > 20, f"walks that find nothing prove nothing: {edges}"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 30))
def test_they_are_so_in_many_worlds(connection: psycopg.Connection[Any], settings: Settings, seed: int) -> None:
    world = World(connection, settings.site.origin, random.Random(seed))
    for _ in range(6):
        for _ in range(30):
            world.step()
        check(world, connection, walks=80)


def put(connection: psycopg.Connection[Any], settings: Settings, of: str, name: str, *sources: str) -> None:
    links = [
        {"rel": "derived_from", "href": f"{settings.site.origin}/api/collections/{source.replace('/', '/items/')}"}
        for source in sources
    ]
    document = ingests.item(collection=of, id=name, links=links)
    document["properties"]["written"] = str(uuid.uuid4())
    connection.execute("SELECT almagest.put_item(%s::jsonb)", (psycopg.types.json.Jsonb(document),))


def products(connection: psycopg.Connection[Any], settings: Settings, of: str, name: str) -> list[str]:
    row = connection.execute(
        "SELECT l.lineage FROM almagest.lineage(%s, %s, NULL, false, 9, 900, %s) AS l", (of, name, settings.site.origin)
    ).fetchone()
    assert row is not None
    return [node["id"] for node in row[0]["nodes"][1:]]


def edges(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM almagest.lineage_edge").fetchone()
    return int(row[0]) if row else 0


def test_who_writes_late_is_read_all_the_same(connection: psycopg.Connection[Any], settings: Settings) -> None:
    put(connection, settings, "open", "s")
    put(connection, settings, "plain", "there")
    connection.execute("SET lock_timeout = '5s'")
    with database.connect(settings, "postgres") as late:
        with late.transaction():
            put(late, settings, "plain", "late", "open/s")  # what one collection has, others wait for
            put(connection, settings, "open", "early", "open/s")
            lineage.fold(connection)
            assert edges(connection) == 0, "somebody before it has not ended"
            assert products(connection, settings, "open", "s") == ["early"]
        assert products(connection, settings, "open", "s") == ["early", "late"]
    lineage.fold(connection)
    assert edges(connection) == 2
    assert products(connection, settings, "open", "s") == ["early", "late"]


def test_what_a_transaction_takes_back_leaves_nothing(connection: psycopg.Connection[Any], settings: Settings) -> None:
    put(connection, settings, "open", "s")
    with connection.transaction():
        put(connection, settings, "open", "p", "open/s")
        connection.execute("SELECT almagest.delete_item('open', 'p')")
    assert products(connection, settings, "open", "s") == []
    lineage.fold(connection)
    assert edges(connection) == 0


def test_what_was_there_before_edges_were_kept_is_gathered_once(
    connection: psycopg.Connection[Any], settings: Settings
) -> None:
    put(connection, settings, "open", "s")
    put(connection, settings, "open", "p", "open/s")
    put(connection, settings, "open", "p", "open/s")
    connection.execute("DELETE FROM almagest.item_head WHERE id = 's'; TRUNCATE almagest.change")
    connection.execute("TRUNCATE almagest.lineage_edge, almagest.lineage_position")
    with pytest.raises(psycopg.Error, match="is not gathered yet"):
        products(connection, settings, "open", "s")
    told: list[str] = []
    lineage.gather(connection, told.append)
    assert edges(connection) == 2
    looked = len(told)
    assert looked >= len(COLLECTIONS)
    assert products(connection, settings, "open", "s") == ["p", "p"]
    lineage.gather(connection, told.append)
    assert len(told) == looked, "once"


def test_a_log_that_is_dropped_is_folded_before(connection: psycopg.Connection[Any], settings: Settings) -> None:
    put(connection, settings, "open", "s")
    put(connection, settings, "open", "p", "open/s")
    with database.connect(settings, "postgres") as late, late.transaction():
        # As long as it lasts, nothing of this can be folded by the way.
        late.execute("SELECT pg_current_xact_id()")
        with connection.transaction():
            connection.execute("SELECT almagest.hold_all_history()")
            connection.execute(
                "SELECT almagest.fold_lineage_of(ARRAY(SELECT DISTINCT tableoid::regclass FROM almagest.change))"
            )
            connection.execute("DELETE FROM almagest.change")
        assert products(connection, settings, "open", "s") == ["p"]


def test_of_too_much_that_is_not_folded_nobody_is_told(connection: psycopg.Connection[Any], settings: Settings) -> None:
    put(connection, settings, "open", "s")
    put(connection, settings, "open", "p", "open/s")
    source = connection.execute("SELECT pg_get_functiondef('almagest.lineage_tail()'::regprocedure)").fetchone()
    assert source is not None
    assert "20000" in source[0]
    connection.execute(source[0].replace("20000", "1").encode())
    walk = "SELECT lineage FROM almagest.lineage('open', 's', NULL, %s, 10, 10, '')"
    for downward in (walk % "false", "SELECT * FROM almagest.stale_products(NULL, '', '', 10, '')"):
        with pytest.raises(psycopg.DatabaseError, match="Try again soon") as refused:
            connection.execute(downward.encode())
        error = sqlstate.meaning(str(refused.value.sqlstate), "Try again soon.")
        assert error is not None
        assert error.status == 503  # which problem.answer says when to try again of
    connection.execute((walk % "true").encode())
    following.settle(connection)  # or what others in the cluster have not ended keeps it from being folded
    lineage.fold(connection)
    assert products(connection, settings, "open", "s") == ["p"]


def test_edges_of_what_is_forgotten_go(connection: psycopg.Connection[Any], settings: Settings) -> None:
    put(connection, settings, "open", "s")
    for _ in range(3):
        put(connection, settings, "open", "p", "open/s")
    put(connection, settings, "open", "gone", "open/s")
    connection.execute("SELECT almagest.delete_item('open', 'gone')")
    # Transactions of other tests, in other databases of this cluster, are waited for as well.
    deadline = time.monotonic() + 60
    while edges(connection) < 4 and time.monotonic() < deadline:
        lineage.fold(connection)
    assert edges(connection) == 4
    assert products(connection, settings, "open", "s") == ["gone", "p", "p", "p"]
    pruning.prune(connection, days=0)
    assert edges(connection) == 1
    assert products(connection, settings, "open", "s") == ["p"]


def test_ops_folds_without_any_other_right(connection: psycopg.Connection[Any], settings: Settings) -> None:
    put(connection, settings, "open", "s")
    put(connection, settings, "open", "p", "open/s")
    with database.connect(settings, "almagest_ops") as ops:
        assert ops.execute("SELECT almagest.fold_lineage(2)").fetchone() == (2,)
        while (ops.execute("SELECT almagest.fold_lineage(2)").fetchone() or (0,))[0]:
            pass
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ops.execute("SELECT * FROM almagest.lineage_edge")
    assert edges(connection) == 1
