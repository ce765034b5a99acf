"""Static catalogues: documents that lead to each other by links, on disk or on a web server.

The links are walked here rather than by pystac, which keeps every object it has seen and stops at the first that is
broken. What a document says, and what its hrefs mean, is as pystac has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from almagest.catalogue.exchange.reading import UnavailableError, absolute, read
from almagest.catalogue.exchange.records import Reading, Record, Unreadable, printable
from almagest.catalogue.exchange.relinking import Relinking

_HOLDERS = ("Catalog", "Collection")
#: Versions whose catalogues and collections do not say what they are.
_TYPELESS = re.compile(r"0\.|1\.0\.0-beta")
_ANY = frozenset({"child", "item"})


@dataclass
class _Level:
    """A catalogue whose links are being followed; each of them is a share of the whole."""

    links: Iterator[str]
    share: float
    collection: str | None


def static_root(path: Path) -> Path | None:
    """The root of the static catalogue that a file or folder is, if it is one.

    A folder with a collection that leads nowhere is a folder like any other.
    """
    if path.is_dir():
        catalog, collection = path / "catalog.json", path / "collection.json"
        if _is_holder(catalog):
            return catalog
        return collection if _is_holder(collection) and _links(_parsed(str(collection)), _ANY) else None
    return path if path.suffix == ".json" and _is_holder(path) else None


def _is_holder(path: Path) -> bool:
    return path.is_file() and _holder(_parsed(str(path))) is not None


class StaticSource:
    """A `catalog.json` or `collection.json` with everything its links lead to."""

    def __init__(self, root: str, *, origin: str = "", assets_base_url: str | None = None) -> None:
        """`root` is an absolute path or a URL; the others are those of `open_source`."""
        self.name = printable(root)
        self._root = root
        self._folder = root.rpartition("/")[0] + "/"
        self._relinking = Relinking(self._folder, origin, assets_base_url)
        self._done: float | None = None

    def collections(self) -> Iterator[Reading]:
        """The collections; items are not looked at."""
        for href, document, kind, _ in self._walk({"child"}):
            if kind == "Collection":
                yield Record(self._shown(href), self._relinking.collection(document, href))

    def items(self) -> Iterator[Reading]:
        """The items, each in its own collection or that which leads to it, and all links that lead nowhere."""
        for href, document, kind, above in self._walk(_ANY):
            if isinstance(document, UnavailableError):
                yield Unreadable(self._shown(href), str(document))
            elif kind is None:
                yield Record(self._shown(href), self._relinking.item(document, href, above))

    def fraction(self) -> float | None:
        """By links: those of one catalogue count alike."""
        return None if self._done is None else min(1.0, self._done)

    def _walk(self, rels: Set[str]) -> Iterator[tuple[str, Any, str | None, str | None]]:
        """Each document as it is, or why there is none: after its href, before what it holds and what is above it.

        Those are `Catalog`, `Collection` or None; and the id of a collection.
        """
        self._done = 0.0
        # Links lead to a catalogue more than once where they run in circles.
        followed: set[str] = set()
        levels = [_Level(iter([self._root]), 1.0, None)]
        while levels:
            level = levels[-1]
            href = next(level.links, None)
            if href is None:
                levels.pop()
                continue
            if href in followed:
                self._done += level.share
                continue
            document = _parsed(href)
            kind = _holder(document)
            # Before the document is given away, and perhaps changed.
            links = [absolute(link, href) for link in _links(document, rels)] if kind else []
            collection = document.get("id") if kind == "Collection" else level.collection
            yield href, document, kind, level.collection
            if kind:
                followed.add(href)
            if links:
                levels.append(_Level(iter(links), level.share / len(links), collection))
            else:
                self._done += level.share

    def _shown(self, href: str) -> str:
        return printable(href.removeprefix(self._folder))


def _parsed(href: str) -> Any:
    try:
        return json.loads(read(href))
    except UnavailableError as error:
        return error
    except (ValueError, RecursionError) as error:
        return UnavailableError(f"is not JSON: {error}")


def _holder(document: Any) -> str | None:
    """`Catalog` or `Collection`, if a document is one; None for anything else, an item for one."""
    if not isinstance(document, dict):
        return None
    kind, version = document.get("type"), document.get("stac_version")
    if kind is None and isinstance(version, str) and _TYPELESS.match(version):
        # As pystac tells them apart. Whatever else is not as it is today is for others to mend, and to say so.
        return "Collection" if document.keys() & {"extent", "license"} else "Catalog"
    return kind if kind in _HOLDERS else None


def _links(document: dict[str, Any], rels: Set[str]) -> list[str]:
    links = document.get("links")
    return [
        link["href"]
        for link in (links if isinstance(links, list) else ())
        if isinstance(link, dict) and link.get("rel") in rels and isinstance(link.get("href"), str) and link["href"]
    ]
