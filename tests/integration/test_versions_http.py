"""Versions over HTTP: entity tags and conditions, lists, documents, differences and restoring, for both audiences."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
import jsonpatch
import orjson
import pystac
import pytest
from pystac.extensions.version import VersionExtension

from almagest.catalogue import audience, database, exporting, pruning
from almagest.catalogue.versions import moment_of, version_of
from almagest.core.processes import Audience
from almagest.core.settings import Settings
from conftest import TEMPLATE, stac_client
from support import ingests
from support.cluster import Cluster

Document = dict[str, Any]

COLLECTION = "/collections/scenes"
ITEM = f"{COLLECTION}/items/i000000"
OURS = {"predecessor-version", "successor-version", "latest-version", "version-history"}
WHO = {"actor", "login", "key_id", "request_id", "job"}

#: pystac says so of what is read as a former version.
DEPRECATED = pytest.mark.filterwarnings("ignore::pystac.errors.DeprecatedWarning")

#: The same thing, as clients of each audience ask for it.
Ask = Callable[..., httpx.Response]


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    """The internal API, with a collection and an item of one version each."""
    with stac_client(settings) as client:
        assert client.post("/api/collections", json=ingests.collection()).status_code == 201
        assert client.post(f"/api{COLLECTION}/items", json=ingests.item()).status_code == 201
        yield client


@pytest.fixture
def outside(settings: Settings, api: httpx.Client) -> Iterator[httpx.Client]:
    with stac_client(settings, "external") as client:
        yield client


@pytest.fixture(params=["internal", "external"])
def get(request: pytest.FixtureRequest) -> Ask:
    prefix = {"internal": "/api", "external": "/external"}[request.param]
    client = request.getfixturevalue("api" if request.param == "internal" else "outside")
    return lambda path, method="GET", **options: client.request(method, prefix + path, **options)


def changed(number: int, **changes: Any) -> Document:
    """The item with something else in it."""
    document = ingests.item(**changes)
    document["properties"] = {**document["properties"], "number": number}
    return document


def put(api: httpx.Client, document: Document, **headers: str) -> httpx.Response:
    return api.put(f"/api{ITEM}", json=document, headers=headers)


def versions(answer: httpx.Response) -> list[str]:
    """Ids of what a list shows and was not a deletion, the latest first."""
    assert answer.status_code == 200, answer.text
    return [each["version"] for each in answer.json()["versions"] if not each["deleted"]]


def begin(state: Document) -> str:
    """What a state would be called if it were a version."""
    return version_of(datetime.fromisoformat(state["valid_from"]))


def bare(document: Document) -> Document:
    """A document without the links that are made on the way out."""
    made = OURS | {"self", "parent", "root", "collection", "items"}
    links = [link for link in document["links"] if link["rel"] not in made and "queryables" not in link["rel"]]
    return {**document, "links": links}


# Entity tags.


@pytest.mark.parametrize("path", [COLLECTION, ITEM])
def test_a_client_that_has_it_already_is_told_so(get: Ask, path: str) -> None:
    found = get(path)
    tag = found.headers["etag"]
    assert tag.startswith('"')
    assert get(path).headers["etag"] == tag
    for named in (tag, f"W/{tag}", f'"other", {tag}', f', "other",, {tag},', f'W/"other" ,\tW/{tag}', "*"):
        answer = get(path, headers={"If-None-Match": named})
        assert (answer.status_code, answer.content) == (304, b""), named
        assert answer.headers["etag"] == tag
    for named in ('"other"', 'W/"other"', tag.upper(), '""', ""):
        assert get(path, headers={"If-None-Match": named}).json() == found.json()
    assert get(path, headers=[("If-None-Match", '"other"'), ("If-None-Match", tag)]).status_code == 304


@pytest.mark.parametrize("garbage", ["other", "'other'", '"other', 'w/"other"', '"a" "b"', "* *", '"a",,"b"x', "W/*"])
@pytest.mark.parametrize("path", [COLLECTION, ITEM])
def test_what_is_no_tag_is_refused_where_something_is_written(api: httpx.Client, path: str, garbage: str) -> None:
    assert api.get(f"/api{path}", headers={"If-None-Match": garbage}).status_code == 200
    document = api.get(f"/api{path}").json()
    for method in ("PUT", "PATCH", "DELETE"):
        answer = api.request(method, f"/api{path}", json=document, headers={"If-Match": garbage})
        assert answer.status_code == 400, method
        assert "If-Match" in answer.json()["detail"]


def test_the_tag_is_that_of_what_is_stored(api: httpx.Client) -> None:
    first = api.get(f"/api{ITEM}").headers["etag"]
    written = put(api, changed(1))
    assert written.headers["etag"] == api.get(f"/api{ITEM}").headers["etag"] != first
    patched = api.patch(f"/api{ITEM}", json={"properties": {"number": 0}})
    assert patched.headers["etag"] == first
    made = api.post(f"/api{COLLECTION}/items", json=ingests.item(7))
    assert made.headers["etag"] == api.get(f"/api{COLLECTION}/items/i000007").headers["etag"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", [COLLECTION, ITEM])
def test_a_change_of_what_was_read_is_made_and_of_another_is_not(api: httpx.Client, path: str, method: str) -> None:
    found = api.get(f"/api{path}")
    tag = found.headers["etag"]
    document = {**found.json(), "stac_extensions": ["https://example.org/other.json"]}

    def ask(*named: str, at: str = path) -> int:
        headers = [("If-Match", each) for each in named]
        body = {**document, "id": at.rpartition("/")[2], "collection": at.split("/")[2]}
        return api.request(method, f"/api{at}", json=body, headers=headers).status_code

    for other in ('"other"', 'W/"other"', '"a", "b"', '""', '"a",,"b"'):
        assert ask(other) == 412, other
    assert ask("") == ask(" , ") == 400
    assert api.get(f"/api{path}").headers["etag"] == tag
    # The others are asked again with what they have made of it.
    for number, named in enumerate((tag, "W/{}", '"other", {}', ', {},,"other",', "*")):
        now = api.get(f"/api{path}").headers["etag"]
        document["stac_extensions"] = [f"https://example.org/{number}.json"]
        assert ask(named.format(now)) == (204 if method == "DELETE" else 200), named
        if method == "DELETE":
            break
    else:
        assert ask(tag) == 412
    missing = path.replace("scenes", "none")
    assert ask("*", at=missing) == ask(tag, at=missing) == 412
    answer = api.patch(f"/api{missing}", json={}, headers={"If-Match": "*"})
    assert answer.json()["detail"].startswith("There is nothing here")
    assert ask(at=missing) == 404


def test_head_tells_what_get_tells(get: Ask) -> None:
    (version,) = versions(get(f"{ITEM}/versions"))
    for path in (COLLECTION, ITEM, f"{ITEM}/versions", f"{ITEM}/versions/{version}"):
        found, told = get(path), get(path, method="HEAD")
        for answer in (found, told):
            del answer.headers["x-request-id"]
        assert (told.status_code, told.headers) == (200, found.headers), path
        if tag := found.headers.get("etag"):
            assert get(path, method="HEAD", headers={"If-None-Match": tag}).status_code == 304


def test_two_headers_are_one_list(api: httpx.Client) -> None:
    tag = api.get(f"/api{ITEM}").headers["etag"]
    answer = api.put(f"/api{ITEM}", json=changed(1), headers=[("If-Match", '"other"'), ("If-Match", tag)])
    assert answer.status_code == 200


def test_where_it_is_required_a_change_must_say_what_it_changes(cluster: Cluster) -> None:
    with cluster.clone(TEMPLATE) as name, stac_client(cluster.settings(name, require_if_match=True)) as api:
        # What is new changes nothing.
        assert api.post("/api/collections", json=ingests.collection()).status_code == 201
        assert api.post(f"/api{COLLECTION}/items", json=ingests.item()).status_code == 201
        version = versions(api.get(f"/api{ITEM}/versions"))[0]
        of_collection = versions(api.get(f"/api{COLLECTION}/versions"))[0]
        for path, what in ((ITEM, version), (COLLECTION, of_collection)):
            found = api.get(f"/api{path}")
            asked = (("PUT", path), ("PATCH", path), ("POST", f"{path}/versions/{what}/restore"), ("DELETE", path))
            for method, at in asked:
                body = found.json() if method == "PUT" else {}
                answer = api.request(method, f"/api{at}", json=body)
                assert answer.status_code == 428, (method, at)
                assert "If-Match" in answer.json()["detail"]
                answer = api.request(method, f"/api{at}", json=body, headers={"If-Match": found.headers["etag"]})
                assert answer.status_code in {200, 204}, answer.text
        # Of many at once nobody can say what they are: those that are there stay as they are.
        api.post("/api/collections", json=ingests.collection())
        api.post(f"/api{COLLECTION}/items", json=ingests.item())
        same, other, new = ingests.item(), changed(1), ingests.item(2)
        for documents, status in (((same, new), 200), ((other, ingests.item(3)), 428)):
            items = {document["id"]: document for document in documents}
            answer = api.post(f"/api{COLLECTION}/bulk_items", json={"method": "upsert", "items": items})
            assert answer.status_code == status, answer.text
        assert "1 of these items" in answer.json()["detail"]
        assert bare(api.get(f"/api{ITEM}").json()) == same
        assert api.get(f"/api{COLLECTION}/items/i000003").status_code == 404
        assert api.delete(f"/api{COLLECTION}", headers={"If-Match": "*"}).status_code == 204
        # Nothing is there that could be changed unseen.
        assert api.delete(f"/api{ITEM}").status_code == 410


# Lists and documents.


def test_versions_are_listed_page_by_page_the_latest_first(get: Ask, api: httpx.Client) -> None:
    for number in range(1, 7):
        put(api, changed(number))
    listed = get(f"{ITEM}/versions").json()
    assert [link["rel"] for link in listed["links"]] == ["self", "root", "parent"]
    whole = listed["versions"]
    assert len(whole) == 7
    assert whole[0]["valid_to"] is None
    for newer, older in pairwise(whole):
        assert older["valid_to"] == newer["valid_from"] > older["valid_from"]
    walked: list[Document] = []
    page = get(f"{ITEM}/versions", params={"limit": 3})
    while True:
        assert page.status_code == 200
        walked += page.json()["versions"]
        following = [link["href"] for link in page.json()["links"] if link["rel"] == "next"]
        if not following:
            break
        assert len(page.json()["versions"]) == 3
        page = get(ITEM + following[0].partition("i000000")[2])
    assert walked == whole
    assert get(f"{ITEM}/versions", params={"before": whole[-1]["version"]}).json()["versions"] == []
    assert [get(f"{ITEM}/versions", params={"limit": limit}).status_code for limit in (0, -1, 1001, "x")] == [400] * 4
    for none in ("", "x", "20240101T000000Z", whole[0]["version"].lower()):
        assert get(f"{ITEM}/versions", params={"before": none}).status_code == 404, none


@DEPRECATED
def test_each_version_is_answered_as_it_was(get: Ask, api: httpx.Client) -> None:
    expected = [ingests.item(), changed(1), changed(2, assets={})]
    for document in expected[1:]:
        put(api, document)
    ids = versions(get(f"{ITEM}/versions"))[::-1]
    assert len(ids) == 3
    for number, (version, document) in enumerate(zip(ids, expected, strict=True)):
        answer = get(f"{ITEM}/versions/{version}")
        found = answer.json()
        properties = {**document["properties"], "version": version, "deprecated": number < 2}
        assert found["stac_extensions"] == ["https://stac-extensions.github.io/version/v1.2.0/schema.json"]
        assert bare(found) == {**document, "properties": properties, "stac_extensions": found["stac_extensions"]}
        links = {link["rel"]: link["href"].rpartition("/")[2] for link in found["links"]}
        around = {"predecessor-version": number - 1, "successor-version": number + 1}
        assert {rel: links[rel] for rel in around if rel in links} == {
            rel: ids[n] for rel, n in around.items() if 0 <= n < 3
        }
        assert links["latest-version"] == "i000000"
        assert links["version-history"] == "versions"
        assert links["self"] == version
        # What is past does not change but for its links.
        assert get(f"{ITEM}/versions/{version}", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
        item = pystac.Item.from_dict(found)
        assert VersionExtension.ext(item).version == version
        assert VersionExtension.ext(item).deprecated is (number < 2)
    assert get(f"{ITEM}/versions/2001{ids[0][4:]}").status_code == 404
    assert get(f"{ITEM}/versions/none").status_code == 404
    assert get(f"{COLLECTION}/items/none/versions").status_code == 404
    assert get("/collections/none/versions").status_code == 404


def test_a_version_has_another_tag_only_where_it_tells_something_else(
    get: Ask, api: httpx.Client, settings: Settings
) -> None:
    def tag() -> str:
        answer = get(f"{ITEM}/versions/{version}")
        again = get(f"{ITEM}/versions/{version}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.headers["etag"]) == (304, answer.headers["etag"])
        return str(answer.headers["etag"])

    put(api, changed(1))
    version, older = versions(get(f"{ITEM}/versions"))
    latest = tag()
    put(api, changed(2))
    deprecated = tag()
    assert deprecated != latest, "it says that it is deprecated, and names its successor"
    for number in (3, 4):
        put(api, changed(number))
        assert tag() == deprecated
    # Wherever the catalogue is read.
    moved = replace(settings, site=settings.site.model_copy(update={"public_url": "https://elsewhere.example"}))
    asked: Audience = "external" if "/external/" in get(ITEM).json()["links"][0]["href"] else "internal"
    with stac_client(moved, asked) as client:
        prefix = "/external" if asked == "external" else "/api"
        there = client.get(f"{prefix}{ITEM}/versions/{version}")
    assert "https://elsewhere.example" in there.text
    assert there.headers["etag"] == deprecated
    with database.connect(settings, "postgres") as connection:
        connection.execute("DELETE FROM almagest.item_history WHERE valid_from = %s", (moment_of(older),))
    assert tag() != deprecated, "it names no predecessor any more"


@pytest.mark.parametrize("own", [{}, {"version": "7", "deprecated": False}])
def test_a_version_is_read_as_it_was_stored(get: Ask, api: httpx.Client, own: Document) -> None:
    links = [{"rel": "latest-version", "href": "https://example.org/latest.json"}]
    document = ingests.item(links=links)
    document["properties"] |= own
    put(api, document)
    tag = get(ITEM).headers["etag"]
    of_collection = {**ingests.collection(links=links), **own}
    api.put(f"/api{COLLECTION}", json=of_collection)
    put(api, changed(1))
    api.patch(f"/api{COLLECTION}", json={"title": "T"})
    for path, expected in ((ITEM, document), (COLLECTION, of_collection)):
        _, version, *_ = versions(get(f"{path}/versions"))
        found = get(f"{path}/versions/{version}", params={"stored": "true"})
        assert found.json() == expected
    version = versions(get(f"{ITEM}/versions"))[1]
    assert get(f"{ITEM}/versions/{version}", params={"stored": "true"}).headers["etag"] == tag
    assert get(f"{ITEM}/versions/none", params={"stored": "true"}).status_code == 404


def test_a_document_and_its_past_are_of_one_moment(get: Ask, api: httpx.Client, settings: Settings) -> None:
    made: dict[str, int] = {}

    def write() -> None:
        with database.connect(settings, "postgres") as writer:
            for number in range(1, 150):
                text = orjson.dumps(changed(number)).decode()
                row = writer.execute("SELECT version FROM almagest.put_item(%s::jsonb)", (text,)).fetchone()
                made[version_of((row or ())[0])] = number

    made[versions(api.get(f"/api{ITEM}/versions"))[0]] = 0
    with ThreadPoolExecutor() as beside:
        writing, found = beside.submit(write), []
        while not writing.done():
            found.append(get(ITEM).json())
        writing.result()
    seen = set()
    for document in found:
        links = {link["rel"]: link["href"].rpartition("/")[2] for link in document["links"]}
        if number := document["properties"]["number"]:
            assert made[links["predecessor-version"]] == number - 1
            seen.add(number)
    assert len(seen) > 5


@DEPRECATED
def test_collections_have_versions_too(get: Ask, api: httpx.Client) -> None:
    first = ingests.collection()
    second = ingests.collection(title="Others", item_assets={"data": {"type": "image/png", "roles": ["data"]}})
    assert api.put(f"/api{COLLECTION}", json=second).status_code == 200
    new, old = versions(get(f"{COLLECTION}/versions"))
    for version, document in ((old, first), (new, second)):
        found = get(f"{COLLECTION}/versions/{version}").json()
        told = {"version": version, "deprecated": version == old, "stac_extensions": found["stac_extensions"]}
        assert bare(found) == {**document, **told}
        assert VersionExtension.ext(pystac.Collection.from_dict(found)).version == version
    (patch,) = (get(f"{COLLECTION}/versions/{old}/diff").json(),)
    assert jsonpatch.apply_patch(first, patch) == second


def test_what_a_producer_says_of_versions_is_left_alone(get: Ask, api: httpx.Client) -> None:
    own = {"rel": "predecessor-version", "href": "https://example.org/older.json", "type": "application/geo+json"}
    document = ingests.item(
        links=[own], stac_extensions=["https://stac-extensions.github.io/version/v1.0.0/schema.json"]
    )
    document["properties"] |= {"version": "7", "deprecated": False}
    put(api, document)
    put(api, changed(3))
    _, version, _ = versions(get(f"{ITEM}/versions"))
    found = get(f"{ITEM}/versions/{version}").json()
    assert found["properties"] == document["properties"]
    assert found["stac_extensions"] == document["stac_extensions"]
    assert own in found["links"]


def test_links_to_versions_stand_on_the_single_document_only(get: Ask, api: httpx.Client, settings: Settings) -> None:
    put(api, changed(1))
    api.patch(f"/api{COLLECTION}", json={"title": "T"})
    for path in (ITEM, COLLECTION):
        rels = {link["rel"] for link in get(path).json()["links"]}
        assert rels & OURS == OURS - {"successor-version"}
    for path in ("/search", f"{COLLECTION}/items", "/collections"):
        text = get(path).text
        assert not [rel for rel in OURS if rel in text], path
        assert '"version"' not in text
    exported = get("/search", headers={"Accept": "application/x-ndjson"}).text
    stored = orjson.dumps(list(_stored(settings))).decode()
    assert not [rel for rel in OURS if rel in exported + stored]
    assert orjson.loads(exported)["properties"] == changed(1)["properties"]


def _stored(settings: Settings) -> Iterator[Document]:
    with exporting.snapshot(settings) as snapshot:
        for collection in snapshot.ids():
            yield from snapshot.items(collection, {})


def test_what_was_read_and_is_written_back_changes_nothing(api: httpx.Client) -> None:
    put(api, changed(1, links=[{"rel": "about", "href": "https://example.org/about"}]))
    api.patch(f"/api{COLLECTION}", json={"title": "T"})
    for path in (ITEM, COLLECTION):
        found = api.get(f"/api{path}")
        before = api.get(f"/api{path}/versions").json()
        for method, body in (("PUT", found.json()), ("PATCH", {}), ("PATCH", [])):
            again = api.request(method, f"/api{path}", json=body, headers={"If-Match": found.headers["etag"]})
            assert again.status_code == 200
            assert again.headers["etag"] == found.headers["etag"]
        assert api.get(f"/api{path}").json() == found.json()
        assert api.get(f"/api{path}/versions").json() == before


def test_a_version_says_who_made_it_inside_and_not_outside(api: httpx.Client, outside: httpx.Client) -> None:
    answer = put(api, changed(1), **{"X-Principal": "ada", "X-Key-Id": "k1"})
    (new, old) = api.get(f"/api{ITEM}/versions").json()["versions"]
    made = {"actor": "ada", "key_id": "k1", "login": "almagest_writer", "request_id": answer.headers["x-request-id"]}
    assert {name: new.get(name) for name in WHO} == {**made, "job": None}
    assert "actor" not in old
    for each in outside.get(f"/external{ITEM}/versions").json()["versions"]:
        assert not WHO & set(each)


# Deleting, restoring, comparing.


def test_what_was_deleted_says_where_its_versions_are(get: Ask, api: httpx.Client) -> None:
    assert api.delete(f"/api{ITEM}").status_code == 204
    answer = get(ITEM)
    assert answer.status_code == 410
    assert answer.headers["cache-control"] == "no-store"  # a browser would keep it, though the item may come back
    (link,) = answer.json()["links"]
    assert link["rel"] == "version-history"
    history = get(ITEM + link["href"].partition("i000000")[2])
    gone, last = history.json()["versions"]
    assert gone["deleted"] is True
    assert gone["links"] == []
    assert bare(get(f"{ITEM}/versions/{last['version']}").json())["properties"]["deprecated"] is True
    assert "version" not in gone
    assert get(f"{ITEM}/versions/{begin(gone)}").status_code == 404
    assert get(f"{ITEM}/versions/{last['version']}/diff").status_code == 410
    assert get(f"{COLLECTION}/items/none").status_code == 404
    assert api.delete(f"/api{COLLECTION}").status_code == 204
    assert get(COLLECTION).status_code == 410
    assert get(ITEM).status_code == 410


@pytest.mark.parametrize("path", [ITEM, COLLECTION])
def test_a_version_that_is_written_back_is_restored(api: httpx.Client, path: str) -> None:
    first = versions(api.get(f"/api{path}/versions"))[0]
    stored = api.get(f"/api{path}/versions/{first}?stored=true").json()
    change = {"properties": {"number": 5}} if path == ITEM else {"title": "T"}
    assert api.patch(f"/api{path}", json=change).status_code == 200
    old = api.get(f"/api{path}/versions/{first}").json()
    assert api.put(f"/api{path}", json=old).status_code == 200
    latest = versions(api.get(f"/api{path}/versions"))[0]
    assert api.get(f"/api{path}/versions/{latest}?stored=true").json() == stored
    if path == ITEM:  # or after it was deleted
        api.delete(f"/api{path}")
        assert api.post(f"/api{COLLECTION}/items", json=old).status_code == 201
        latest = versions(api.get(f"/api{path}/versions"))[0]
        assert api.get(f"/api{path}/versions/{latest}?stored=true").json() == stored


def test_what_a_producer_says_of_a_version_that_is_written_back_stays(api: httpx.Client) -> None:
    own = ingests.item(stac_extensions=["https://stac-extensions.github.io/version/v1.2.0/schema.json"])
    own["properties"] |= {"deprecated": True}
    put(api, own)
    version = versions(api.get(f"/api{ITEM}/versions"))[0]
    put(api, changed(1))
    assert api.put(f"/api{ITEM}", json=api.get(f"/api{ITEM}/versions/{version}").json()).status_code == 200
    now = api.get(f"/api{ITEM}").json()
    assert (now["properties"], now["stac_extensions"]) == (own["properties"], own["stac_extensions"])
    # The same words without links of ours are somebody else's.
    own["properties"]["version"] = version
    put(api, own)
    assert api.get(f"/api{ITEM}").json()["properties"] == own["properties"]


@pytest.mark.parametrize("broken", ['{"links": "x"}', '{"links": ["x", 5, null]}', "[1]", "{}"])
def test_what_others_left_broken_is_read_as_far_as_it_goes_and_can_be_rescued(
    api: httpx.Client, settings: Settings, broken: str
) -> None:
    first = versions(api.get(f"/api{ITEM}/versions"))[0]

    def spoil() -> None:
        with database.connect(settings, "postgres") as connection:
            spoilt = "CASE WHEN %s LIKE '%%links%%' THEN content || %s::jsonb ELSE %s::jsonb END"
            connection.execute(f"UPDATE pgstac.items SET content = {spoilt}".encode(), (broken,) * 3)

    spoil()
    version = versions(api.get(f"/api{ITEM}/versions"))[0]
    for path in (ITEM, f"{ITEM}/versions/{version}"):
        answer = api.get(f"/api{path}")
        assert answer.status_code == (409 if broken == "[1]" else 200), answer.text
    assert api.patch(f"/api{ITEM}", json={"properties": {"a": 1}}).status_code in {400, 409}
    assert put(api, changed(1)).status_code == 200
    before = api.get(f"/api{ITEM}/versions").json()
    answer = api.post(f"/api{ITEM}/versions/{version}/restore")
    if "links" in broken:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 409
        assert api.get(f"/api{ITEM}/versions").json() == before
    spoil()
    assert api.post(f"/api{ITEM}/versions/{first}/restore").status_code == 200
    spoil()
    assert api.delete(f"/api{ITEM}").status_code == 204


def test_restoring_makes_a_new_version_of_an_old_one(api: httpx.Client) -> None:
    before = api.get(f"/api{ITEM}").json()
    (first,) = versions(api.get(f"/api{ITEM}/versions"))
    put(api, changed(1))
    restored = api.post(f"/api{ITEM}/versions/{first}/restore")
    assert restored.status_code == 200
    assert restored.headers["etag"] == api.get(f"/api{ITEM}").headers["etag"]
    assert bare(api.get(f"/api{ITEM}").json()) == bare(before)
    assert len(versions(api.get(f"/api{ITEM}/versions"))) == 3
    # It is that already.
    assert api.post(f"/api{ITEM}/versions/{first}/restore").status_code == 200
    assert len(versions(api.get(f"/api{ITEM}/versions"))) == 3
    assert api.post(f"/api{ITEM}/versions/none/restore").status_code == 404
    assert api.post(f"/api{ITEM}/versions/{first}/restore", headers={"If-Match": '"other"'}).status_code == 412


def test_a_deleted_item_comes_back(api: httpx.Client, outside: httpx.Client) -> None:
    before = api.get(f"/api{ITEM}").json()
    (first,) = versions(api.get(f"/api{ITEM}/versions"))
    api.delete(f"/api{ITEM}")
    gone = begin(api.get(f"/api{ITEM}/versions").json()["versions"][0])
    assert api.post(f"/api{ITEM}/versions/{gone}/restore").status_code == 404
    assert api.post(f"/api{ITEM}/versions/{first}/restore").status_code == 200
    for client, prefix in ((api, "/api"), (outside, "/external")):
        assert bare(client.get(prefix + ITEM).json()) == bare(before)
        states = client.get(f"{prefix}{ITEM}/versions").json()["versions"]
        assert [state["deleted"] for state in states] == [False, True, False]


@pytest.mark.parametrize(
    "item_assets", [{}, {"data": {"type": "text/plain", "unit": "m"}, "more": {"title": "M", "roles": []}}, None]
)
def test_an_item_of_a_deleted_collection_comes_back_as_it_was(api: httpx.Client, item_assets: Any) -> None:
    original = api.get(f"/api{ITEM}").json()
    (first,) = versions(api.get(f"/api{ITEM}/versions"))
    assert api.delete(f"/api{COLLECTION}").status_code == 204
    answer = api.post(f"/api{ITEM}/versions/{first}/restore")
    assert answer.status_code == 404
    assert "Restore the collection first" in answer.json()["detail"]
    again = ingests.collection()
    if item_assets is None:
        del again["item_assets"]
    else:
        again["item_assets"] = item_assets
    assert api.post("/api/collections", json=again).status_code == 201
    assert api.get(f"/api{ITEM}").status_code == 410
    assert bare(api.get(f"/api{ITEM}/versions/{first}").json())["assets"] == original["assets"]
    assert api.post(f"/api{ITEM}/versions/{first}/restore").status_code == 200
    assert bare(api.get(f"/api{ITEM}").json()) == bare(original)
    assert api.get(f"/api{ITEM}").headers["etag"]


def test_a_collection_comes_back_without_its_items(api: httpx.Client) -> None:
    (first,) = versions(api.get(f"/api{COLLECTION}/versions"))
    original = api.get(f"/api{COLLECTION}").json()
    api.patch(f"/api{COLLECTION}", json={"title": "T"})
    assert api.post(f"/api{COLLECTION}/versions/{first}/restore").status_code == 200
    assert bare(api.get(f"/api{COLLECTION}").json()) == bare(original)
    assert api.get(f"/api{ITEM}").status_code == 200
    api.delete(f"/api{COLLECTION}")
    restored = api.post(f"/api{COLLECTION}/versions/{first}/restore")
    assert restored.status_code == 200
    assert bare(restored.json()) == bare(api.get(f"/api{COLLECTION}").json()) == bare(original)
    assert api.get(f"/api{COLLECTION}/items").json()["features"] == []


def test_what_was_forgotten_is_there_no_more(get: Ask, api: httpx.Client, settings: Settings) -> None:
    put(api, changed(1))
    new, old = versions(get(f"{ITEM}/versions"))
    with database.connect(settings, "postgres") as connection:
        pruning.prune(connection, days=0)
    for path in ("", "/diff", f"/diff?to={new}"):
        assert get(f"{ITEM}/versions/{old}{path}").status_code == 404
    answer = get(f"{ITEM}/versions/{new}/diff", params={"to": old})
    assert (answer.status_code, answer.json()["detail"]) == (404, f"There is no version {old!r}.")
    assert api.post(f"/api{ITEM}/versions/{old}/restore").status_code == 404


def test_a_difference_turns_one_version_into_another(get: Ask, api: httpx.Client) -> None:
    second = changed(1, links=[{"rel": "about", "href": "https://example.org/about"}])
    second |= {"geometry": {"type": "Point", "coordinates": [1, 2]}, "bbox": [1, 2, 1, 2]}
    expected = [ingests.item(), second, changed(2, assets={})]
    for document in expected[1:]:
        assert put(api, document).status_code == 200
    ids = versions(get(f"{ITEM}/versions"))[::-1]
    for one, document in zip(ids, expected, strict=True):
        answer = get(f"{ITEM}/versions/{one}/diff")
        assert answer.headers["content-type"] == "application/json-patch+json"
        assert jsonpatch.apply_patch(document, answer.json()) == expected[-1]
        for other, wanted in zip(ids, expected, strict=True):
            patch = get(f"{ITEM}/versions/{one}/diff", params={"to": other}).json()
            assert jsonpatch.apply_patch(copy.deepcopy(document), patch) == wanted
            assert (patch == []) == (one == other)
    for path, to in ((f"{ITEM}/versions/{ids[0]}/diff", "none"), (f"{ITEM}/versions/none/diff", None)):
        assert get(path, params={"to": to} if to else {}).status_code == 404


# What only some may see.

HIDDEN = {"href": "file:///hush/data.tif"}


def hidden(number: int) -> Document:
    """A change that outsiders cannot see."""
    document = ingests.item()
    document["assets"] = {**document["assets"], "hidden": {**HIDDEN, "size": number}}
    document["properties"] = {**document["properties"], "almagest:note": f"hush {number}"}
    return document


def test_what_outsiders_cannot_see_makes_no_version_for_them(api: httpx.Client, outside: httpx.Client) -> None:
    def seen() -> list[Any]:
        answers = [
            outside.get(f"/external{path}") for path in (ITEM, f"{ITEM}/versions", COLLECTION, f"{COLLECTION}/versions")
        ]
        return [(each.status_code, each.headers.get("etag"), each.json()) for each in answers]

    before = seen()
    for number in range(3):
        assert put(api, hidden(number)).status_code == 200
        assert api.patch(f"/api{COLLECTION}", json={"almagest:note": f"hush {number}"}).status_code == 200
        assert seen() == before
    inside = versions(api.get(f"/api{ITEM}/versions"))
    assert len(inside) == 4
    for version in inside[:-1]:
        answer = outside.get(f"/external{ITEM}/versions/{version}")
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"There is no version {version!r}."
    visible = hidden(3)
    visible["properties"]["number"] = 5
    put(api, visible)
    new, old = versions(outside.get(f"/external{ITEM}/versions"))
    assert new == versions(api.get(f"/api{ITEM}/versions"))[0]
    text = "".join(
        outside.get(f"/external{ITEM}{path}").text
        for path in ("", "/versions", f"/versions/{new}", f"/versions/{old}", f"/versions/{old}/diff")
    )
    assert "hush" not in text
    assert "almagest:note" not in text
    assert outside.get(f"/external{ITEM}/versions/{old}/diff").json() == [
        {"op": "replace", "path": "/properties/number", "value": 5}
    ]


def test_tags_do_not_depend_on_what_is_hidden(cluster: Cluster) -> None:
    """Two worlds that outsiders cannot tell apart."""
    tags = []
    with ExitStack() as stack:
        for number in range(2):
            settings = cluster.settings(stack.enter_context(cluster.clone(TEMPLATE)))
            api = stack.enter_context(stac_client(settings))
            outside = stack.enter_context(stac_client(settings, "external"))
            api.post("/api/collections", json=ingests.collection(**{"almagest:note": f"hush {number}"}))
            api.post(f"/api{COLLECTION}/items", json=hidden(number))
            answers = [outside.get(f"/external{path}") for path in (COLLECTION, ITEM)]
            listed = [outside.get(f"/external{path}/versions").json() for path in (COLLECTION, ITEM)]
            tags.append(
                (
                    [(answer.headers["etag"], answer.content) for answer in answers],
                    [len(each["versions"]) for each in listed],
                )
            )
            assert api.get(f"/api{ITEM}").headers["etag"] != answers[1].headers["etag"]
    assert tags[0] == tags[1]


def test_of_a_hidden_collection_outsiders_learn_nothing(
    api: httpx.Client, outside: httpx.Client, settings: Settings
) -> None:
    put(api, changed(1))
    new, old = versions(api.get(f"/api{ITEM}/versions"))
    of_collection = versions(api.get(f"/api{COLLECTION}/versions"))[0]
    api.delete(f"/api{ITEM}")
    with database.connect(settings, "postgres") as connection:
        audience.set_collections(connection, "scenes", "internal")
    paths = [
        *(ITEM, f"{ITEM}/versions", f"{ITEM}/versions/{old}", f"{ITEM}/versions/{old}/diff"),
        *(f"{ITEM}/versions/{old}/diff?to={new}", COLLECTION, f"{COLLECTION}/versions"),
        *(f"{COLLECTION}/versions/{of_collection}", f"{COLLECTION}/versions/{of_collection}/diff"),
    ]
    for path in paths:
        told, missing = (outside.get(f"/external{path.replace('scenes', name)}") for name in ("scenes", "nixens"))
        assert told.status_code == missing.status_code == 404, path
        assert told.json()["detail"] == missing.json()["detail"].replace("nixens", "scenes")
    assert outside.get(f"/external{ITEM}", headers={"If-None-Match": "*"}).status_code == 404


def test_outsiders_restore_nothing(outside: httpx.Client) -> None:
    (version,) = versions(outside.get(f"/external{ITEM}/versions"))
    assert outside.post(f"/external{ITEM}/versions/{version}/restore").status_code in {404, 405}
