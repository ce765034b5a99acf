"""The route inventory of the tiler."""

from __future__ import annotations

from almagest.services.web.inventory import Route, Scope

_COLLECTION = "/collections/{collection_id}"
_ITEM = f"{_COLLECTION}/items/{{item_id}}"
_SEARCH = "/searches/{search_id}"

_TILES = (
    "/tiles",
    "/tiles/{tileMatrixSetId}",
    "/tiles/{tileMatrixSetId}/{z}/{x}/{y}",
    "/tiles/{tileMatrixSetId}/{z}/{x}/{y}.{format}",
    "/{tileMatrixSetId}/tilejson.json",
)
_PARTS = (
    "/point/{lon},{lat}",
    "/bbox/{minx},{miny},{maxx},{maxy}.{format}",
    "/bbox/{minx},{miny},{maxx},{maxy}/{width}x{height}.{format}",
)
_FEATURES = ("/feature", "/feature.{format}", "/feature/{width}x{height}.{format}")
_PREVIEWS = ("/preview", "/preview.{format}", "/preview/{width}x{height}.{format}")
_ABOUT_ITEM = ("/info", "/info.geojson", "/assets", "/asset_statistics")
_VOCABULARIES = (
    "/tileMatrixSets",
    "/tileMatrixSets/{tileMatrixSetId}",
    "/colorMaps",
    "/colorMaps/{colorMapId}",
    "/algorithms",
    "/algorithms/{algorithmId}",
)

_READS = (
    *((("GET",), f"{source}{path}") for source in (_ITEM, _COLLECTION, _SEARCH) for path in (*_TILES, *_PARTS)),
    *((("POST",), f"{source}{path}") for source in (_ITEM, _COLLECTION, _SEARCH) for path in _FEATURES),
    *((("GET",), f"{_ITEM}{path}") for path in (*_PREVIEWS, *_ABOUT_ITEM)),
    (("GET", "POST"), f"{_ITEM}/statistics"),
    *((("POST",), f"{source}/statistics") for source in (_COLLECTION, _SEARCH)),
    (("GET",), f"{_SEARCH}/info"),
    *((("GET",), path) for path in _VOCABULARIES),
)

_OPEN = tuple(Route(("GET",), path, Scope.PUBLIC) for path in ("/openapi.json", "/docs"))

#: Pictures for those inside; a search gets its address from those with a key.
INTERNAL: tuple[Route, ...] = (
    *_OPEN,
    *(Route(methods, path, Scope.READ) for methods, path in _READS),
    Route(("POST",), "/searches/register", Scope.WRITE),
)

#: Pictures for anybody.
EXTERNAL: tuple[Route, ...] = (*_OPEN, *(Route(methods, path, Scope.PUBLIC) for methods, path in _READS))
