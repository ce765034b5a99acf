"""Lineage over HTTP, for both audiences, as JSON and as PROV; and what is out of date."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import prov.model
import pytest

from almagest.catalogue import audience, database, lineage, pruning
from almagest.core.settings import Settings
from conftest import stac_client
from support import commands, ingests
from support.serving import served

Document = dict[str, Any]
Get = Callable[..., httpx.Response]

JOB = "0199a000-0000-7000-8000-000000000001"


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    with database.connect(settings, "postgres") as connection:
        audience.apply(settings, connection)
        audience.set_collections(connection, "hidden", "internal")
        audience.set_collections(connection, "scenes", "public")
        audience.set_collections(connection, "products", "public")
    with stac_client(settings) as client:
        for collection in ("scenes", "hidden", "products"):
            assert client.post("/api/collections", json=ingests.collection(collection)).status_code == 201
        yield client


@pytest.fixture
def outside(settings: Settings, api: httpx.Client) -> Iterator[httpx.Client]:
    with stac_client(settings, "external") as client:
        yield client


def put(api: httpx.Client, settings: Settings, of: str, name: str, *sources: str, pin: bool = True, **more: Any) -> str:
    """Writes an item that is derived from others; answers its version."""
    links = []
    for source in sources:
        link = {"rel": "derived_from", "href": source}
        if not source.startswith("https://else"):
            link["href"] = f"{settings.site.origin}/api/collections/{quote(source.replace('/', '/items/'))}"
            if pin:
                link["almagest:version"] = version(api, source)
        links.append(link)
    document = ingests.item(collection=of, id=name, links=links)
    document["properties"] |= {"title": f"The {name}", **more}
    path = f"/api/collections/{of}/items"
    there = api.get(f"{path}/{name}").status_code == 200
    answer = api.put(f"{path}/{name}", json=document) if there else api.post(path, json=document)
    assert answer.is_success, answer.text
    return version(api, f"{of}/{name}")


def version(api: httpx.Client, item: str) -> str:
    of, name = item.split("/")
    return str(api.get(f"/api/collections/{of}/items/{name}/versions").json()["versions"][0]["version"])


def read(client: httpx.Client, item: str, **parameters: Any) -> Document:
    of, name = item.split("/")
    prefix = "/api" if client.headers.get("x-scopes") else "/external"
    answer = client.get(f"{prefix}/collections/{of}/items/{name}/lineage", params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ids(told: Document) -> list[str]:
    return [node.get("href") or node["id"] for node in told["nodes"]]


def test_what_something_was_made_of_and_what_was_made_of_it(
    api: httpx.Client, outside: httpx.Client, settings: Settings
) -> None:
    first = put(api, settings, "scenes", "s")
    put(api, settings, "products", "p", "scenes/s", "https://elsewhere.example.org/x")
    put(api, settings, "products", "q", "products/p", pin=False)
    second = put(api, settings, "scenes", "s", eo=1)
    told = read(api, "products/q")
    assert ids(told) == ["q", "p", "s", "https://elsewhere.example.org/x"]
    assert told["edges"] == [
        {"derived": 0, "source": 1, "pinned": False},
        {"derived": 1, "source": 2, "pinned": True},
        {"derived": 1, "source": 3, "pinned": False},
    ]
    assert told["cut"] == []
    scene = told["nodes"][2]
    assert (scene["version"], scene["latest"], scene["deleted"], scene["known"]) == (first, False, False, True)
    assert (scene["collection"], scene["title"], scene["login"]) == ("scenes", "The s", "almagest_writer")
    (link,) = (link for link in scene["links"] if link["rel"] == "item")
    assert api.get(link["href"]).json()["properties"]["version"] == first
    assert ids(read(api, "scenes/s", direction="down")) == ["s"]
    assert ids(read(api, "scenes/s", direction="down", version=first)) == ["s", "p", "q"]
    assert ids(read(api, "scenes/s", direction="down", version=first, depth=1)) == ["s", "p"]
    assert read(api, "scenes/s", direction="down", version=first, depth=1)["cut"] == ["depth"]
    assert read(api, "scenes/s", direction="down", version=first, limit=2)["cut"] == ["nodes"]
    seen = read(outside, "products/q")
    assert ids(seen) == ["q", "p", "s", "https://elsewhere.example.org/x"]
    assert not any({"login", "job", "actor", "key_id"} & set(node) for node in seen["nodes"])
    # Which version was used is a hidden member of the link: outside it is the one that was there when p was made.
    assert (seen["nodes"][2]["version"], seen["edges"][1]["pinned"]) == (first, False)
    assert second != first


def test_a_hidden_one_in_the_middle_ends_the_path_and_counts_for_nothing(
    api: httpx.Client, outside: httpx.Client, settings: Settings
) -> None:
    put(api, settings, "scenes", "a")
    for number in range(3):
        put(api, settings, "hidden", f"h{number}", "scenes/a")
    put(api, settings, "products", "b", "hidden/h0")
    put(api, settings, "products", "z", "scenes/a")
    assert ids(read(api, "scenes/a", direction="down")) == ["a", "h0", "h1", "h2", "z", "b"]
    assert ids(read(api, "products/b")) == ["b", "h0", "a"]
    assert ids(read(outside, "products/b")) == ["b"]
    for limit in (2, 100):
        seen = read(outside, "scenes/a", direction="down", limit=limit, depth=1)
        assert ids(seen) == ["a", "z"]
        assert seen["cut"] == []
    assert outside.get("/external/collections/hidden/items/h0/lineage").status_code == 404


def test_what_is_gone_or_never_was(api: httpx.Client, outside: httpx.Client, settings: Settings) -> None:
    put(api, settings, "scenes", "s")
    was = put(api, settings, "products", "p", "scenes/s")
    api.delete("/api/collections/scenes/items/s")
    for client, prefix in ((api, "/api"), (outside, "/external")):
        assert client.get(f"{prefix}/collections/scenes/items/s/lineage").status_code == 410
        assert client.get(f"{prefix}/collections/scenes/items/no/lineage").status_code == 404
        nowhere = client.get(f"{prefix}/collections/products/items/p/lineage?version=20200101T000000.000000Z")
        assert nowhere.status_code == 404
        (scene,) = (node for node in read(client, "products/p")["nodes"] if node["id"] == "s")
        assert (scene["latest"], scene["deleted"], scene["known"]) == (False, True, True)
        for bad in ("direction=left", "depth=0", "depth=101", "limit=0", "limit=2001", "f=xml"):
            assert client.get(f"{prefix}/collections/products/items/p/lineage?{bad}").status_code == 400
    with database.connect(settings, "postgres") as connection:
        pruning.prune(connection, days=0)
        assert connection.execute("SELECT count(*) FROM almagest.lineage_edge").fetchone() == (1,)
    (scene,) = (node for node in read(api, "products/p")["nodes"] if node["id"] == "s")
    assert scene["known"] is False
    assert read(api, "products/p")["nodes"][0]["version"] == was


def test_as_prov_it_is_read_by_others(api: httpx.Client, outside: httpx.Client, settings: Settings) -> None:
    put(api, settings, "scenes", "s 1")
    with database.connect(settings, "postgres") as connection:
        connection.execute("SELECT almagest.put_item(%s::jsonb)", (json.dumps(ingests.item(id="t")),))
    put(
        api,
        settings,
        "products",
        "p",
        "scenes/s 1",
        "https://elsewhere.example.org/x",
        **{"processing:software": {"almagest/chips": "1.2"}},
    )
    with database.connect(settings, "postgres") as connection:
        connection.execute("UPDATE almagest.item_head SET job = %s, actor = 'ana' WHERE id = 'p'", (JOB,))
    path = "collections/products/items/p/lineage"
    asked = api.get(f"/api/{path}", headers={"accept": "application/prov+json"})
    assert asked.headers["content-type"] == "application/prov+json"
    assert asked.headers["vary"] == "Accept"
    assert asked.content == api.get(f"/api/{path}?f=prov").content
    assert api.get(f"/api/{path}?f=prov", headers={"if-none-match": asked.headers["etag"]}).status_code == 304
    found = prov.model.ProvDocument.deserialize(content=asked.text, format="json")
    kinds = {kind: list(found.get_records(kind)) for kind in (prov.model.ProvEntity, prov.model.ProvActivity)}
    permalinks = {record.identifier.uri for record in kinds[prov.model.ProvEntity]}
    of_p = next(uri for uri in permalinks if "products/items/p/versions/" in uri)
    assert api.get(of_p).status_code == 200
    assert len(permalinks) == 3
    (job,) = kinds[prov.model.ProvActivity]
    assert job.identifier.uri == f"{settings.site.origin}/ops/jobs/{JOB}"
    (made,) = found.get_records(prov.model.ProvGeneration)
    assert made.args[0].uri == of_p
    assert len(list(found.get_records(prov.model.ProvUsage))) == 2
    assert len(list(found.get_records(prov.model.ProvDerivation))) == 2
    agents = {str(record.identifier) for record in found.get_records(prov.model.ProvAgent)}
    assert {"software:almagest%2Fchips@1.2", "actor:ana"} <= agents
    assert found == prov.model.ProvDocument.deserialize(content=found.serialize(format="json"), format="json")
    seen = outside.get(f"/external/{path}?f=prov")
    assert "ana" not in seen.text
    assert JOB not in seen.text
    found = prov.model.ProvDocument.deserialize(content=seen.text, format="json")
    assert not list(found.get_records(prov.model.ProvActivity))
    assert len(list(found.get_records(prov.model.ProvDerivation))) == 2


def test_what_is_out_of_date(api: httpx.Client, settings: Settings) -> None:
    used = put(api, settings, "scenes", "s")
    put(api, settings, "scenes", "t")
    put(api, settings, "products", "fresh", "scenes/t")
    was = put(api, settings, "products", "old", "scenes/s", "scenes/t")
    put(api, settings, "hidden", "older", "scenes/s", pin=False)
    assert api.get("/api/stale").json()["products"] == []
    newest = put(api, settings, "scenes", "s", eo=1)
    run = commands.runner(settings, "stale")
    for _ in range(2):  # as it comes, and folded
        found = api.get("/api/stale").json()
        assert [(item["collection"], item["id"]) for item in found["products"]] == [
            ("hidden", "older"),
            ("products", "old"),
        ]
        (item,) = api.get("/api/stale?collection=products").json()["products"]
        assert item["version"] == was
        assert item["sources"] == [
            {"collection": "scenes", "id": "s", "version": used, "newest": newest, "pinned": True}
        ]
        first = api.get("/api/stale?limit=1").json()
        (link,) = (link for link in first["links"] if link["rel"] == "next")
        assert [item["id"] for item in api.get(link["href"]).json()["products"]] == ["old"]
        with database.connect(settings, "postgres") as connection:
            lineage.fold(connection)
    assert api.get("/api/stale?after=x").status_code == 400
    api.delete("/api/collections/scenes/items/t")
    found = api.get("/api/stale?collection=products").json()
    assert [item["id"] for item in found["products"]] == ["fresh", "old"]
    assert found["products"][0]["sources"][0]["newest"] is None
    told = json.loads(run("--json").stdout)
    assert [item["id"] for item in told] == ["older", "fresh", "old"]
    with served(settings) as remote:
        assert (
            json.loads(run("--json", "--api-url", f"{remote.site.origin}/api").stdout) == []
        )  # it is another origin's
        found = json.loads(run("--json", "--api-url", f"{remote.site.origin}/api", "--collection", "no").stdout)
        assert found == []
    told = run("--collection", "products").stdout
    assert "products/fresh" in told
    assert "was deleted" in told
    put(api, settings, "products", "old", "scenes/s")
    api.delete("/api/collections/products/items/fresh")
    assert api.get("/api/stale?collection=products").json()["products"] == []


def test_an_api_tells_what_is_out_of_date(api: httpx.Client, settings: Settings) -> None:
    used = put(api, settings, "scenes", "s")
    # An address without a host is of this site, wherever that is.
    link = {"rel": "derived_from", "href": "/api/collections/scenes/items/s"}
    made = ingests.item(collection="products", id="p", links=[link])
    assert api.post("/api/collections/products/items", json=made).status_code == 201
    newest = put(api, settings, "scenes", "s", eo=1)
    run = commands.runner(settings, "stale")
    with served(settings) as remote:
        (found,) = json.loads(run("--json", "--api-url", f"{remote.site.origin}/api").stdout)
    assert found == json.loads(run("--json").stdout)[0]
    assert found["sources"] == [{"collection": "scenes", "id": "s", "version": used, "newest": newest, "pinned": False}]
