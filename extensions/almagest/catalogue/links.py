"""Links of STAC documents. Nothing is imported here that takes its time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

#: Links that follow from where a document is stored; whoever stores it writes them anew, whatever the document says.
INFERRED_LINKS = frozenset({"self", "root", "parent", "collection", "item", "items", "child"})
#: Links to what the server of a collection can be asked about it; those of another server say nothing of this one.
SERVER_LINKS = frozenset(
    {"queryables", "http://www.opengis.net/def/rel/ogc/1.0/queryables", "aggregate", "aggregations"}
)


def rel(link: Any) -> str | None:
    """What a link is for; None for what is no link at all."""
    found = link.get("rel") if isinstance(link, dict) else None
    return found if isinstance(found, str) else None


def related(document: Mapping[str, Any], relation: str) -> list[dict[str, Any]]:
    """Links of a document that are for something; stock writers store anything, which is none."""
    links = document.get("links")
    return [link for link in links if rel(link) == relation] if isinstance(links, list) else []


def path(href: object) -> str:
    """The path of an address; empty for what is none."""
    try:
        return urlsplit(str(href)).path
    except ValueError:
        return ""


def item_path(collection: str, identifier: str) -> str:
    """Of an item, below the root of an API."""
    return f"/collections/{quote(collection, safe='')}/items/{quote(identifier, safe='')}"
