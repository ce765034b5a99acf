"""Links from documents to their pictures, as STAC Browser 4 (ol-stac 1.1) and QGIS look for them.

The map takes the first ``xyz`` link of the web-map-links extension; cards and the gallery take ``preview`` links,
where no asset has the role ``thumbnail`` or ``overview``. The extension is not added to ``stac_extensions``: rel types
need no declaration to be understood, and what is added on the way out should not make a stored document claim more
than its author did, or a validator fetch a schema for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from almagest.catalogue.rendering.render import Render
from almagest.core.addresses import segment

Link = dict[str, Any]

#: Rel types of the links made here: those to leave out when a client sends a document back to be stored.
RELS = frozenset({"xyz", "tilejson", "preview", "thumbnail"})

_TMS = "WebMercatorQuad"
_TILE_PX = "256"
_PREVIEW_PX = "512"
_THUMBNAIL_PX = "256"


def links(item: Mapping[str, Any], shown: Render | Iterable[Render] | None, tiles_url: str) -> list[Link]:
    """Links of an item: tiles for each render, the default first, and small pictures of the default.

    Args:
        item: the item.
        shown: what :func:`default_render` or :func:`renders` returned for it.
        tiles_url: public address of the tiler, without a trailing slash.

    Returns:
        No link where there is nothing to show, or where the fields extension left the ids out.
    """
    ways = _listed(shown)
    if not ways or "id" not in item or "collection" not in item:
        return []
    here = _item_url(item, tiles_url)
    return [*_tiles(here, ways), *_pictures(here, ways[0])]


def collection_links(
    collection: Mapping[str, Any],
    shown: Render | Iterable[Render] | None,
    tiles_url: str,
    example: Mapping[str, Any] | None = None,
) -> list[Link]:
    """Links of a collection: tiles of all its items together, and small pictures of one of them.

    Args:
        collection: the collection.
        shown: what :func:`renders` returned for an item of the collection, given the collection.
        tiles_url: public address of the tiler, without a trailing slash.
        example: that item; without it there are no small pictures.

    Returns:
        No link where there is nothing to show.
    """
    ways = _listed(shown)
    if not ways or "id" not in collection:
        return []
    here = f"{tiles_url}/collections/{segment(collection['id'])}"
    return [*_tiles(here, ways), *(_pictures(_item_url(example, tiles_url), ways[0]) if example else ())]


def _listed(shown: Render | Iterable[Render] | None) -> list[Render]:
    if shown is None:
        return []
    return [shown] if isinstance(shown, Render) else list(shown)


def _tiles(here: str, ways: list[Render]) -> list[Link]:
    made: list[Link] = []
    for way in ways:
        # The render extension asks that such links name their render.
        named = {"render": way.name} if way.name else {}
        # A map asks for all tiles in sight; outside the data it should get an empty one, not an error for each.
        query = way.query(("blank", "true"))
        tilejson = way.query(("tilesize", _TILE_PX), ("tile_format", "png"), ("blank", "true"), *_zooms(way))
        made += [
            {
                "rel": "xyz",
                "href": f"{here}/tiles/{_TMS}/{{z}}/{{x}}/{{y}}.png?{query}",
                "type": "image/png",
                "title": way.title,
                **named,
            },
            {
                "rel": "tilejson",
                "href": f"{here}/{_TMS}/tilejson.json?{tilejson}",
                "type": "application/json",
                "title": way.title,
                **named,
            },
        ]
    return made


def _zooms(way: Render) -> list[tuple[str, str]]:
    return [("minzoom", str(way.zooms[0])), ("maxzoom", str(way.zooms[1]))] if way.zooms else []


def _pictures(here: str, way: Render) -> list[Link]:
    return [
        {
            "rel": rel,
            "href": f"{here}/preview.png?{way.query(('max_size', size))}",
            "type": "image/png",
            "title": title,
        }
        for rel, size, title in (("preview", _PREVIEW_PX, "Preview"), ("thumbnail", _THUMBNAIL_PX, "Thumbnail"))
    ]


def _item_url(item: Mapping[str, Any], tiles_url: str) -> str:
    return f"{tiles_url}/collections/{segment(item['collection'])}/items/{segment(item['id'])}"
