"""Links from documents to the pictures that the tiler makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from almagest.catalogue import rendering
from almagest.core.hrefs import HrefPolicy

Document = Mapping[str, Any]
Link = dict[str, Any]


@dataclass(frozen=True)
class TileLinks:
    """Makes links for documents of which something can really be rendered, and none for others.

    Attributes:
        policy: what the tiler may open.
        url: public address of the tiler, without a trailing slash.
    """

    policy: HrefPolicy
    url: str

    def may_show(self, text: str) -> bool:
        """Whether a document may name something that can be opened, by a glance at its text: most name nothing."""
        return self.policy.may_be_named_in(text)

    def item(self, item: Document) -> list[Link]:
        """Tiles and small pictures of an item."""
        return rendering.links(item, rendering.renders(item, self.policy), self.url)

    def collection(self, collection: Document, example: Document | None) -> list[Link]:
        """Tiles of all items of a collection, shown as ``example``, one of them, is shown."""
        if example is None:
            return []
        ways = rendering.renders(dict(example), self.policy, dict(collection))
        return rendering.collection_links(collection, ways, self.url, example)
