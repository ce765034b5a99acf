"""Hrefs of static catalogues, made to mean the same where the documents go."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from almagest.catalogue.exchange.reading import UnavailableError, absolute, has_scheme, is_web, read
from almagest.catalogue.exchange.records import Document, dump
from almagest.catalogue.links import INFERRED_LINKS, rel
from almagest.core.addresses import segment

_TARGETS_KEPT = 10_000


class Relinking:
    """Rewrites the hrefs of documents below one folder.

    - Assets: relative hrefs become absolute. Where an address of the folder is given, those below it begin with that.
    - Links to an item or a collection of the same catalogue lead to where the service will have it.
    - Other relative links are treated as assets are.
    """

    def __init__(self, folder: str, origin: str = "", assets_base_url: str | None = None) -> None:
        """`folder` is an absolute path or a URL that ends with a slash; the others are those of `open_source`."""
        self._folder = folder
        self._api = f"{origin.rstrip('/')}/api/collections"
        self._assets = assets_base_url.rstrip("/") + "/" if assets_base_url else None
        self._target = functools.lru_cache(_TARGETS_KEPT)(self._address)

    def item(self, document: Any, href: str, collection: str | None) -> bytes:
        """An item that stands at `href`, below a collection if there is one."""
        if not isinstance(document, dict):
            return json.dumps(document).encode()
        if collection is not None and not document.get("collection"):
            document["collection"] = collection
        self._rewrite(document, href)
        return dump(document)

    def collection(self, document: Document, href: str) -> bytes:
        """A collection that stands at `href`, without the links to what is in it, which may be millions."""
        links = document.get("links")
        if isinstance(links, list):
            document["links"] = [link for link in links if rel(link) not in INFERRED_LINKS]
        self._rewrite(document, href)
        return dump(document)

    def _rewrite(self, document: Document, base: str) -> None:
        for place in _assets(document):
            place["href"] = self._file(place["href"], base)
        links = document.get("links")
        for link in links if isinstance(links, list) else ():
            if isinstance(link, dict) and isinstance(link.get("href"), str) and rel(link) not in INFERRED_LINKS:
                link["href"] = self._link(link["href"], base)

    def _link(self, href: str, base: str) -> str:
        target = absolute(href, base)
        if target.startswith(self._folder) and target.endswith(".json") and (address := self._target(target)):
            return address
        return self._file(href, base)

    def _address(self, target: str) -> str | None:
        """Where the service will have the item or collection of a file; None if it holds neither."""
        try:
            document = json.loads(read(target))
            identifier = segment(document["id"])
            if document["type"] == "Collection":
                return f"{self._api}/{identifier}"
            return f"{self._api}/{segment(document['collection'])}/items/{identifier}"
        except (UnavailableError, ValueError, RecursionError, KeyError, TypeError):
            return None

    def _file(self, href: str, base: str) -> str:
        if is_web(self._folder) and has_scheme(href):
            return href
        if has_scheme(href) and not href.startswith("file://"):
            return href
        target = absolute(href, base)
        if self._assets and target.startswith(self._folder):
            below = target.removeprefix(self._folder)
            return self._assets + (below if is_web(target) else _quoted(below, target))
        if is_web(target) or href.startswith(("/", "file://")):
            return target if is_web(target) else href
        return "file://" + _quoted(target, target)


def _quoted(text: str, path: str) -> str:
    """A path as part of a URL; one that is so written already stays as it is."""
    if "%" in text and not Path(path).exists() and unquote(text) != text:
        return text
    try:
        return quote(os.fsencode(text))
    except UnicodeEncodeError:  # half a surrogate pair, which no file system has in a name
        return quote(text, errors="surrogatepass")


def _assets(document: Document) -> Iterator[dict[str, Any]]:
    """All assets of a document that have an href, and their alternates."""
    assets = document.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        if isinstance(asset, dict):
            alternates = asset.get("alternate")
            for place in (asset, *(alternates.values() if isinstance(alternates, dict) else ())):
                if isinstance(place, dict) and isinstance(place.get("href"), str):
                    yield place
