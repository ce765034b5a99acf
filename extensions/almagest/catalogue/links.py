"""Links of STAC documents. Nothing is imported here that takes its time."""

from __future__ import annotations

from typing import Any

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
