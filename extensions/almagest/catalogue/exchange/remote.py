"""Documents on the web: STAC APIs, by their own paging, and static catalogues."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from almagest.catalogue.exchange.patience import PASSING, Patience
from almagest.catalogue.exchange.reading import UnavailableError, absolute
from almagest.catalogue.exchange.records import Document, Reading, Record, Source, Unreadable, dump
from almagest.catalogue.exchange.static import StaticSource
from almagest.catalogue.reserved import CANARY
from almagest.core.errors import BadRequestError, NotFoundError

if TYPE_CHECKING:
    import httpx

_PAGE = 500
_TIMEOUT_S = 60


def open_url(url: str, *, origin: str = "", assets_base_url: str | None = None) -> Source:
    """Opens what is at a URL; arguments and errors as for `open_source`."""
    try:
        with _connected() as follow:
            document = follow({"href": url})
    except UnavailableError as error:
        raise NotFoundError(f"{url} {error}") from None
    if not isinstance(document, dict):
        raise BadRequestError(f"{url} is neither a STAC API nor a static catalogue.")
    links = _links(document, url)
    match document.get("type"):
        case "FeatureCollection" | "Feature":
            return ApiSource(url, [url], [])
        case "Collection" if items := links.get("items"):
            return ApiSource(url, [_sized(items)], [url])
        case "Catalog" if search := links.get("search"):
            return ApiSource(url, [_sized(search)], [links.get("data") or url.rstrip("/") + "/collections"])
        case "Catalog" | "Collection":
            return StaticSource(url, origin=origin, assets_base_url=assets_base_url)
    raise BadRequestError(f"{url} is neither a STAC API nor a static catalogue.")


class ApiSource:
    """Items of a STAC API. Pages are whatever the API makes them, so a second reading may differ."""

    repeatable = False

    def __init__(self, name: str, items: list[str], collections: list[str]) -> None:
        self.name = name
        self._items = items
        self._collections = collections
        self._matched: int | None = None
        self._read = 0

    def collections(self) -> Iterator[Reading]:
        """The collections that the API has, or the one that was asked for."""
        for url in self._collections:
            for page in self._pages(url):
                if isinstance(page, Unreadable):
                    continue  # the items tell
                where, document = page
                for collection in _held(document, "collections"):
                    if not isinstance(collection, dict) or collection.get("id") != CANARY:
                        yield Record(where, dump(collection))

    def items(self) -> Iterator[Reading]:
        """All items, page by page."""
        self._read, self._matched = 0, None
        for url in self._items:
            for page in self._pages(url):
                if isinstance(page, Unreadable):
                    yield page
                    continue
                where, document = page
                self._matched = _matched(document)
                for item in _held(document, "features"):
                    self._read += 1
                    yield Record(where, dump(item))

    def fraction(self) -> float | None:
        """By the number of items, if the API tells it."""
        return min(1.0, self._read / self._matched) if self._matched else None

    def _pages(self, url: str) -> Iterator[tuple[str, Document] | Unreadable]:
        number = 0
        request: dict[str, Any] | None = {"href": url}
        with _connected() as follow:
            while request:
                number += 1
                where = f"page {number} of {url}"
                try:
                    document = follow(request)
                except UnavailableError as error:
                    yield Unreadable(where, str(error))
                    return
                if not isinstance(document, dict):
                    yield Unreadable(where, "is not a JSON object")
                    return
                yield where, document
                request = _next(document, request)


@contextlib.contextmanager
def _connected() -> Iterator[Callable[[dict[str, Any]], Any]]:
    """What follows links over connections that are kept meanwhile. It sends no key: what it reads is public."""
    import httpx

    with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True) as client:
        yield functools.partial(_follow, client)


def _follow(client: httpx.Client, link: dict[str, Any]) -> Any:
    """The document that a link leads to, in the way it says: by GET, or by POST with a body."""
    import httpx

    headers = {str(name): str(value) for name, value in (link.get("headers") or {}).items()}
    method = str(link.get("method") or "GET").upper()
    body = link.get("body") if method == "POST" else None
    patience = Patience()
    try:
        response = client.request(method, link["href"], headers=headers, json=body)
        while response.status_code in PASSING and (pause := patience.pause(response)):
            time.sleep(pause)
            response = client.request(method, link["href"], headers=headers, json=body)
        response.raise_for_status()
        return json.loads(response.content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnavailableError(f"cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise UnavailableError(f"is not JSON: {error}") from None


def _held(document: Document, key: str) -> list[Any]:
    """What a page holds; a document that is no page is one itself."""
    held = document.get(key)
    return held if isinstance(held, list) else [document]


def _links(document: Document, url: str) -> dict[str, str]:
    """The first link of each rel."""
    found: dict[str, str] = {}
    for link in _listed(document):
        found.setdefault(link["rel"], absolute(link["href"], url))
    return found


def _next(document: Document, before: dict[str, Any]) -> dict[str, Any] | None:
    """The link to the next page, complete; None on the last page, or where it would lead to the same page again."""
    link = next((link for link in _listed(document) if link["rel"] == "next"), None)
    if link is None or not (document.get("features") or document.get("collections")):
        return None
    found = {**link, "href": absolute(link["href"], before["href"])}
    if link.get("merge"):
        found["body"] = {**(before.get("body") or {}), **(link.get("body") or {})}
    same = all(found.get(key) == before.get(key) for key in ("href", "body"))
    return None if same else found


def _listed(document: Document) -> list[dict[str, Any]]:
    links = document.get("links")
    return [
        link
        for link in (links if isinstance(links, list) else ())
        if isinstance(link, dict) and isinstance(link.get("rel"), str) and isinstance(link.get("href"), str)
    ]


def _sized(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}limit={_PAGE}"


def _matched(document: Document) -> int | None:
    matched = document.get("numberMatched", document.get("numMatched"))
    return matched if isinstance(matched, int) else None
