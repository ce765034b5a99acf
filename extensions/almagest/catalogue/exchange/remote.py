"""Documents on the web: STAC APIs, by their own paging, and static catalogues."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from almagest.catalogue.exchange import bounds
from almagest.catalogue.exchange.answers import Rounds, answered
from almagest.catalogue.exchange.patience import PASSING, Patience
from almagest.catalogue.exchange.reading import UnavailableError, absolute, is_web
from almagest.catalogue.exchange.records import Document, Reading, Record, Source, Unreadable, dump
from almagest.catalogue.exchange.static import StaticSource
from almagest.catalogue.reserved import CANARY
from almagest.core.errors import BadRequestError, NotFoundError

_PAGE = 500
_TIMEOUT_S = 60
#: What comes of links that hold anything but what they should.
_MADE_UP = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


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
            for page in self._pages(url, "collections"):
                if isinstance(page, Unreadable):
                    continue  # the items tell
                where, _, held = page
                for collection in held:
                    if not isinstance(collection, dict) or collection.get("id") != CANARY:
                        yield Record(where, dump(collection))

    def items(self) -> Iterator[Reading]:
        """All items, page by page."""
        self._read, self._matched = 0, None
        for url in self._items:
            for page in self._pages(url, "features"):
                if isinstance(page, Unreadable):
                    yield page
                    continue
                where, document, held = page
                self._matched = _matched(document)
                for item in held:
                    self._read += 1
                    yield Record(where, dump(item))

    def fraction(self) -> float | None:
        """By the number of items, if the API tells it."""
        return min(1.0, self._read / self._matched) if self._matched else None

    def _pages(self, url: str, key: str) -> Iterator[tuple[str, Document, list[Any]] | Unreadable]:
        """Each page with its place, and what it holds under a key; or why there are no more."""
        number = 0
        rounds = Rounds()
        before: dict[str, Any] = {"href": url}
        link: dict[str, Any] | None = before
        with _connected() as follow:
            while link:
                number += 1
                where = f"page {number} of {url}"
                try:
                    before = _complete(link, before)
                    document = follow(before)
                    held = _held(document, key)
                    if not rounds.is_new(held):
                        raise UnavailableError("brings what a page before it has brought: they go round in circles")
                except UnavailableError as error:
                    yield Unreadable(where, str(error))
                    return
                yield where, document, held
                link = _next(document, before)


@contextlib.contextmanager
def _connected() -> Iterator[Callable[[dict[str, Any]], Any]]:
    """What follows links over connections that are kept meanwhile. It sends no key: what it reads is public."""
    with httpx.Client(timeout=_TIMEOUT_S, event_hooks={"request": [bounds.check_request]}) as client:
        yield functools.partial(_follow, client)


def _follow(client: httpx.Client, link: dict[str, Any]) -> Any:
    """The document that a link leads to, in the way it says: by GET, or by POST with a body."""
    patience = Patience()
    try:
        request = _request(client, link)
        response = answered(client, request)
        while response.status_code in PASSING and (pause := patience.pause(response)):
            time.sleep(pause)
            response = answered(client, request)
        response.raise_for_status()
        return json.loads(response.content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnavailableError(f"cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise UnavailableError(f"is not JSON: {error}") from None


def _request(client: httpx.Client, link: dict[str, Any]) -> httpx.Request:
    """What a link asks for, which whoever answers may have made up in any way."""
    method = link.get("method") or "GET"
    if not is_web(link["href"]):
        raise UnavailableError(f"is at {link['href'][:100]!r}, which is no address on the web")
    if str(method).upper() not in {"GET", "POST"}:
        raise UnavailableError(f"is to be asked for by {str(method)[:20]!r}, neither GET nor POST")
    try:
        headers = {str(name): str(value) for name, value in (link.get("headers") or {}).items()}
        body = link.get("body") if method.upper() == "POST" else None
        return client.build_request(method.upper(), link["href"], headers=headers, json=body)
    except (httpx.InvalidURL, *_MADE_UP) as error:
        raise UnavailableError(f"is behind a link that cannot be followed: {error}") from None


def _held(document: Any, key: str) -> list[Any]:
    """What a page holds; a document that is no page is one itself."""
    if not isinstance(document, dict):
        raise UnavailableError("is not a JSON object")
    if document.get("type") != "FeatureCollection" and key not in document:
        return [document]
    held = document.get(key)
    if not isinstance(held, list) or not all(isinstance(inner, dict) for inner in held):
        raise UnavailableError(f"is no page: its `{key}` are no list of objects")
    return held


def _links(document: Document, url: str) -> dict[str, str]:
    """The first link of each rel."""
    found: dict[str, str] = {}
    for link in _listed(document):
        found.setdefault(link["rel"], absolute(link["href"], url))
    return found


def _next(document: Document, before: dict[str, Any]) -> dict[str, Any] | None:
    """The link to the next page; None on the last page, or where it would lead to the same page again."""
    links = document.get("links")
    found = (link for link in (links if isinstance(links, list) else ()) if isinstance(link, dict))
    link = next((link for link in found if link.get("rel") == "next"), None)
    if link is None or not (document.get("features") or document.get("collections")):
        return None
    with contextlib.suppress(UnavailableError):  # why, it says where the link is followed
        complete = _complete(link, before)
        return None if all(complete.get(key) == before.get(key) for key in ("href", "body")) else link
    return link


def _complete(link: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A link to a page with what it leaves to the one before: the address it is relative to, and parts of the body."""
    try:
        found = {**link, "href": absolute(link["href"], before["href"])}
        if link.get("merge"):
            found["body"] = {**(before.get("body") or {}), **(link.get("body") or {})}
    except _MADE_UP as error:
        raise UnavailableError(f"is behind a link that cannot be followed: {error}") from None
    return found


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
    return matched if isinstance(matched, int) and matched > 0 else None
