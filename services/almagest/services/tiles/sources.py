"""What pictures are made of: an item, or many items as one mosaic. Both know how they are shown by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from rio_tiler.types import BBox

from almagest.catalogue.rendering import Render, default_render
from almagest.core.errors import NotFoundError
from almagest.core.hrefs import HrefPolicy
from almagest.core.settings import Settings
from almagest.services.tiles.database import Catalogue, Document
from almagest.services.tiles.reader import WORLD, CatalogueItem, box


class Source(Protocol):
    """Something to be shown."""

    def default(self) -> Render | None:
        """How to show it; None where nothing of it can be shown."""

    def example(self) -> CatalogueItem | None:
        """An item to look at for what holds for all; always the same one while nothing changes."""


@dataclass(frozen=True)
class ItemSource(CatalogueItem):
    """One item of the catalogue."""

    def default(self) -> Render | None:
        """As its own document says, or its collection's."""
        collection = self.catalogue.collection(str(self.document.get("collection")))
        return default_render(self.document, self.policy, collection)

    def example(self) -> CatalogueItem:
        """Itself."""
        return self


@dataclass(frozen=True)
class Mosaic:
    """The items of a search, one above the other.

    Attributes:
        tiler: where the items come from.
        search: a STAC item search; its order is that of the items, the first on top.
        about: a document with ``renders``: the collection, or what was registered with the search.
        title: for people.
        bounds: what it covers, in degrees.
        zooms: smallest and largest zoom at which it is meant to be seen; None for those of the grid.
    """

    tiler: Tiler
    search: Mapping[str, Any]
    about: Mapping[str, Any]
    title: str
    bounds: BBox = WORLD
    zooms: tuple[int | None, int | None] = (None, None)

    def items(
        self, geometry: Mapping[str, Any] | None, limit: int, *, exit_when_full: bool = True, skip_covered: bool = True
    ) -> list[CatalogueItem]:
        """Items under a geometry, the one on top first."""
        found = self.tiler.catalogue.mosaic(
            self.search, geometry, limit=limit, exit_when_full=exit_when_full, skip_covered=skip_covered
        )
        tiler = self.tiler
        return [CatalogueItem(document, tiler.policy, tiler.max_size_px, tiler.catalogue) for document in found]

    def default(self) -> Render | None:
        """As its own document says, or as one of its items is shown: all of them alike."""
        example = self.example()
        return default_render(example.document, self.tiler.policy, self.about) if example else None

    def example(self) -> CatalogueItem | None:
        """The item on top of all, with all its properties."""
        return self._example

    @cached_property
    def _example(self) -> CatalogueItem | None:
        first = next(iter(self.items(None, 1)), None)
        if first is None:
            return None
        tiler = self.tiler
        document = tiler.catalogue.item(first.document["collection"], first.document["id"])
        return CatalogueItem(document, tiler.policy, tiler.max_size_px, tiler.catalogue) if document else None


@dataclass(frozen=True)
class Tiler:
    """The catalogue of one audience, and what may be read of it."""

    catalogue: Catalogue
    policy: HrefPolicy
    max_size_px: int
    mosaic_items: int

    @classmethod
    def of(cls, settings: Settings, catalogue: Catalogue, *, external: bool = False) -> Tiler:
        """The tiler that the settings describe.

        Args:
            settings: what may be read, and how much of it.
            catalogue: of one audience.
            external: whether that is the external one.

        Raises:
            ConfigurationError: a setting would let too much be read.
        """
        policy = HrefPolicy.of(settings, external=external)
        return cls(catalogue, policy, settings.tiles.max_size_px, settings.tiles.mosaic_items)

    def item(self, collection: str, item: str) -> ItemSource:
        """One item.

        Raises:
            NotFoundError: there is none.
        """
        document = self.catalogue.item(collection, item)
        if document is None:
            raise NotFoundError(f"There is no item {item!r} in the collection {collection!r}.")
        return ItemSource(document, self.policy, self.max_size_px, self.catalogue)

    def collection(self, collection: str, conditions: Mapping[str, Any]) -> Mosaic:
        """The items of a collection that meet some conditions.

        Raises:
            NotFoundError: there is no such collection.
        """
        document = self.catalogue.collection(collection)
        if document is None:
            raise NotFoundError(f"There is no collection {collection!r}.")
        search = {**conditions, "collections": [collection]}
        return Mosaic(self, search, document, str(document.get("title") or collection), _extent(document))

    def search(self, identifier: str) -> tuple[Mosaic, Document]:
        """A registered search, and what is kept of it.

        Raises:
            NotFoundError: there is none.
        """
        registered = self.catalogue.search(identifier)
        if registered is None:
            raise NotFoundError(f"There is no search {identifier!r}.")
        return self.mosaic(registered), registered

    def mosaic(self, registered: Document) -> Mosaic:
        """What a registered search makes."""
        search, metadata = registered["search"], registered["metadata"]
        return Mosaic(
            self,
            search,
            {"renders": metadata.get("defaults")},
            str(metadata.get("name") or registered["id"]),
            box(metadata.get("bounds")) or box(search.get("bbox")) or WORLD,
            (metadata.get("minzoom"), metadata.get("maxzoom")),
        )


def _extent(collection: Mapping[str, Any]) -> BBox:
    try:
        boxes = collection["extent"]["spatial"]["bbox"]
        return box(boxes[0]) or WORLD
    except (KeyError, TypeError, IndexError):
        return WORLD
