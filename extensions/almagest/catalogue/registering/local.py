"""Results in a static catalogue on this machine: one file, that of the item, is written anew and put in its place."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import posixpath
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from almagest.catalogue.exchange.reading import absolute, is_web, read
from almagest.catalogue.exchange.records import dump
from almagest.catalogue.exchange.static import static_root
from almagest.catalogue.exchange.writing import beside, complete
from almagest.catalogue.registering import keys
from almagest.catalogue.registering.files import plain
from almagest.catalogue.registering.keys import Registered
from almagest.core.errors import BadRequestError, NotFoundError

Document = dict[str, Any]
T = TypeVar("T")


class Catalogue:
    """A static catalogue.

    Args:
        place: its folder, or its `catalog.json`.

    Raises:
        BadRequestError: there is none.
    """

    def __init__(self, place: Path) -> None:
        root = static_root(plain(place))
        if root is None:
            raise BadRequestError(f"{place} is no static catalogue: no catalog.json, and no folder with one.")
        self._root = root

    @property
    def folder(self) -> Path:
        """What holds it."""
        return self._root.parent

    def register(
        self,
        collection: str,
        item: str,
        prefix: str,
        asset: Document,
        day: date,
        file: Path | None = None,
        *,
        named: Callable[[Document], str] | None = None,
    ) -> Registered:
        """Adds an asset to an item.

        Args:
            collection: id.
            item: id.
            prefix: of its keys.
            asset: with its `file:checksum`.
            day: of its key.
            file: where it lies on this machine: its href is then relative, if that is below the catalogue.
            named: told which keys of the day the item has, answers under which it is in another catalogue; meanwhile
                nobody of us changes the item. Without it a key is chosen here.

        Raises:
            NotFoundError: there is no such collection or item.
        """
        path = self._item(collection, item)
        if file is not None:
            asset = {**asset, "href": self._href(file, path)}

        def change(document: Document) -> tuple[Document, Registered]:
            key = named(keys.names(document.get("assets") or {}, prefix, day)) if named else None
            return keys.register(document, prefix, asset, day, key)

        return _rewrite(path, change)

    def remove(self, collection: str, item: str, key: str) -> str | None:
        """Takes an asset out of an item; as :func:`almagest.catalogue.registering.keys.remove`."""
        return _rewrite(self._item(collection, item), lambda document: keys.remove(document, key))

    def _href(self, file: Path, item: Path) -> str:
        file = plain(file)
        if not file.is_relative_to(self.folder):
            return str(file)
        href = posixpath.relpath(file, item.parent)
        return href if href.startswith("../") else f"./{href}"

    def _item(self, collection: str, item: str) -> Path:
        """The file of an item."""
        holders = list(self._holders(collection))
        if not holders:
            raise NotFoundError(f"{self._root} leads to no collection {collection}.")
        for href, document in holders:
            links = [absolute(link, href) for link in _links(document, "item")]
            # As nearly every catalogue calls its files, so that few are opened.
            for path in sorted(links, key=lambda link: item not in link):
                if not is_web(path) and os.path.isfile(path) and _loaded(path).get("id") == item:  # noqa: PTH113
                    return Path(path)
        raise NotFoundError(f"The collection {collection} of {self._root} leads to no item {item}.")

    def _holders(self, collection: str) -> Iterator[tuple[str, Document]]:
        """The collection, wherever it stands."""
        followed: set[str] = set()
        waiting = [str(self._root)]
        while waiting:
            href = waiting.pop()
            if href in followed or is_web(href):
                continue
            followed.add(href)
            document = _loaded(href)
            if document.get("type") == "Collection" and document.get("id") == collection:
                yield href, document
            waiting += [absolute(link, href) for link in _links(document, "child")]


def _rewrite(path: Path, change: Callable[[Document], tuple[Document, T]]) -> T:
    """Changes a document while nobody else of us does, and writes it if it is another one then."""
    with _locked(path.parent):
        text = path.read_bytes()
        before = _loaded(str(path))
        after, answer = change(before)
        if after != before:
            # As it was: in one line, or for people.
            is_wide = b"\n" in text.strip()
            draft = beside(path)
            try:
                with draft.open("xb") as file:
                    file.write(json.dumps(after, indent=2, ensure_ascii=False).encode() if is_wide else dump(after))
                    complete(file)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
    return answer


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _loaded(href: str) -> Document:
    try:
        document = json.loads(read(href))
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"{href} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadRequestError(f"{href} is no STAC document.")
    return document


def _links(document: Document, rel: str) -> list[str]:
    links = document.get("links")
    return [
        link["href"]
        for link in (links if isinstance(links, list) else ())
        if isinstance(link, dict) and link.get("rel") == rel and isinstance(link.get("href"), str)
    ]
