"""Copying what a search finds into files, with the items that it is derived from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from almagest.catalogue.exchange import Writer
from almagest.client.api import Document, StacApi
from almagest.client.references import Memory, targets

#: How often what was fetched is looked through for further links.
_PASSES = 10
#: Ids in one request: in a body, and in an address, which must not become too long.
_IN_BODY, _IN_ADDRESS = 200, 50


@dataclass
class Tally:
    """What has been copied.

    Attributes:
        found: items that the search found.
        followed: items that others led to.
        lost: items that others lead to and the API does not have.
        collections: of all these items.
    """

    found: int = 0
    followed: int = 0
    lost: int = 0
    collections: int = 0


def copy(
    api: StacApi,
    search: Mapping[str, Any],
    writer: Writer,
    *,
    most: int | None = None,
    follow: bool = True,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Writes what a search finds, each collection before its first item.

    Args:
        api: where to search.
        search: body of a STAC item search.
        writer: takes the documents.
        most: items that the search may find.
        follow: fetch the items, too, that found ones are `related` to or `derived_from`, and so on up to ten times.
        progress: told of each item.
    """
    tally, memory, collections = Tally(), Memory(), set[str]()

    def take(items: Iterable[Document], counter: str) -> int:
        taken = 0
        for item in items:
            collection = str(item.get("collection") or "")
            if not memory.add(collection, str(item.get("id"))):
                continue  # a server that moves while it is read may show an item twice
            if collection and collection not in collections:
                collections.add(collection)
                tally.collections += 1
                if document := api.collection(collection):
                    writer.write_collection(document)
            if follow:
                for target in targets(item, api.root):
                    memory.want(target)
            writer.write(item)
            taken += 1
            setattr(tally, counter, getattr(tally, counter) + 1)
            progress(tally)
        return taken

    try:
        take(api.search(search, most=most), "found")
        for _ in range(_PASSES if follow else 0):
            missing = memory.missing(_IN_BODY if api.takes_posts else _IN_ADDRESS)
            if not sum(take(api.search(_by_id(*batch)), "followed") for batch in missing):
                break
        tally.lost = memory.lost()
        return tally
    finally:
        memory.close()


def _by_id(collection: str | None, identifiers: list[str]) -> Document:
    return {**({"collections": [collection]} if collection else {}), "ids": identifiers}
