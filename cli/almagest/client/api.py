"""A STAC API, whoever runs it, and its documents as they are served but for the links that it makes itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urljoin

from almagest.core.addresses import segment
from almagest.core.errors import ConfigurationError, NotFoundError

Document = dict[str, Any]

_PAGE = 500
_QUERYABLES = ("queryables", "http://www.opengis.net/def/rel/ogc/1.0/queryables")
#: Links that follow from where a document is served.
_PLACES = frozenset({"self", "root", "parent", "collection", "item", "items", "child", *_QUERYABLES})


class Asks(Protocol):
    """Sends a request and returns the JSON document that is answered."""

    def __call__(self, method: str, url: str, *, params: Mapping[str, str] | None = None, json: Any = None) -> Document:
        """Sends it."""
        ...


@dataclass(frozen=True)
class StacApi:
    """An API that was found to be one.

    Attributes:
        ask: sends requests.
        root: its own address, with a slash.
        search_url: where searches go.
        takes_posts: whether they may have a body.
        sorts: whether they may say in which order.
    """

    ask: Asks
    root: str
    search_url: str
    takes_posts: bool
    sorts: bool

    @classmethod
    def open(cls, ask: Asks, url: str) -> StacApi:
        """The API at an address.

        Raises:
            ConfigurationError: there is something else at this address.
        """
        landing = ask("GET", f"{url.rstrip('/')}/")
        links = [link for link in _links(landing) if link.get("rel") == "search"]
        if not links:
            raise ConfigurationError(f"{url} is no STAC API that can be searched: it has no link to a search.")
        root = next((link["href"] for link in _links(landing) if link.get("rel") == "self"), url)
        return cls(
            ask,
            urljoin(f"{url.rstrip('/')}/", f"{root.rstrip('/')}/"),
            urljoin(f"{url.rstrip('/')}/", links[0]["href"]),
            any(str(link.get("method")).upper() == "POST" for link in links),
            any("item-search#sort" in str(name) for name in landing.get("conformsTo") or ()),
        )

    def search(self, body: Mapping[str, Any], *, most: int | None = None) -> Iterator[Document]:
        """What a search finds, page by page.

        Args:
            body: of a STAC item search; a filter in CQL2 text is one too.
            most: ends after so many items.
        """
        request: Document | None = self._first({**body, "limit": min(_PAGE, most or _PAGE)})
        count = 0
        while request is not None:
            page = self.ask(
                request.get("method") or "GET", request["href"], params=request.get("params"), json=request.get("body")
            )
            for item in page.get("features") or ():
                yield self._without_own_links(item)
                count += 1
                if count == most:
                    return
            request = _next(page, request)

    def collection(self, identifier: str) -> Document | None:
        """A collection; None where the API does not say anything about it."""
        try:
            found = self.ask("GET", f"{self.root}collections/{segment(identifier)}")
        except NotFoundError:
            return None
        return self._without_own_links(found)

    def collections(self) -> Iterator[str]:
        """Ids of all collections."""
        request: Document | None = {"href": f"{self.root}collections"}
        while request is not None:
            page = self.ask(request.get("method") or "GET", request["href"], json=request.get("body"))
            yield from (str(collection["id"]) for collection in page.get("collections") or ())
            request = _next(page, request)

    def _first(self, body: Document) -> Document:
        # Filters as text are for addresses alone; few servers take them in a body.
        if self.takes_posts and not isinstance(body.get("filter"), str):
            return {"method": "POST", "href": self.search_url, "body": body}
        return {"method": "GET", "href": self.search_url, "params": _parameters(body)}

    def _without_own_links(self, document: Document) -> Document:
        tiles = f"{self.root}tiles/"
        kept = [
            link
            for link in _links(document)
            if link.get("rel") not in _PLACES and not str(link.get("href")).startswith(tiles)
        ]
        return {**document, "links": kept}


def _links(document: Document) -> list[Document]:
    links = document.get("links")
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


def _next(page: Document, before: Document) -> Document | None:
    """The request for the page behind this one; None on the last, or where a server would go round in circles."""
    link = next((link for link in _links(page) if link.get("rel") == "next" and link.get("href")), None)
    if link is None or not (page.get("features") or page.get("collections")):
        return None
    body = link.get("body")
    if link.get("merge"):
        body = {**(before.get("body") or {}), **(body or {})}
    found = {
        "method": str(link.get("method") or "GET").upper(),
        "href": urljoin(before["href"], link["href"]),
        "body": body,
    }
    return None if all(found[name] == before.get(name) for name in found) else found


def _parameters(body: Mapping[str, Any]) -> dict[str, str]:
    """The body of a search as parameters of an address."""
    spelt: dict[str, str] = {}
    for name, value in body.items():
        match value:
            case _ if name == "sortby":
                keys = (f"{'-' if key['direction'] == 'desc' else '+'}{key['field']}" for key in value)
                spelt[name] = ",".join(keys)
            case list():
                spelt[name] = ",".join(map(str, value))
            case dict():
                spelt[name] = json.dumps(value)
            case _:
                spelt[name] = str(value)
    return spelt
