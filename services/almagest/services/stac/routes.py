"""The route inventory of the STAC API."""

from __future__ import annotations

from almagest.services.stac.map_page import FILES
from almagest.services.web.inventory import Route, Scope

_COLLECTION = "/collections/{collection_id}"
_ITEM = f"{_COLLECTION}/items/{{item_id}}"

_DESCRIPTIONS = ("/openapi.json", "/docs", *FILES)
_READS = (
    (("GET",), "/"),
    (("GET",), "/conformance"),
    (("GET",), "/collections"),
    (("GET",), _COLLECTION),
    (("GET",), f"{_COLLECTION}/items"),
    (("GET",), _ITEM),
    (("GET", "POST"), "/search"),
    (("GET", "POST"), "/pair-search"),
    (("GET",), "/queryables"),
    (("GET",), f"{_COLLECTION}/queryables"),
    (("GET",), "/changes"),
    (("GET",), "/aggregations"),
    (("GET", "POST"), "/aggregate"),
    (("GET",), f"{_COLLECTION}/aggregations"),
    (("GET", "POST"), f"{_COLLECTION}/aggregate"),
    (("GET",), "/coverage"),
    (("GET",), f"{_COLLECTION}/versions"),
    (("GET",), f"{_COLLECTION}/versions/{{version}}"),
    (("GET",), f"{_COLLECTION}/versions/{{version}}/diff"),
    (("GET",), f"{_ITEM}/versions"),
    (("GET",), f"{_ITEM}/versions/{{version}}"),
    (("GET",), f"{_ITEM}/versions/{{version}}/diff"),
    (("GET",), f"{_ITEM}/lineage"),
    (("GET", "HEAD"), "/assets/{collection_id}/{item_id}/{key:path}"),
)
_WRITES = (
    (("POST",), "/collections"),
    (("PUT", "PATCH", "DELETE"), _COLLECTION),
    (("POST",), f"{_COLLECTION}/items"),
    (("PUT", "PATCH", "DELETE"), _ITEM),
    (("POST",), f"{_COLLECTION}/bulk_items"),
    (("POST",), f"{_COLLECTION}/versions/{{version}}/restore"),
    (("POST",), f"{_ITEM}/versions/{{version}}/restore"),
    (("POST",), f"{_ITEM}/assets"),
    (("DELETE",), f"{_ITEM}/assets/{{key:path}}"),
)

_OPEN = tuple(Route(("GET",), path, Scope.PUBLIC) for path in _DESCRIPTIONS)

#: Everything; reading is for those inside, writing for those with a key.
INTERNAL: tuple[Route, ...] = (
    *_OPEN,
    *(Route(methods, path, Scope.READ, is_counted=not path.startswith("/assets/")) for methods, path in _READS),
    Route(("GET",), "/stale", Scope.READ),
    *(Route(methods, path, Scope.WRITE) for methods, path in _WRITES),
)

#: Reading alone, by anybody.
EXTERNAL: tuple[Route, ...] = (*_OPEN, *(Route(methods, path, Scope.PUBLIC) for methods, path in _READS))
