"""Writing self-contained static catalogues in the layout of eomatch: `{collection}/{year}/{month}/{day}/{id}.json`.

Everything is written beside the target first. A new catalogue is then renamed; one that is there already is added to
file by file, those that lead to the others last, and files that are no part of it (assets, for one) stay.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from almagest.catalogue.exchange.naming import day_folder, file_names
from almagest.catalogue.exchange.records import Document, dump
from almagest.catalogue.exchange.register import Register
from almagest.catalogue.exchange.writing import beside
from almagest.catalogue.extents import Extent, bare_collection, is_bare
from almagest.catalogue.links import INFERRED_LINKS, rel
from almagest.core.errors import BadRequestError

_JSON, _GEOJSON = "application/json", "application/geo+json"
_CATALOG, _COLLECTION = "catalog.json", "collection.json"
_ITEM_ADDRESS = re.compile(r"(.*)/collections/([^/?#]+)/items/([^/?#]+)/?")

#: What comes of catalogues that hold anything but what they should.
_BROKEN = (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)

Link = dict[str, Any]


class StacWriter:
    """A static catalogue. An item that comes twice is there once, as it came last."""

    def __init__(self, target: Path, *, identifier: str, origin: str) -> None:
        self._target = target = target.absolute()
        self._origins = (f"{origin.rstrip('/')}/", "/") if origin else ("",)
        if target.exists() and not (target.is_dir() and (not any(target.iterdir()) or (target / _CATALOG).is_file())):
            raise BadRequestError(f"{target} is there already and no static catalogue.")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Where files can be renamed to what is there, which may be a file system of its own.
        self._folder = beside(target / target.name if target.exists() else target)
        self._folder.mkdir()
        self._register = Register()
        self._root: Document = {
            "type": "Catalog",
            "id": identifier,
            "stac_version": "1.1.0",
            "description": f"Items of {identifier}",
        }
        self._collections: dict[str, Document] = {}
        self._extents: dict[str, Extent] = {}
        #: Of each collection, by id, and all of them in lower case.
        self._folders: dict[str, str] = {}
        self._taken = {_CATALOG}
        try:
            self._take_over()
        except BaseException as error:
            self._clean()
            if isinstance(error, _BROKEN):
                raise BadRequestError(f"{target} holds a catalogue that cannot be added to: {error}") from error
            raise

    def write(self, item: Document) -> None:
        """Adds an item."""
        collection = item.get("collection") or ""
        above = self._above(collection)
        path = self._register.place(collection, item["id"], posixpath.join(above, day_folder(item)))
        here = posixpath.dirname(path)
        links = [link for link in item.get("links") or () if rel(link) not in INFERRED_LINKS]
        if any(self._reference(link) for link in links):
            self._register.mark(path)
        holder = posixpath.relpath(posixpath.join(above, _COLLECTION if collection else _CATALOG), here)
        structure = [_link("root", posixpath.relpath(_CATALOG, here)), _link("parent", holder)]
        if collection:
            structure.append(_link("collection", holder))
        self._save(path, dump({**item, "links": [*structure, *links]}))
        self._cover(collection, item)

    def write_collection(self, collection: Document) -> None:
        """Adds a collection."""
        self._above(collection["id"])
        self._collections[collection["id"]] = collection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._refer()
                self._save_collections()
                self._save_root()
                self._publish()
        finally:
            self._clean()

    def _take_over(self) -> None:
        """Makes what is in the target part of what will be there."""
        root = self._target / _CATALOG
        if not root.is_file():
            return
        self._root = _loaded(root)
        kept: list[Link] = []
        for link in self._root.get("links") or ():
            path = self._local(link, "")
            if rel(link) == "child" and path and posixpath.basename(path) == _COLLECTION and path.count("/") == 1:
                collection = _loaded(self._target / path)
                folder = posixpath.dirname(path)
                self._folders[collection["id"]] = folder
                self._taken.add(folder.casefold())
                self._take_over_items(collection["id"], collection, folder)
                if not is_bare(collection):
                    self._collections[collection["id"]] = collection
            elif rel(link) not in {"self", "root", "item"}:
                kept.append(link)
        self._take_over_items("", self._root, "")
        self._root["links"] = kept

    def _take_over_items(self, collection: str, document: Document, folder: str) -> None:
        links = document.get("links") or []
        for link in links:
            path = self._local(link, folder) if rel(link) == "item" else None
            if path and (self._target / path).is_file():
                item = _loaded(self._target / path)
                self._register.remember(collection, item["id"], path)
                self._cover(collection, item)
        document["links"] = [link for link in links if rel(link) not in INFERRED_LINKS - {"child"}]

    def _cover(self, collection: str, item: Document) -> None:
        """Takes note of where and when an item is, if it says so: nobody has judged it."""
        with suppress(AttributeError, LookupError, TypeError, ValueError):
            extent = Extent.of(item)
            # With itself, if it is the first: what cannot be compared would stand in the way of all others.
            self._extents[collection] = self._extents.get(collection, extent) | extent

    def _local(self, link: Any, folder: str) -> str | None:
        """The path below the target that a link leads to, if it leads to one."""
        href = link.get("href") if isinstance(link, dict) else None
        if not isinstance(href, str) or "://" in href:
            return None
        path = os.path.relpath(self._target / folder / href, self._target)
        return None if path.startswith("..") else path

    def _above(self, collection: str) -> str:
        """The folder of a collection."""
        if collection and collection not in self._folders:
            name = next(name for name in file_names(collection) if name.casefold() not in self._taken)
            self._taken.add(name.casefold())
            self._folders[collection] = name
        return self._folders[collection] if collection else ""

    def _reference(self, link: Any) -> tuple[str, str] | None:
        """The collection and id of the item that a link leads to by the address that a service gave it."""
        href = link.get("href") if isinstance(link, dict) else None
        if not isinstance(href, str) or not href.startswith(self._origins):
            return None
        found = _ITEM_ADDRESS.fullmatch(href)
        if found is None:
            return None
        return unquote(found[2]), unquote(found[3])

    def _refer(self) -> None:
        """Makes links between items of the catalogue relative, now that all are known."""
        for path in self._register.marked():
            item = _loaded(self._folder / path)
            for link in item["links"]:
                reference = self._reference(link)
                there = self._register.path(*reference) if reference else None
                if there:
                    link["href"] = posixpath.relpath(there, posixpath.dirname(path))
            self._save(path, dump(item))

    def _save_collections(self) -> None:
        for identifier, folder in self._folders.items():
            document = self._collections.get(identifier) or bare_collection(identifier, self._extents.get(identifier))
            links = [link for link in document.get("links") or () if rel(link) not in INFERRED_LINKS - {"child"}]
            structure = [_link("root", f"../{_CATALOG}"), _link("parent", f"../{_CATALOG}"), *links]
            items = (posixpath.relpath(path, folder) for path in self._register.paths(identifier))
            self._save_holder(f"{folder}/{_COLLECTION}", document, structure, items)

    def _save_root(self) -> None:
        children = [_link("child", f"./{folder}/{_COLLECTION}") for folder in self._folders.values()]
        links = [_link("root", f"./{_CATALOG}"), *children, *(self._root.get("links") or ())]
        self._save_holder(_CATALOG, self._root, links, self._register.paths(""))

    def _save_holder(self, path: str, document: Document, links: list[Link], items: Iterable[str]) -> None:
        """A document with links to items, which may be too many to be held."""
        without = dump({key: value for key, value in document.items() if key != "links"})
        (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (self._folder / path).open("wb") as file:
            file.write(without[:-1] + b',"links":[')
            file.write(b",\n".join(map(dump, links)))
            for item in items:
                file.write(b",\n" + dump(_link("item", f"./{item}", _GEOJSON)))
            file.write(b"]}\n")

    def _save(self, path: str, data: bytes) -> None:
        full = self._folder / path
        try:
            full.write_bytes(data)
        except FileNotFoundError:
            full.parent.mkdir(parents=True, exist_ok=True)
            full.write_bytes(data)

    def _publish(self) -> None:
        if not self._target.exists():
            self._folder.rename(self._target)
            return
        for path in _leaders_last(self._folder):
            (self._target / path).parent.mkdir(parents=True, exist_ok=True)
            (self._folder / path).replace(self._target / path)

    def _clean(self) -> None:
        self._register.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _leaders_last(folder: Path) -> Iterator[Path]:
    """All files of a catalogue, those with links to others after those."""
    for base, folders, names in os.walk(folder, topdown=False):
        folders.sort()
        for name in sorted(names):
            yield Path(base, name).relative_to(folder)


def _link(rel: str, href: str, media_type: str = _JSON) -> Link:
    return {"rel": rel, "href": href, "type": media_type}


def _loaded(path: Path) -> Document:
    try:
        document: Any = json.loads(path.read_bytes())
    except (OSError, RecursionError, ValueError) as error:
        raise BadRequestError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("id"), str):
        raise BadRequestError(f"{path} is no STAC document.")
    return document
