"""A STAC API, whoever runs it, and its documents as they are served but for the links that it makes itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from almagest.catalogue import moments, versions
from almagest.catalogue.exchange.answers import Rounds
from almagest.catalogue.links import INFERRED_LINKS, SERVER_LINKS
from almagest.client.http import joined, not_stac
from almagest.core.addresses import segment
from almagest.core.errors import ConfigurationError, NotFoundError

Document = dict[str, Any]

_PAGE = 500
#: What members of a document are, where they are there at all.
_KINDS = {"id": str, "collection": str, "geometry": dict, "properties": dict, "assets": dict, "links": list}
#: Links that follow from where a document is served.
_PLACES = INFERRED_LINKS | SERVER_LINKS


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
        as_of: moment at which everything is looked at, as RFC 3339 writes it; None: the present.
    """

    ask: Asks
    root: str
    search_url: str
    takes_posts: bool
    sorts: bool
    as_of: str | None = None

    @classmethod
    def open(cls, ask: Asks, url: str, *, as_of: str | None = None) -> StacApi:
        """The API at an address.

        Raises:
            ConfigurationError: there is something else at this address, or it knows nothing of the past.
        """
        landing = ask("GET", f"{url.rstrip('/')}/")
        links = [link for link in links_of(landing) if link.get("rel") == "search"]
        if not links:
            raise ConfigurationError(f"{url} is no STAC API that can be searched: it has no link to a search.")
        if as_of is not None and moments.CONFORMANCE not in (landing.get("conformsTo") or ()):
            raise ConfigurationError(f"{url} answers of the present alone: it does not know `as-of`.")
        base = f"{url.rstrip('/')}/"
        root = next((link for link in links_of(landing) if link.get("rel") == "self"), {"href": url})
        return cls(
            ask,
            joined(base, f"{_href(root, base).rstrip('/')}/"),
            joined(base, _href(links[0], base)),
            any(str(link.get("method")).upper() == "POST" for link in links),
            "item-search#sort" in str(landing.get("conformsTo")),
            as_of,
        )

    def search(self, body: Mapping[str, Any], *, most: int | None = None) -> Iterator[Document]:
        """What a search finds, page by page.

        Args:
            body: of a STAC item search; a filter in CQL2 text is one too.
            most: ends after so many items.
        """
        first = self.first({**body, **self._then, "limit": min(_PAGE, most or _PAGE)})
        for count, item in enumerate(self._pages(first, "features"), 1):
            yield self.without_own_links(item)
            if count == most:
                return

    def collection(self, identifier: str) -> Document | None:
        """A collection; None where the API does not say anything about it."""
        address = f"{self.root}collections/{segment(identifier)}"
        try:
            found = self.ask("GET", address, params=self._then or None)
        except NotFoundError:
            return None
        collection = self.without_own_links(checked(found, self.root))
        if self.root.endswith("/external/"):
            # By this a catalogue knows the copy of its own collection that lacks what outsiders do not see.
            collection["links"].append({"rel": "via", "type": "application/json", "href": address})
        return collection

    def collections(self) -> Iterator[str]:
        """Ids of all collections."""
        for collection in self.described():
            yield collection["id"]

    def described(self) -> Iterator[Document]:
        """All collections, as the API lists them."""
        first: Document = {"method": "GET", "href": f"{self.root}collections", "params": self._then or None}
        return self._pages(first, "collections")

    @property
    def _then(self) -> dict[str, str]:
        return {} if self.as_of is None else {"as-of": self.as_of}

    def _pages(self, request: Document, member: str) -> Iterator[Document]:
        """Documents page by page, as long as there is anything new."""
        rounds = Rounds()
        following: Document | None = request
        while following is not None:
            request = following
            page = self.ask(request["method"], request["href"], params=request.get("params"), json=request.get("body"))
            documents = page.get(member) or []
            if not isinstance(documents, list):
                not_stac(request["href"], f"`{member}` is no list")
            for document in documents:
                yield checked(document, request["href"])
            following = next_request(page, request)
            if not rounds.is_new(documents) and following:
                not_stac(request["href"], "its pages come again and again")

    def first(self, body: Document) -> Document:
        """The request for the first page of a search."""
        # Filters as text are for addresses alone; few servers take them in a body.
        if self.takes_posts and not isinstance(body.get("filter"), str):
            return {"method": "POST", "href": self.search_url, "body": body}
        return {"method": "GET", "href": self.search_url, "params": spelt(body)}

    def without_own_links(self, document: Document) -> Document:
        """A document without the links that the API makes itself."""
        tiles, documents = f"{self.root}tiles/", f"{self.root}collections/"

        def is_made_there(link: Document) -> bool:
            href = str(link.get("href"))
            return (
                link.get("rel") in _PLACES
                or href.startswith(tiles)
                or (link.get("rel") in versions.RELS and href.startswith(documents))
            )

        return {**document, "links": [link for link in links_of(document) if not is_made_there(link)]}


def checked(document: Any, where: str) -> Document:
    """A document that is what it has to be for all that is done with it here. Whether it is good, others judge."""
    if not isinstance(document, dict) or document.get("id") is None:
        not_stac(where, "a document is no object, or has no id")
    for name, kind in _KINDS.items():
        if document.get(name) is not None and not isinstance(document[name], kind):
            not_stac(where, f"`{name}` of a document is a {type(document[name]).__name__}")
    if not all(isinstance(asset, dict) for asset in (document.get("assets") or {}).values()):
        not_stac(where, "an asset is no object")
    return document


def links_of(document: Document) -> list[Document]:
    """Those links of a document that are any."""
    links = document.get("links")
    found = links if isinstance(links, list) else []
    return [link for link in found if isinstance(link, dict) and isinstance(link.get("rel"), str)]


def _href(link: Document, where: str) -> str:
    href = link.get("href")
    if not isinstance(href, str) or not href:
        not_stac(where, f"its link `{link['rel']}` leads to no address")
    return href


def next_request(page: Document, before: Document) -> Document | None:
    """The request for the page behind this one; None on the last, or where a server would go round in circles."""
    link = next((link for link in links_of(page) if link["rel"] == "next" and link.get("href")), None)
    if link is None or not (page.get("features") or page.get("collections")):
        return None
    body = link.get("body")
    method = str(link.get("method") or "GET").upper()
    if method not in {"GET", "POST"} or not isinstance(body, dict | None):
        not_stac(before["href"], "its link to the next page is none to follow")
    if link.get("merge"):
        body = {**(before.get("body") or {}), **(body or {})}
    found = {
        "method": method,
        "href": joined(before["href"], _href(link, before["href"])),
        "body": body,
    }
    return None if all(found[name] == before.get(name) for name in found) else found


def spelt(body: Mapping[str, Any]) -> dict[str, str]:
    """The body of a search as parameters of an address."""
    found: dict[str, str] = {}
    for name, value in body.items():
        match value:
            case _ if name == "sortby":
                keys = (f"{'-' if key['direction'] == 'desc' else '+'}{key['field']}" for key in value)
                found[name] = ",".join(keys)
            case list():
                found[name] = ",".join(map(str, value))
            case dict():
                found[name] = json.dumps(value)
            case _:
                found[name] = str(value)
    return found
