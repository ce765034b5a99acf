"""A mirror of a STAC API that does not tell of its changes: asked for what is new, and now and then for all."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from almagest.catalogue.acceptance import Rules
from almagest.client.api import StacApi
from almagest.client.http import Http
from almagest.client.mirroring import Polling, open_feed
from almagest.core.errors import AlmagestError
from almagest.core.settings import Settings
from conftest import TEMPLATE
from support.cluster import Cluster
from support.ingests import collection, item
from support.mirrors import Stored, mirror, plain, stored

Document = dict[str, Any]
URL = "https://stac.example.org/v1"


@pytest.fixture
def target(cluster: Cluster) -> Iterator[Settings]:
    with cluster.clone(TEMPLATE) as name:
        yield cluster.settings(name)


@dataclass
class Api:
    """A STAC API in memory, as others write them: GET alone, pages by a token.

    Attributes:
        documents: by collection and id; items say when they were updated, unless `updated` is taken away.
        sorts: whether it says that it can sort, and does.
        size: of a page.
        asked: paths of requests.
        hides: ids that a page passes over, as paging by offset does where somebody deletes before it.
    """

    documents: Stored
    sorts: bool = True
    honest: bool = True
    size: int = 3
    asked: list[str] = field(default_factory=list)
    hides: set[str] = field(default_factory=set)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        parts = urlsplit(str(request.url))
        path = parts.path.removeprefix("/v1").strip("/").split("/")
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append("/".join(path))
        match path:
            case [""]:
                return self._answer(self._landing())
            case ["collections"]:
                return self._answer({"collections": self._collections(), "links": []})
            case ["collections", name] if (name, None) in self.documents:
                return self._answer(self._with_links(self.documents[name, None]))
            case ["collections", name, "items"] if (name, None) in self.documents:
                found = [d for (c, i), d in sorted(self._items()) if c == name and i not in self.hides]
                return self._page(request, asked, found)
            case ["collections", name, "items", item_id] if (name, item_id) in self.documents:
                return self._answer(self._with_links(self.documents[name, item_id]))
            case ["search"]:
                found = [d for _, d in self._items()]
                if names := asked.get("collections"):
                    found = [d for d in found if d["collection"] in names.split(",")]
                if self.honest and asked.get("sortby") == "-properties.updated":
                    found.sort(key=lambda d: d["properties"].get("updated", ""), reverse=True)
                return self._page(request, asked, found)
        return httpx.Response(404, json={"code": "NotFound", "description": "nothing"})

    def _landing(self) -> Document:
        sort = ["https://api.stacspec.org/v1.0.0/item-search#sort"] if self.sorts else []
        links = [{"rel": "self", "href": f"{URL}/"}, {"rel": "search", "href": f"{URL}/search"}]
        return {"type": "Catalog", "id": "x", "conformsTo": sort, "links": links}

    def _items(self) -> list[tuple[Any, Document]]:
        return [(key, d) for key, d in self.documents.items() if key[1] is not None]

    def _collections(self) -> list[Document]:
        return [self._with_links(d) for (_, i), d in self.documents.items() if i is None]

    def _page(self, request: httpx.Request, asked: dict[str, str], found: list[Document]) -> httpx.Response:
        first = int(asked.get("token", 0))
        page = found[first : first + self.size]
        links = []
        if len(found) > first + self.size:
            href = str(request.url.copy_set_param("token", first + self.size))
            links = [{"rel": "next", "href": href}]
        features = [self._with_links(d) for d in page]
        return self._answer({"type": "FeatureCollection", "features": features, "links": links})

    @staticmethod
    def _with_links(document: Document) -> Document:
        made = [{"rel": rel, "href": f"{URL}/somewhere"} for rel in ("self", "parent", "root", "collection")]
        return {**document, "links": [*made, *document["links"]]}

    @staticmethod
    def _answer(document: Document) -> httpx.Response:
        return httpx.Response(200, json=copy.deepcopy(document))


def dated(number: int, day: int, **changes: Any) -> Document:
    document = item(number, **changes)
    document["properties"] = {**document["properties"], "updated": f"2026-01-{day:02d}T00:00:00Z"}
    return document


def follow(api: Api, target: Settings, *, now: float = 1000.0, **options: Any) -> Any:
    with Http(URL, transport=httpx.MockTransport(api)) as http:
        chosen = options.get("collections")
        source = Polling(StacApi.open(http, URL), URL, Rules("https://here"), chosen, now=lambda: now)
        api.asked.clear()
        return mirror(source, target, **options)


@pytest.fixture
def api() -> Api:
    items = [dated(n, n + 1, links=[{"rel": "license", "href": "https://a.b/c"}]) for n in range(8)]
    return Api(plain([collection(), collection("empty"), *items]))


def test_it_is_known_for_what_it_is(api: Api) -> None:
    with Http(URL, transport=httpx.MockTransport(api)) as http:
        assert isinstance(open_feed(http, URL, Rules("https://here")), Polling)


def test_what_is_new_is_asked_for_alone(api: Api, target: Settings) -> None:
    api.size = 4
    follow(api, target)
    assert stored(target) == api.documents
    assert "search" not in api.asked
    api.documents["scenes", "i000002"] = dated(2, 20)
    api.documents["scenes", "i000009"] = dated(9, 21)
    api.documents["scenes", None] = collection(description="Other words.")
    told = follow(api, target)
    assert stored(target) == api.documents
    assert (told.created, told.updated, told.walks) == (1, 2, 0)
    assert api.asked.count("search") == 1, "no further than to what is known"
    assert not any(path.endswith("/items") for path in api.asked)


def test_what_is_gone_goes_with_the_next_walk(api: Api, target: Settings) -> None:
    follow(api, target)
    del api.documents["scenes", "i000002"], api.documents["empty", None]
    follow(api, target, now=2000.0)
    assert ("scenes", "i000002") in stored(target)
    told = follow(api, target, now=1000.0 + 90_000)
    assert told.walks == 1
    assert stored(target) == api.documents


def test_what_a_page_passed_over_is_not_taken_for_gone(api: Api, target: Settings) -> None:
    follow(api, target)
    api.hides = {"i000004"}
    del api.documents["scenes", "i000002"]
    api.documents["scenes", "i000004"]["properties"]["number"] = 44
    follow(api, target, fresh=True)
    assert stored(target) == api.documents


@pytest.mark.parametrize("why", ["undated", "unsorted", "dishonest"])
def test_where_nobody_can_tell_what_is_new_all_is_gone_through(api: Api, target: Settings, why: str) -> None:
    if why == "undated":
        del api.documents["scenes", "i000001"]["properties"]["updated"]
    api.sorts = why != "unsorted"
    api.honest = why != "dishonest"
    follow(api, target)
    api.documents["scenes", "i000009"] = dated(9, 21)
    api.documents["scenes", "i000003"] = item(3)
    del api.documents["scenes", "i000005"]
    follow(api, target)
    assert stored(target) == api.documents


def test_broken_off_in_the_middle_of_a_walk_it_goes_on_there(api: Api, target: Settings) -> None:
    class BrokenError(Exception):
        pass

    class Breaking(Polling):
        pages = 0

        def page(self, cursor: str | None, *, wait: bool) -> Any:
            self.pages += 1
            if self.pages == 4:
                raise BrokenError
            return super().page(cursor, wait=wait)

    with Http(URL, transport=httpx.MockTransport(api)) as http:
        source = Breaking(StacApi.open(http, URL), URL, Rules("https://here"))
        with pytest.raises(BrokenError):
            mirror(source, target)
    before = len(stored(target))
    assert 2 < before < len(api.documents)
    follow(api, target)
    assert stored(target) == api.documents
    assert api.asked == ["collections/scenes/items", "collections/empty/items"], api.asked


def test_its_documents_are_judged_as_any(api: Api, target: Settings) -> None:
    api.documents["scenes", "i000001"] = dated(1, 2, geometry={"type": "Nonsense"})
    told = follow(api, target)
    assert told.refused == 1
    assert ("scenes", "i000001") not in stored(target)
    assert len(stored(target)) == len(api.documents) - 1
    assert json.dumps(told.said).count("i000001") >= 1


def test_an_item_is_of_the_collection_that_it_was_asked_of(api: Api, target: Settings) -> None:
    class Lying(Api):
        def _with_links(self, document: Document) -> Document:  # type: ignore[override]
            lies = {"collection": "empty"} if document["id"] == "i000003" else {}
            return Api._with_links({**document, **lies})

    told = follow(Lying(api.documents), target)
    assert told.refused == 1
    del api.documents["scenes", "i000003"]
    assert stored(target) == api.documents
    api.documents["other", None] = collection("other")
    api.documents["other", "i000030"] = dated(30, 25, collection="other")

    class Careless(Api):
        def _answer(self, document: Document) -> httpx.Response:  # type: ignore[override]
            if "features" in document:
                document["features"] = [d for (_, i), d in self.documents.items() if i == "i000030"]
                document["links"] = []
            return Api._answer(document)

    chosen: Document = {"collections": ["scenes"], "name": "of some", "adopt": True}
    assert follow(Careless(api.documents), target, **chosen).refused == 1
    assert ("other", None) not in stored(target)


@pytest.mark.parametrize("way", ["self", "search", "next", "redirect"])
def test_only_the_address_that_was_named_is_asked(api: Api, target: Settings, way: str) -> None:
    elsewhere = "http://169.254.169.254/latest"

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "stac.example.org"
        found = api(request)
        if way == "redirect" and request.url.path.endswith("/collections"):
            return httpx.Response(302, headers={"Location": elsewhere})
        document = found.json()
        for link in document.get("links", []):
            if link["rel"] == way:
                link["href"] = elsewhere
        return httpx.Response(found.status_code, json=document)

    with Http(URL, transport=httpx.MockTransport(answer), is_bound=True) as http:
        source = Polling(StacApi.open(http, URL), URL, Rules("https://here"), now=lambda: 1000.0)
        if way == "search":
            mirror(source, target)
            api.documents["scenes", "i000009"] = dated(9, 21)
        with pytest.raises(AlmagestError, match=r"169\.254\.169\.254, which is not followed"):
            mirror(source, target)
