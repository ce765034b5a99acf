"""Aggregations by counting over documents, one after the other: what those of the database have to be equal to."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import h3
import orjson
from shapely.geometry import shape

from almagest.catalogue import aggregations
from almagest.catalogue.aggregations import Aggregation
from support import adopted

Document = Mapping[str, Any]

_BASE32 = "0123456789bcdefghjkmnpqrstuvwxyz"


def item(chance: random.Random, number: int, of: str) -> dict[str, Any]:
    """Something of everything, some of it odd."""
    x, y = chance.uniform(-179, 170), chance.uniform(-88, 80)
    ring = [[x, y], [x + 1.5, y + 0.1], [x + 1, y + 2], [x, y]]
    hour = chance.choice([1, 5, 23])
    day = f"{chance.choice([2019, 2020, 2021])}-{chance.choice([1, 2, 12]):02}-{chance.choice([1, 15, 28]):02}"
    properties: dict[str, Any] = {"datetime": f"{day}T{hour:02}:30:{number % 60:02}.{chance.randint(0, 999_999):06}Z"}
    if chance.random() < 0.2:
        properties |= {"start_datetime": properties["datetime"], "end_datetime": "2022-01-01T00:00:00Z"}
        properties["datetime"] = None
    for name, values in (
        ("platform", ["s-a", "s-b", "é'%", "", 7, None, ["s-a"], "x" * 256]),
        ("grid:code", ["MGRS-31UFT", "MGRS-32TNT"]),
        ("eo:cloud_cover", [0, 100, 10, 10.0, 9.999, round(chance.uniform(0, 100), 3), "5", None, -3]),
        ("gsd", [10, 10.5, 0.3, 1e-7, 30]),
        ("odd", ["one", "two", 3, 4.5, True, {"href": "file:///x"}]),
    ):
        if chance.random() < 0.8:
            properties[name] = chance.choice(values)
    return {**adopted.item(of, number, **properties), "properties": properties, "id": f"i{number}"} | {
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [x, y, x + 1.5, y + 2],
    }


def brute(asked: Sequence[Aggregation], items: Iterable[Document]) -> list[dict[str, Any]]:
    """What the aggregations behind the first one are, over these items."""
    every = list(items)
    return [_answer(one, every) for one in asked[1:]]


def plain(found: Any) -> Any:
    """An answer as it is sent, with the buckets in an order that does not depend on how often."""
    told = orjson.loads(orjson.dumps(found))
    for one in told:
        if "buckets" in one:
            one["buckets"].sort(key=lambda bucket: bucket["key"])
        elif isinstance(one["value"], float):
            one["value"] = round(one["value"], 9)
    return told


def _answer(one: Aggregation, items: list[Document]) -> dict[str, Any]:
    kind, name = one.asked["kind"], one.asked.get("property")
    data_type = one.data_type
    numbers = [value for item in items if _is_number(value := item["properties"].get(name))]
    if kind == "count":
        return {"name": one.name, "data_type": data_type, "value": len(items)}
    if kind in {"min", "max", "sum"}:
        exact = [Decimal(repr(value)) for value in numbers]
        value = {"min": min, "max": max, "sum": sum}[kind](exact) if exact else None
        return {"name": one.name, "data_type": data_type, "value": None if value is None else float(value)}
    times = [when(item) for item in items]
    if kind in {"datetime_min", "datetime_max"}:
        extreme: Callable[[list[datetime]], datetime] = min if kind == "datetime_min" else max
        return {"name": one.name, "data_type": data_type, "value": _printed(extreme(times)) if times else None}
    if kind == "ranges":
        edges = [-math.inf, *one.asked["bounds"], math.inf]
        buckets = []
        for start, end in pairwise(edges):
            key = f"{'*' if start == -math.inf else float(start)}-{'*' if end == math.inf else float(end)}"
            bucket: dict[str, Any] = {"key": key, "data_type": "numeric"}
            bucket["frequency"] = sum(start <= value < end for value in numbers)
            bucket |= {name: edge for name, edge in (("from", start), ("to", end)) if math.isfinite(edge)}
            buckets.append(bucket)
    else:
        kind_of_key = "datetime" if kind == "datetime" else "string"
        if kind == "datetime":
            unit = _unit(one.asked["interval"], times)
            data_type = f"interval_{unit}"
            keys = [_printed(_truncated(time, unit), whole=True) for time in times]
        elif kind == "collection":
            keys = [item["collection"] for item in items]
        elif kind == "terms":
            values = [item["properties"].get(name) for item in items]
            keys = [value for value in values if isinstance(value, str) and len(value) <= 255]
        else:
            keys = [cell(kind, one.asked["precision"], *middle(item)) for item in items]
        counted = Counter(keys)
        buckets = [{"key": key, "data_type": kind_of_key, "frequency": count} for key, count in counted.items()]
    overflow = len(items) - sum(bucket["frequency"] for bucket in buckets)
    return {"name": one.name, "data_type": data_type, "buckets": buckets, "overflow": overflow}


def when(item: Document) -> datetime:
    """The time by which an item is found."""
    text = item["properties"].get("datetime") or item["properties"]["start_datetime"]
    return datetime.fromisoformat(text).astimezone(UTC)


def middle(item: Document) -> tuple[float, float]:
    """Longitude and latitude of the centroid."""
    centroid = shape(item["geometry"]).centroid
    return centroid.x, centroid.y


def cell(grid: str, precision: int, longitude: float, latitude: float) -> str:
    """The cell of a grid in which a point lies."""
    if grid == "geohex":
        return str(h3.latlng_to_cell(latitude, longitude, precision))
    if grid == "geotile":
        n = 2**precision
        x = math.floor((longitude + 180) / 360 * n)
        y = math.floor((1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * n)
        return f"{precision}/{min(max(x, 0), n - 1)}/{min(max(y, 0), n - 1)}"
    spans = [[-180.0, 180.0], [-90.0, 90.0]]
    bits = ""
    for number in range(precision * 5):
        span, value = spans[number % 2], (longitude, latitude)[number % 2]
        half = sum(span) / 2
        bits += "1" if value >= half else "0"
        span[0 if value >= half else 1] = half
    return "".join(_BASE32[int(bits[start : start + 5], 2)] for start in range(0, len(bits), 5))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unit(asked: str, times: list[datetime]) -> str:
    if asked != "auto":
        return asked
    days = [_truncated(time, "day") for time in times]
    span = max(days) - min(days) if days else timedelta(0)
    return "day" if span <= timedelta(days=92) else "month" if span <= timedelta(days=3660) else "year"


def _truncated(time: datetime, unit: str) -> datetime:
    if unit == "week":
        return _truncated(time, "day") - timedelta(days=time.weekday())
    start = {"month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    units = ["year", "month", "day", "hour", "minute", "second", "microsecond"]
    return time.replace(**{name: start[name] for name in units[units.index(unit) + 1 :]})


def _printed(time: datetime, *, whole: bool = False) -> str:
    text = time.strftime("%Y-%m-%dT%H:%M:%S")
    if time.microsecond and not whole:
        text += f".{time.microsecond:06}".rstrip("0")
    return f"{text}Z"


#: One of each, and of grids and times several.
NAMES = [
    "total_count", "datetime_min", "datetime_max", "datetime_frequency", "collection_frequency", "platform_frequency",
    "grid_code_frequency", "cloud_cover_frequency", "cloud_cover_min", "cloud_cover_max", "cloud_cover_sum",
    "gsd_frequency", "gsd_min", "gsd_max", "gsd_sum", "centroid_geohash_grid_frequency",
    "centroid_geohex_grid_frequency", "centroid_geotile_grid_frequency", "odd_frequency", "odd_min", "odd_sum",
]  # fmt: skip


def chosen(coarse: bool) -> list[Aggregation]:
    """All of them; coarse: such as are counted beforehand."""
    return aggregations.parse(
        NAMES,
        {
            "datetime_frequency_interval": "week" if coarse else "hour",
            "cloud_cover_frequency_ranges": [10, 20, 90] if coarse else [0.5, 20.25, 90],
            "centroid_geohash_grid_frequency_precision": 3 if coarse else 6,
            "centroid_geohex_grid_frequency_precision": 2 if coarse else 7,
            "centroid_geotile_grid_frequency_precision": 5 if coarse else 12,
        },
    )
