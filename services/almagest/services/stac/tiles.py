"""Links from documents to the pictures that the tiler makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from almagest.core.settings import Settings


@dataclass(frozen=True)
class TileLinks:
    """Makes links to rendered pictures."""

    base: str

    @classmethod
    def of(cls, settings: Settings, base: str) -> TileLinks:
        return cls(base)

    def item(self, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        return []

    def collection(self, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        return []
