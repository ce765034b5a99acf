"""``almagest history``, on a database and over an API."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from typer.testing import CliRunner, Result

from almagest.catalogue import database
from almagest.catalogue.versions import moment_of, version_of
from almagest.cli.commands import app
from almagest.client import results
from almagest.client.history import RemoteHistory
from almagest.client.http import Http
from almagest.core.errors import NotFoundError, PreconditionFailedError
from almagest.core.settings import Settings
from support import adopted, versions
from support.adopted import MONTHLY, WHOLE, collection, item
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
    assert re.split(r"\s{2,}", lines[0].strip()) == ["Version", "When (UTC)", "Who", "Login", "What"]
    assert re.fullmatch(r"\s*\d{8}T\d{6}\.\d{6}Z\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s+ann \(job job-7\)\s.*", lines[1])
    assert lines[1].split("job-7)")[1].split("postgres")[1].strip() in {
        "properties.n, -assets.blue",
        "-assets.blue, properties.n",
    }
    assert "postgres" in lines[2]
    assert {"+properties.n", "assets.red.href", "+assets.blue"} == set(
        lines[2].split("postgres")[1].strip().split(", ")
    )
    assert lines[3].split()[-1] == "first"
    assert "before Almagest" in lines[3]


def test_over_an_api_that_tells_of_nobody_that_is_said(settings: Settings) -> None:
    with served(settings, "external") as running:
        text = run("show", *HERE, "--api-url", f"{running.site.origin}/external").stdout
    assert "not told" in text
    assert "before Almagest" not in text


@pytest.mark.parametrize("name", ["h3/items/a", "..", "."])
def test_ids_that_lead_to_another_address_are_refused(name: str) -> None:
    for arguments in ([name], ["c", name]):
        result = CliRunner().invoke(app, ["history", "show", *arguments, "--api-url", "http://127.0.0.1:9"])
        assert "cannot stand in an address" in str(result.exception), result.output


def test_json_has_all_of_it(where: list[str]) -> None:
    latest, _, first = listed(where, *HERE)
    assert (latest["actor"], latest["job"], latest["valid_to"], latest["deleted"]) == ("ann", "job-7", None, False)
    assert set(latest["changed"]) == {"properties.n", "-assets.blue"}
    assert first["changed"] == ["first"]


def test_a_version_that_is_no_document_hides_no_other(where: list[str], connection: psycopg.Connection) -> None:
    connection.execute("UPDATE pgstac.items SET content = '[1]' WHERE id = 'i1' AND collection = 'whole'")
    latest, before, *_ = listed(where, *HERE)
    assert latest["changed"] == ["unreadable"]
    assert set(before["changed"]) == {"properties.n", "-assets.blue"}


@pytest.mark.parametrize("option", ["--keep-days", "--keep-versions"])
def test_numbers_that_nobody_can_count_to_are_refused(settings: Settings, option: str) -> None:
    arguments = ["history", "prune", option, "99999999999999", "--dry-run", *on_database(settings)]
    assert CliRunner().invoke(app, arguments).exit_code == 2


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


def test_a_collection_that_comes_back_divides_its_items_as_before(
    where: list[str], settings: Settings, connection: psycopg.Connection
) -> None:
    *_, first = listed(where, MONTHLY)
    connection.execute("SELECT almagest.delete_collection('monthly')")
    run("restore", MONTHLY, *where, "--version", first["version"])
    divided = "SELECT partition_trunc FROM pgstac.collections WHERE id = 'monthly'"
    assert connection.execute(divided).fetchone() == ("month",)
    adopted.load(settings, [item(MONTHLY, 1), item(MONTHLY, 2)])
    (partitions,) = connection.execute(
        "SELECT count(DISTINCT tableoid) FROM pgstac.items WHERE collection = 'monthly'"
    ).fetchone() or (0,)
    assert partitions == 2


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


# Over an API alone.


class Between(httpx.HTTPTransport):
    """Does something before a request that changes something is sent, once."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work: Callable[[], object] | None = work

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET" and self._work:
            work, self._work = self._work, None
            work()
        return super().handle_request(request)


class Lossy(httpx.HTTPTransport):
    """Loses the first answer to a request that changes something."""

    has_lost = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.method != "GET" and not self.has_lost:
            self.has_lost = True
            response.close()
            raise httpx.ReadError("lost")
        return response


def speaking(running: Settings, transport: httpx.BaseTransport | None = None) -> Http:
    return Http(running.site.origin, transport=transport, rest=lambda _: None)


@pytest.mark.parametrize("of", [{"version": "7", "deprecated": True}, {"deprecated": True}, {"version": "now"}, {}])
def test_what_a_producer_says_of_versions_comes_back_as_it_was(
    settings: Settings, connection: psycopg.Connection, of: dict[str, Any]
) -> None:
    own = {"rel": "predecessor-version", "href": "https://a.org/older.json"}
    of_item = {**item(WHOLE, 5, **of), "links": [own]}
    of_collection = {**collection("new"), **of, "links": [own]}
    connection.execute("SELECT almagest.put_collection(%s::jsonb)", (orjson.dumps(of_collection).decode(),))
    connection.execute("SELECT almagest.put_item(%s::jsonb)", (orjson.dumps(of_item).decode(),))
    with served(settings) as running, speaking(running) as http:
        for subject, document in (((WHOLE, "i5"), of_item), (("new",), of_collection)):
            history = RemoteHistory(http, *subject)
            (state,) = history.states()
            found = history.at(state)
            assert json.dumps(found, sort_keys=True) == json.dumps(document, sort_keys=True)


@pytest.mark.parametrize("is_gone", [False, True])
def test_what_somebody_else_makes_in_between_is_not_lost(
    settings: Settings, connection: psycopg.Connection, is_gone: bool
) -> None:
    theirs = orjson.dumps(item(WHOLE, 1, n=99)).decode()
    *_, first = versions.states(connection, *HERE)[:1]
    if is_gone:
        connection.execute("SELECT almagest.delete_item(%s, %s)", HERE)
    between = Between(lambda: connection.execute("SELECT almagest.put_item(%s::jsonb)", (theirs,)))
    with served(settings) as running, speaking(running, between) as http:
        history = RemoteHistory(http, *HERE)
        with pytest.raises(PreconditionFailedError, match=r"has changed|is there"):
            history.restore(version_of(first.valid_from))
    assert versions.documents(connection, *HERE)[-1] == item(WHOLE, 1, n=99)


def test_an_answer_that_is_lost_is_no_failure(settings: Settings, connection: psycopg.Connection) -> None:
    first, *_ = versions.states(connection, *HERE)
    with served(settings) as running:
        with speaking(running, Lossy()) as http:
            outcome, made = RemoteHistory(http, *HERE).restore(version_of(first.valid_from))
        states = versions.states(connection, *HERE)
        assert (outcome, made) == ("updated", version_of(states[-1].valid_from))
        assert len(states) == 4
        with speaking(running, Lossy()) as http:
            results.remove(http, *HERE, "red")
        with speaking(running) as http, pytest.raises(NotFoundError):
            results.remove(http, *HERE, "red")
    last = versions.documents(connection, *HERE)[-1]
    assert last is not None
    assert last["assets"] == {}
