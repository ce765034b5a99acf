"""``almagest history``, on a database and over an API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest
from typer.testing import CliRunner, Result

from almagest.catalogue import database
from almagest.catalogue.versions import moment_of
from almagest.cli.commands import app
from almagest.core.settings import Settings
from support import adopted, versions
from support.adopted import WHOLE, collection, item
from support.cluster import Cluster
from support.serving import served

HERE = [WHOLE, "i1"]


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[Settings]:
    with adopted.stock(cluster, adopted.ADOPTED) as settings:
        with database.connect(settings, "postgres") as connection:
            changed = item(WHOLE, 1, n=10)
            changed["assets"]["red"]["href"] = "https://a.org/other.tif"
            changed["assets"]["blue"] = {"href": "https://a.org/blue.tif"}
            adopted.load(settings, [changed], "upsert")
            with connection.transaction():
                connection.execute("SELECT almagest.write_as('ann', NULL, NULL, 'job-7')")
                del changed["assets"]["blue"]
                changed["properties"]["n"] = 20
                connection.execute("SELECT almagest.put_item(%s::jsonb)", (orjson.dumps(changed).decode(),))
        yield settings


@pytest.fixture(params=["database", "api"])
def where(request: pytest.FixtureRequest, settings: Settings) -> Iterator[list[str]]:
    """Options that say where the catalogue is."""
    if request.param == "database":
        yield on_database(settings)
        return
    with served(settings) as running:
        yield ["--api-url", running.site.origin]


def on_database(settings: Settings) -> list[str]:
    return [
        "--db-host",
        settings.db_host,
        "--db-port",
        str(settings.database.port),
        "--db-name",
        settings.database.name,
    ]


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with database.connect(settings, "postgres") as connection:
        yield connection


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["history", *arguments], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 0, result.output
    return result


def listed(where: list[str], *subject: str) -> list[dict[str, Any]]:
    return list(json.loads(run("show", *subject, *where, "--json").stdout))


def test_versions_are_listed_with_who_and_what(where: list[str]) -> None:
    lines = run("show", *HERE, *where).stdout.splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == ["Version", "When (UTC)", "Who", "What"]
    assert re.fullmatch(r"\s*\d{8}T\d{6}\.\d{6}Z\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s+ann \(job job-7\)\s.*", lines[1])
    assert lines[1].split("job-7)")[1].strip() in {"properties.n, -assets.blue", "-assets.blue, properties.n"}
    assert "postgres" in lines[2]
    assert {"+properties.n", "assets.red.href", "+assets.blue"} == set(
        lines[2].split("postgres")[1].strip().split(", ")
    )
    assert lines[3].split()[-1] == "first"
    assert "before Almagest" in lines[3]


def test_json_has_all_of_it(where: list[str]) -> None:
    latest, _, first = listed(where, *HERE)
    assert (latest["actor"], latest["job"], latest["valid_to"], latest["deleted"]) == ("ann", "job-7", None, False)
    assert set(latest["changed"]) == {"properties.n", "-assets.blue"}
    assert first["changed"] == ["first"]


def test_only_the_latest_where_there_are_many(where: list[str]) -> None:
    result = run("show", *HERE, *where, "--limit", "1")
    assert len(result.stdout.splitlines()) == 2
    assert "properties.n" in result.stdout
    assert "2 older ones" in result.stderr


def test_a_difference_has_the_old_and_the_new_value(where: list[str]) -> None:
    lines = set(run("diff", *HERE, *where).stdout.splitlines())
    assert lines == {
        "replace /properties/n  10  20",
        'remove  /assets/blue  {"href": "https://a.org/blue.tif"}',
    }
    *_, first = listed(where, *HERE)
    lines = set(run("diff", *HERE, *where, "--from", first["version"]).stdout.splitlines())
    assert lines == {
        "add     /properties/n  20",
        'replace /assets/red/href  "https://a.org/1.tif"  "https://a.org/other.tif"',
    }
    patch = json.loads(
        run("diff", *HERE, *where, "--from", first["version"], "--to", first["version"], "--json").stdout
    )
    assert patch == []


def test_what_was_comes_back_as_a_new_version(where: list[str], connection: psycopg.Connection) -> None:
    *_, first = listed(where, *HERE)
    done = json.loads(run("restore", *HERE, *where, "--version", first["version"], "--json").stdout)
    assert done["outcome"] == "updated"
    assert versions.documents(connection, *HERE)[-1] == item(WHOLE, 1)
    assert listed(where, *HERE)[0]["version"] == done["version"]
    again = json.loads(run("restore", *HERE, *where, "--version", first["version"], "--json").stdout)
    assert again == {"outcome": "unchanged", "version": done["version"]}
    connection.execute("DELETE FROM pgstac.items WHERE id = 'i1' AND collection = 'whole'")
    assert listed(where, *HERE)[0]["changed"] == ["deleted"]
    assert "it is again what it was" in run("restore", *HERE, *where, "--version", first["version"]).stderr
    assert versions.documents(connection, *HERE)[-1] == item(WHOLE, 1)
    assert listed(where, *HERE)[0]["changed"] == ["back"]


def test_collections_have_a_history_too(where: list[str], connection: psycopg.Connection) -> None:
    document = {**collection(WHOLE), "description": "other"}
    connection.execute("SELECT almagest.put_collection(%s::jsonb)", (orjson.dumps(document).decode(),))
    latest, first = listed(where, WHOLE)
    assert latest["changed"] == ["description"]
    assert run("diff", WHOLE, *where).stdout == 'replace /description  "d"  "other"\n'
    run("restore", WHOLE, *where, "--version", first["version"])
    assert connection.execute("SELECT almagest.port_collection('whole')").fetchone() == (collection(WHOLE),)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", WHOLE, "never"], "never"),
        (["show", "nowhere"], "nowhere"),
        (["diff", *HERE, "--from", "yesterday"], "no version 'yesterday'"),
        (["restore", *HERE, "--version", "20200101T000000.000000Z"], "no version '20200101T000000.000000Z'"),
    ],
)
def test_what_there_is_not_is_said(where: list[str], arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["history", *arguments, *where])
    assert result.exit_code == 1
    assert sentence in str(result.exception)


def test_an_item_of_a_collection_that_is_gone_needs_the_collection_first(
    settings: Settings, connection: psycopg.Connection
) -> None:
    here = on_database(settings)
    *_, first = listed(here, *HERE)
    *_, first_collection = listed(here, WHOLE)
    connection.execute("SELECT almagest.delete_collection('whole')")
    refused = CliRunner().invoke(app, ["history", "restore", *HERE, *here, "--version", first["version"]])
    assert "Restore the collection first" in str(refused.exception)
    run("restore", WHOLE, *here, "--version", first_collection["version"])
    run("restore", *HERE, *here, "--version", first["version"])
    assert versions.documents(connection, *HERE)[-1] == item(WHOLE, 1)
    assert versions.at(connection, *HERE, moment_of(first["version"])) == item(WHOLE, 1)


def test_former_versions_are_forgotten(settings: Settings, connection: psycopg.Connection) -> None:
    here = [*on_database(settings), "--db-user", "postgres"]
    assert json.loads(run("prune", "--keep-versions", "2", "--dry-run", "--json", *here).stdout)["items"] == 1
    assert len(listed(here, *HERE)) == 3
    assert "1 former states of items" in run("prune", "--keep-versions", "2", *here).stderr
    assert len(listed(here, *HERE)) == 2
    refused = CliRunner().invoke(app, ["history", "prune", *here])
    assert "Say what is kept" in str(refused.exception)
    others = [*on_database(settings), "--db-user", "almagest_writer"]
    refused = CliRunner().invoke(app, ["history", "prune", "--keep-days", "0", *others])
    assert "permission denied" in str(refused.exception)
    assert len(listed(here, *HERE)) == 2
