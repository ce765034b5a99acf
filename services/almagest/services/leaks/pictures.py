"""Generated requests to the tiler: small pictures and numbers of items, collections and registered searches."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from almagest.services.leaks.dice import Dice
from almagest.services.leaks.requests import Request
from almagest.services.leaks.searches import Searches
from almagest.services.leaks.vocabulary import Words
from almagest.services.web.inventory import Route

_GRID = "WebMercatorQuad"
_FORMATS = ("png", "jpg", "tif", "npy", "webp")
_ALGORITHMS = ("hillshade", "normalizedIndex", "cast", "no-such-algorithm")
_EXPRESSIONS = ("b1", "b1+1", "(b1-b2)/(b1+b2)", "b9", "where(b1>9,1,0)")
_VALUES = {
    "tileMatrixSetId": (_GRID, "WGS1984Quad", "nowhere"),
    "colorMapId": ("viridis", "nothing"),
    "algorithmId": ("hillshade", "nothing"),
    "search_id": ("0" * 64, "x"),
    "width": ("16", "1", "33", "999999"),
    "height": ("16", "7"),
    "format": _FORMATS,
}
_OF_MOSAICS = (("items_limit", "1"), ("items_limit", "2"), ("exitwhenfull", "false"), ("skipcovered", "false"))
_NARROWING = frozenset({"ids", "bbox", "datetime", "filter", "sortby"})

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pictures:
    """Draws requests to the tiler.

    Attributes:
        dice: chance.
        words: what is looked at.
    """

    dice: Dice
    words: Words

    def request(self, route: Route) -> Request:
        """A request that a route answers."""
        method = self.dice.one(route.methods)
        box = self.dice.one(self.words.boxes)
        values = {**self._place(box), **{name: self.dice.one(values) for name, values in _VALUES.items()}}
        values["collection_id"], values["item_id"] = self.dice.one(self.words.items)
        if "{item_id}" not in route.path:
            values["collection_id"] = self.dice.one(self.words.collections)
        values["search_id"] = self.dice.one(self.words.searches)
        path = tuple(part.format_map(values) for part in route.path.strip("/").split("/"))
        query = self._query(route, (values["collection_id"], values["item_id"]))
        body = json.dumps(self._feature()).encode() if method == "POST" else None
        if method == "GET" and self.dice.chance(6):
            method = "HEAD"
        headers = (("if-none-match", '"0"'),) if self.dice.chance(5) else ()
        return Request("tiles", method, path, query, headers, body)

    def _place(self, box: Sequence[float]) -> dict[str, str]:
        west, south, east, north = box
        lon, lat = (west + east) / 2, (south + north) / 2
        zoom = self.dice.one((8, 9, 6, 4, 11, 0))
        row = (1 - math.asinh(math.tan(math.radians(max(-85.0, min(85.0, lat))))) / math.pi) / 2
        return {
            "z": str(zoom),
            "x": str(min(2**zoom - 1, int((lon + 180) / 360 * 2**zoom))),
            "y": str(min(2**zoom - 1, int(row * 2**zoom))),
            "lon": str(lon),
            "lat": str(lat),
            "minx": str(west),
            "miny": str(south),
            "maxx": str(east),
            "maxy": str(north),
        }

    def _feature(self) -> dict[str, object]:
        geometry = Searches(self.dice, self.words).filters.polygon()
        return {"type": "Feature", "properties": {}, "geometry": geometry}

    def _query(self, route: Route, item: tuple[str, str]) -> Parameters:
        parameters: list[tuple[str, str]] = []
        if "{search_id}" not in route.path and "{collection_id}" not in route.path:
            return ()
        if self.dice.chance(50):
            own = [key for collection, identifier, key in self.words.assets if (collection, identifier) == item]
            every = [key for _, _, key in self.words.assets]
            keys = own if own and self.dice.chance(70) else every
            parameters += [("assets", self._asset(key)) for key in self.dice.some(keys, 2)]
        if "{item_id}" not in route.path:
            parameters += self._narrowing() if "{collection_id}" in route.path else ()
            for name, value in _OF_MOSAICS:
                if self.dice.chance(12):
                    parameters.append((name, value))
        for name, percent, values in (
            ("max_size", 50, ("24",)),
            ("expression", 10, _EXPRESSIONS),
            ("rescale", 20, ("0,255", "10,40")),
            ("algorithm", 4, _ALGORITHMS),
            ("colormap_name", 5, ("viridis", "nothing")),
            ("asset_as_band", 5, ("true",)),
            ("tileMatrixSetId", 3, (_GRID,)),
        ):
            if self.dice.chance(percent):
                parameters.append((name, self.dice.one(values)))
        return tuple(parameters)

    def _asset(self, key: str) -> str:
        return f"{key}|bidx={self.dice.one(('1', '2', '1,2'))}" if self.dice.chance(15) else key

    def _narrowing(self) -> Parameters:
        if not self.dice.chance(40):
            return ()
        searches = Searches(self.dice, self.words)
        return searches.parameters({key: value for key, value in searches.body().items() if key in _NARROWING})
