"""Lineage is what somebody finds who reads every version of everything that he may see, and follows the links."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from almagest.catalogue import audience, database
from almagest.catalogue.versions import moment_of
from almagest.core.settings import Settings
from support import ingests
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
