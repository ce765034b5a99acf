"""What an asset says about its pixels, in whichever version of the extensions it says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from almagest.catalogue.rendering.render import Range
from almagest.core.hrefs import HrefPolicy

#: Media types of what the tiler can open, without their parameters. PNG and JPEG have no place on a map.
_RASTER_TYPES = frozenset(
    {"image/tiff", "image/vnd.stac.geotiff", "application/geotiff", "image/x.geotiff", "image/jp2"}
)
_RASTER_SUFFIXES = (".tif", ".tiff", ".jp2")

#: Surface reflectance of bright land and thin cloud; what lies above is shown white.
_BRIGHT_REFLECTANCE = 0.3
#: The scale of reflectances kept as 16 bit integers, where a document names none.
_REFLECTANCE_SCALE = 0.0001
_OPTICAL = frozenset(
    {"coastal", "blue", "green", "green05", "yellow", "pan", "red", "rededge", "rededge071", "rededge075", "rededge078"}
    | {"nir", "nir08", "nir09", "cirrus", "swir16", "swir22"}
)


@dataclass(frozen=True)
class Band:
    """One band.

    Attributes:
        color: the eo extension's common name, lower case; empty if unknown.
        data_type: as numpy spells it; empty if unknown.
        scale: physical value of one count; None if not given.
        offset: physical value of count 0.
        minimum: smallest count; None if not given.
        maximum: largest count; None if not given.
        mean: mean count; None if not given.
        deviation: standard deviation of the counts; None if not given.
    """

    color: str = ""
    data_type: str = ""
    scale: float | None = None
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None

    @property
    def is_picture(self) -> bool:
        """Whether its values are meant to be seen as they are."""
        return self.data_type == "uint8"

    def range(self) -> Range | None:
        """Counts to show as black and as white; None where the document does not tell."""
        scaled = self.scale if self.scale not in {None, 0.0, 1.0} else None
        if self.color in _OPTICAL and (scaled or self.data_type in {"uint16", "int16"}):
            scale = scaled or _REFLECTANCE_SCALE
            return _ordered((0.0 - self.offset) / scale, (_BRIGHT_REFLECTANCE - self.offset) / scale)
        if self.minimum is None or self.maximum is None:
            return None
        low, high = self.minimum, self.maximum
        if self.mean is not None and self.deviation:
            low, high = max(low, self.mean - 2 * self.deviation), min(high, self.mean + 2 * self.deviation)
        return _ordered(low, high)


def _ordered(low: float, high: float) -> Range | None:
    return (low, high) if low < high else None


def _may_be_raster(asset: Mapping[str, Any]) -> bool:
    """Whether the tiler has a driver for it, as far as its media type tells."""
    media_type = asset.get("type")
    return not isinstance(media_type, str) or media_type.partition(";")[0].strip().lower() in _RASTER_TYPES


def raster_href(asset: Mapping[str, Any], policy: HrefPolicy) -> str | None:
    """The href by which the tiler can open it; None where it cannot."""
    href = policy.choose(asset) if _may_be_raster(asset) else None
    if href is None or isinstance(asset.get("type"), str) or href.lower().endswith(_RASTER_SUFFIXES):
        return href
    return None


def roles(asset: Mapping[str, Any]) -> frozenset[str]:
    """The asset's roles."""
    given = asset.get("roles")
    return frozenset(role for role in given if isinstance(role, str)) if isinstance(given, list) else frozenset()


def bands(asset: Mapping[str, Any]) -> tuple[Band, ...]:
    """The asset's bands; empty where it does not list them, which says nothing about how many it has."""
    lists = [entry for key in ("bands", "eo:bands", "raster:bands") if isinstance(entry := asset.get(key), list)]
    count = max((len(entries) for entries in lists), default=0)
    merged = []
    for index in range(count):
        facts: dict[str, Any] = {}
        for entries in lists:
            if index < len(entries) and isinstance(entries[index], Mapping):
                facts |= entries[index]
        merged.append(_band({**_common(asset), **facts}))
    if not merged and (facts := _common(asset)):
        # STAC 1.1 lets an asset of one band speak for itself; a data type alone may be that of many bands.
        return (_band(facts),) if facts.keys() - {"data_type"} else ()
    return tuple(merged)


def data_type(asset: Mapping[str, Any]) -> str:
    """The type of all its bands; empty where it is unknown or differs."""
    types = {band.data_type for band in bands(asset)} or {str(asset.get("data_type") or "")}
    return next(iter(types)) if len(types) == 1 else ""


def _common(asset: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("data_type", "statistics", "raster:scale", "raster:offset", "eo:common_name")
    return {key: asset[key] for key in keys if key in asset}


def _band(facts: Mapping[str, Any]) -> Band:
    statistics = facts.get("statistics")
    stats = statistics if isinstance(statistics, Mapping) else {}
    color = facts.get("eo:common_name", facts.get("common_name", ""))
    return Band(
        color=color.lower() if isinstance(color, str) else "",
        data_type=str(facts.get("data_type") or ""),
        scale=number(facts.get("raster:scale", facts.get("scale"))),
        offset=number(facts.get("raster:offset", facts.get("offset"))) or 0.0,
        minimum=number(stats.get("minimum")),
        maximum=number(stats.get("maximum")),
        mean=number(stats.get("mean")),
        deviation=number(stats.get("stddev")),
    )


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
