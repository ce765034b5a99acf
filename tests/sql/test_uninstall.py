"""Almagest goes without a trace, and may come again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from almagest.catalogue import database, migrate, uninstalling
from almagest.catalogue.storing import Store
from almagest.cli.commands import app
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings
from support import adopted, catalogs, versions
from support import cluster as clusters
from support.adopted import MONTHLY, WHOLE, item
from support.cluster import Cluster

TABLES = ("items", "collections", "base_items", "queryables", "pgstac_settings")


@pytest.fixture
def alone() -> Iterator[Settings]:
    """A stock database in a cluster where Almagest never was."""
    root = Path(tempfile.mkdtemp(prefix="almagest-test-"))
    try:
        cluster = clusters.start(root)
        with cluster.clone(None) as name:
            settings = cluster.settings(name)
            adopted.fill(settings)
            yield settings
    finally:
        clusters.stop(root)


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[Settings]:
    """Of a database that was adopted, in a cluster where there are others."""
    with adopted.stock(cluster, adopted.ADOPTED) as settings:
        yield settings


def rows(connection: psycopg.Connection[Any]) -> list[Any]:
    return [
        connection.execute(f"SELECT r::text FROM ({statement}) AS r ORDER BY 1".encode()).fetchall()
        for statement in (
            *(f"SELECT * FROM pgstac.{table}" for table in TABLES),
            "SELECT partition, collection, partition_dtrange FROM pgstac.partition_stats",
        )
    ]


def differences(one: set[Any], other: set[Any]) -> list[Any]:
    return sorted(one ^ other)


def test_nothing_is_left_of_it(alone: Settings) -> None:
    with database.connect(alone, "postgres") as connection:
        before = catalogs.catalog(connection), catalogs.roles(connection), rows(connection)
        assert len(before[0]) > 1500
        database.prepare(alone)
        assert len(differences(catalogs.catalog(connection), before[0])) > 200
        uninstalling.uninstall(connection)
        assert differences(catalogs.catalog(connection), before[0]) == []
        assert catalogs.roles(connection) == before[1]
        assert rows(connection) == before[2]


def test_what_came_meanwhile_stays_as_stock_pgstac_would_have_it(alone: Settings) -> None:
    def change(settings: Settings) -> None:
        for of in (WHOLE, MONTHLY):
            adopted.load(settings, [item(of, number) for number in range(2, 9)], "upsert")
            adopted.load(settings, [item(of, 1, n=2)], "delsert")

    database.prepare(alone)
    change(alone)
    with database.connect(alone, "postgres") as connection:
        uninstalling.uninstall(connection)
        found = catalogs.catalog(connection)
        (documents,) = connection.execute("SELECT count(*) FROM pgstac.items").fetchone()  # type: ignore[misc]
        assert documents == 18
        # And stock writers go on.
        change(alone)
        assert catalogs.catalog(connection) == found
    cluster = Cluster(Path(alone.db_host), alone.database.port)
    with cluster.clone(None) as name:
        never = cluster.settings(name)
        adopted.fill(never)
        change(never)
        with database.connect(never, "postgres") as connection:
            assert differences(catalogs.catalog(connection), found) == []


def test_it_may_come_again(alone: Settings) -> None:
    database.prepare(alone)
    with database.connect(alone, "postgres") as connection:
        adopted.load(alone, [item(WHOLE, 1, n=1)], "upsert")
        uninstalling.uninstall(connection)
        adopted.load(alone, [item(WHOLE, 1, n=2)], "upsert")
        database.prepare(alone)
        assert migrate.verify(connection) == []
        assert versions.documents(connection, WHOLE, "i1") == [item(WHOLE, 1, n=2)]
        with connection.transaction():
            Store(connection).put([item(WHOLE, 1, n=3)])
        assert versions.documents(connection, WHOLE, "i1") == [item(WHOLE, 1, n=2), item(WHOLE, 1, n=3)]
        uninstalling.uninstall(connection)
        database.prepare(alone)


def test_roles_that_another_database_needs_stay(cluster: Cluster, settings: Settings) -> None:
    said: list[str] = []
    with database.connect(settings, "postgres") as connection:
        before = catalogs.roles(connection)
        uninstalling.uninstall(connection, said.append)
        assert catalogs.roles(connection) == before
    assert any(sentence.startswith("the roles stay") for sentence in said)
    with adopted.stock(cluster, adopted.ADOPTED) as other, database.connect(other, "almagest_reader") as reader:
        assert versions.documents(reader, WHOLE, "i1") == [item(WHOLE, 1)]


def test_where_services_are_connected_it_does_not_begin(settings: Settings) -> None:
    with (
        database.connect(settings, "postgres") as connection,
        database.connect(settings, "almagest_reader") as reader,
    ):
        with pytest.raises(ConfigurationError, match=r"in use by almagest_reader \(1\)"):
            uninstalling.uninstall(connection)
        assert reader.execute("SELECT count(*) FROM almagest.versioning").fetchone() == (1,)
        uninstalling.uninstall(connection, disconnect=True)
        with pytest.raises(psycopg.OperationalError):
            reader.execute("SELECT 1")


def test_the_command_asks_first(settings: Settings) -> None:
    adopted.load(settings, [item(WHOLE, 1, n=1)], "upsert")
    for name, value in {
        "ALMAGEST_HOME": settings.site.home,
        "ALMAGEST_DB_HOST": settings.db_host,
        "ALMAGEST_DB_PORT": settings.database.port,
        "ALMAGEST_DB_NAME": settings.database.name,
        "ALMAGEST_DB_ADMIN_USER": "postgres",
    }.items():
        os.environ[name] = str(value)
    refused = CliRunner().invoke(app, ["db", "uninstall"], input="n\n")
    assert refused.exit_code == 1
    assert "1 former versions of items" in refused.output
    with database.connect(settings, "postgres") as connection:
        assert migrate.status(connection).is_current
        assert CliRunner().invoke(app, ["db", "uninstall", "--yes"]).exit_code == 0
        assert migrate.status(connection).applied == ()
        with pytest.raises(ConfigurationError, match="not installed"):
            uninstalling.uninstall(connection)
