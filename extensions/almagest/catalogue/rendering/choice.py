"""Which assets of an item make its picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from almagest.catalogue.rendering.assets import bands, data_type, number, raster_href, roles
from almagest.catalogue.rendering.render import Range, Render
from almagest.core.hrefs import HrefPolicy

Document = Mapping[str, Any]

_PICTURE_KEYS = ("visual", "tci", "tci_10m", "true_color", "true-color", "rendered_preview", "rgb", "image")
#: Key sets of red, green and blue, for items that do not name their bands' colours.
_RGB_KEYS = (("red", "green", "blue"), ("B04", "B03", "B02"), ("B4", "B3", "B2"), ("SR_B4", "SR_B3", "SR_B2"))
#: Rasters about the pixels rather than of the ground: shown only where there is nothing else.
_SECONDARY_ROLES = frozenset(
    {
        "thumbnail",
        "metadata",
        "data-mask",
        "cloud",
        "cloud-shadow",
        "saturation",
        "snow-ice",
        "water-mask",
        "snow-water",
    }
    | {
        "terrain-shadow",
        "terrain-occlusion",
        "terrain-illumination",
        "incidence-angle",
        "azimuth",
        "local-incidence-angle",
    }
)
_MAX_CLASSES = 64
_NATURAL = ("visual", "true", "natural", "rgb", "default")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def default_render(item: Document, policy: HrefPolicy, collection: Document | None = None) -> Render | None:
    """How to show an item; None where no asset of it can be opened as a raster.

    The item's own ``renders`` come first, then its collection's, then what its assets look like: a picture made to be
    seen, red, green and blue bands, any raster.
    """
    return next(iter(renders(item, policy, collection)), None)


def renders(item: Document, policy: HrefPolicy, collection: Document | None = None) -> list[Render]:
    """All ways to show an item that its documents name, or the one that we choose; the default first."""
    usable = _usable(item, policy)
    if not usable:
        return []
    properties = item.get("properties")
    own = properties.get("renders") if isinstance(properties, Mapping) else None
    of_collection = collection.get("renders") if collection else None
    named = {render.name: render for render in [*_named(of_collection, usable), *_named(own, usable)]}
    if named:
        mine = set(own) if isinstance(own, Mapping) else set()
        return sorted(named.values(), key=lambda render: (render.name not in mine, *_strangeness(render)))
    chosen = _picture(usable) or _from_colors(usable) or _single(usable)
    return [chosen] if chosen else []


def _strangeness(render: Render) -> tuple[bool, bool]:
    """Orders what documents name: the database keeps no order of keys, so the author's first is not known. What looks
    like the world goes before other band combinations, and these before what is computed or coloured in."""
    computed = bool(render.expression or render.colormap_name or render.colormap)
    natural = any(word in f"{render.name} {render.title}".lower() for word in _NATURAL)
    return computed, not natural


def _usable(item: Document, policy: HrefPolicy) -> dict[str, Document]:
    assets = item.get("assets")
    if not isinstance(assets, Mapping):
        return {}
    return {
        key: asset
        for key, asset in assets.items()
        # "|" separates an asset from its bands in the tiler's parameters.
        if isinstance(asset, Mapping) and "|" not in key and raster_href(asset, policy)
    }


def _picture(usable: Mapping[str, Document]) -> Render | None:
    """An asset that was made to be looked at."""

    def rank(entry: tuple[str, Document]) -> int | None:
        key, asset = entry
        if data_type(asset) not in {"", "uint8"}:
            return None
        if "visual" in roles(asset):
            return 0
        if key.lower() in _PICTURE_KEYS:
            return 1 + _PICTURE_KEYS.index(key.lower())
        if "overview" in roles(asset):
            return 50
        return 60 if data_type(asset) == "uint8" and len(bands(asset)) in {3, 4} else None

    ranked = [(order, key) for key, asset in usable.items() if (order := rank((key, asset))) is not None]
    if not ranked:
        return None
    key = min(ranked)[1]
    colors = [band.color for band in bands(usable[key])]
    if {"red", "green", "blue"} <= set(colors) and colors != ["red", "green", "blue"]:
        return Render((_indexed(key, colors),), "True colour")
    return Render((f"{key}|bidx=1,2,3" if len(colors) > 3 else key,), "True colour")


def _indexed(key: str, colors: list[str]) -> str:
    return f"{key}|bidx=" + ",".join(str(colors.index(color) + 1) for color in ("red", "green", "blue"))


def _from_colors(usable: Mapping[str, Document]) -> Render | None:
    """Red, green and blue from one asset of many bands, or from three assets."""
    by_color: dict[str, str] = {}
    for key, asset in usable.items():
        colors = [band.color for band in bands(asset)]
        if {"red", "green", "blue"} <= set(colors):
            found = [bands(asset)[colors.index(color)] for color in ("red", "green", "blue")]
            return Render((_indexed(key, colors),), "True colour", rescale=_common_range([b.range() for b in found]))
        if len(colors) == 1 and colors[0]:
            by_color.setdefault(colors[0], key)
    trios = [tuple(by_color.get(color, "") for color in ("red", "green", "blue")), *_RGB_KEYS]
    trio = next((keys for keys in trios if all(key in usable for key in keys)), None)
    if trio is None:
        return None
    firsts = [next(iter(bands(usable[key])), None) for key in trio]
    if all(band is not None and band.is_picture for band in firsts):
        return Render(trio, "True colour")
    return Render(trio, "True colour", rescale=_common_range([band.range() if band else None for band in firsts]))


def _common_range(ranges: list[Range | None]) -> tuple[Range, ...]:
    """One range for all three, so that white stays white; none if any is unknown."""
    known = [found for found in ranges if found is not None]
    if len(known) < len(ranges):
        return ()
    return ((min(low for low, _ in known), max(high for _, high in known)),)


def _single(usable: Mapping[str, Document]) -> Render | None:
    """The first raster, the secondary ones last."""
    ordered = sorted(usable.items(), key=lambda entry: not _SECONDARY_ROLES.isdisjoint(roles(entry[1])))
    key, asset = ordered[0]
    known = bands(asset)
    title = str(asset.get("title") or key)
    name = f"{key}|bidx=1" if len(known) > 1 else key
    if colormap := _class_colors(asset):
        return Render((name,), title, colormap=colormap)
    if not known or known[0].is_picture:
        return Render((name,), title)
    found = known[0].range()
    # Grey for what a camera sees, colours for what is measured or computed.
    colormap_name = None if known[0].color or not known[0].data_type.startswith("float") else "viridis"
    return Render((name,), title, rescale=(found,) if found else (), colormap_name=colormap_name)


def _class_colors(asset: Document) -> str | None:
    listed = asset.get("bands") or asset.get("raster:bands")
    first = listed[0] if isinstance(listed, list) and listed else None
    classes = asset.get("classification:classes") or (
        first.get("classification:classes") if isinstance(first, Mapping) else None
    )
    if not isinstance(classes, list) or not 0 < len(classes) <= _MAX_CLASSES:
        return None
    colors = {}
    for entry in classes:
        hint = entry.get("color_hint") if isinstance(entry, Mapping) else None
        value = number(entry.get("value")) if isinstance(entry, Mapping) else None
        if value is None or not isinstance(hint, str) or not re.fullmatch(r"[0-9A-Fa-f]{6}", hint):
            return None
        colors[str(int(value))] = f"#{hint.lower()}"
    return json.dumps(colors, separators=(",", ":"))


def _named(entries: object, usable: Mapping[str, Document]) -> Iterator[Render]:
    """Renders of the render extension whose assets can all be opened; malformed ones are passed over."""
    for name, entry in entries.items() if isinstance(entries, Mapping) else ():
        if isinstance(entry, Mapping) and (render := _extension_render(str(name), entry, usable)):
            yield render


def _extension_render(name: str, entry: Document, usable: Mapping[str, Document]) -> Render | None:
    assets = entry.get("assets")
    if not isinstance(assets, list) or not assets or not all(isinstance(a, str) and a in usable for a in assets):
        return None
    rescale = []
    pairs = entry.get("rescale") or []
    for pair in pairs if isinstance(pairs, list) else [None]:
        low, high = (number(pair[0]), number(pair[1])) if isinstance(pair, list) and len(pair) == 2 else (None, None)
        if low is None or high is None or not low < high:
            return None
        rescale.append((low, high))
    colormap = entry.get("colormap")
    expression = entry.get("expression")
    nodata = entry.get("nodata")
    bidx = entry.get("bidx")
    if isinstance(bidx, list) and len(assets) == 1 and all(isinstance(i, int) and i > 0 for i in bidx) and bidx:
        assets = [f"{assets[0]}|bidx={','.join(map(str, bidx))}"]
    return Render(
        assets=tuple(assets),
        title=_text(entry, "title") or name,
        name=name,
        rescale=tuple(rescale),
        expression=_over_bands(expression, assets) if isinstance(expression, str) else None,
        colormap_name=_text(entry, "colormap_name"),
        colormap=json.dumps(colormap, separators=(",", ":"), sort_keys=True) if isinstance(colormap, Mapping) else None,
        color_formula=_text(entry, "color_formula"),
        resampling=_text(entry, "resampling"),
        nodata=str(nodata) if isinstance(nodata, int | float | str) and not isinstance(nodata, bool) else None,
        zooms=_zooms(entry.get("minmax_zoom")),
    )


def _over_bands(expression: str, assets: list[str]) -> str:
    """The extension writes band maths over asset keys; the tiler over the bands of all assets together, b1 first."""
    position = {asset: f"b{index}" for index, asset in enumerate(assets, start=1)}
    return _IDENTIFIER.sub(lambda found: position.get(found.group(), found.group()), expression)


def _text(entry: Document, key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) and 0 < len(value) <= 200 else None


def _zooms(value: object) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(zoom, int) and 0 <= zoom <= 30 for zoom in value):
        return (min(value), max(value))
    return None
