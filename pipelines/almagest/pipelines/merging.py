"""An item that is published again: what is the process's is as it says, what others have added stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from almagest.catalogue.links import rel

Document = dict[str, Any]


def beside(present: Mapping[str, Any], item: Mapping[str, Any], own: Sequence[str]) -> Document:
    """The new item, with what the present one has that is none of the process's business.

    Args:
        present: as it is stored.
        item: as the process has made it.
        own: names of properties, and of members of links with a prefix, that are the process's; a `*` at the end stands
            for any end.
    """

    def is_own(name: str) -> bool:
        return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in own)

    theirs = {name: said for name, said in present["properties"].items() if not is_own(name)}
    links = list(item.get("links", []))
    links += [
        link
        for link in present.get("links") or []
        if isinstance(link, dict)  # stock writers store anything
        and link not in links
        and rel(link) != "derived_from"
        and not any(":" in name and is_own(name) for name in link)
    ]
    extensions = [*item.get("stac_extensions", []), *(present.get("stac_extensions") or [])]
    return {
        **present,
        **item,
        "properties": {**theirs, **item["properties"]},
        "assets": {**(present.get("assets") or {}), **item.get("assets", {})},
        "links": links,
        "stac_extensions": list(dict.fromkeys(extensions)),
    }
