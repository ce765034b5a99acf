"""What can be aggregated, by which name, and how the answer is written (STAC API aggregation extension 0.3.0)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from almagest.catalogue import cells
from almagest.core.errors import BadRequestError

Document = dict[str, Any]

#: As `most_buckets` and `most_places` of the database have it.
MOST_BUCKETS = 10_000
MOST_PLACES = 250_000
MOST_AT_ONCE = 40
MOST_RANGES = 1_000

#: Properties of which is told how often each text stands there, by the name of the aggregation without `_frequency`.
TERMS = {
    "platform": "platform",
    "constellation": "constellation",
    "mission": "mission",
    "grid_code": "grid:code",
    "processing_level": "processing:level",
    "product_type": "product:type",
    "orbit_state": "sat:orbit_state",
}
#: Properties that are numbers, and where their ranges part if nobody says so.
NUMBERS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "cloud_cover": ("eo:cloud_cover", (5, 15, 40, 60, 80)),
    "snow_cover": ("eo:snow_cover", (5, 15, 40, 60, 80)),
    "gsd": ("gsd", (1, 5, 15, 30, 100)),
    "off_nadir": ("view:off_nadir", (5, 10, 15, 20, 30)),
    "sun_azimuth": ("view:sun_azimuth", (45, 90, 135, 180, 225, 270, 315)),
    "sun_elevation": ("view:sun_elevation", (0, 15, 30, 45, 60)),
}
#: Grids with their coarsest and finest precision.
GRIDS = {"geohash": (1, 12), "geohex": (0, 15), "geotile": (0, 29)}
#: Names of grids as others still have them.
_FORMER = {f"grid_{grid}_frequency": grid for grid in GRIDS}
_CENTROIDS = {f"centroid_{grid}_grid_frequency": grid for grid in GRIDS}
INTERVALS = ("auto", "year", "month", "week", "day", "hour", "minute", "second")

_SUFFIX = re.compile(r"(?P<property>.+)_(?P<kind>frequency|min|max|sum)")
_NUMERIC = frozenset({"number", "integer"})

#: What one row of an answer is: place of the aggregation, key of a bucket, its frequency, or a value as JSON text.
Row = tuple[int, str | None, int | None, str | None]


@dataclass(frozen=True)
class Aggregation:
    """One aggregation that was asked for.

    Attributes:
        name: as it was asked for.
        asked: as the database is asked, see `almagest.aggregate`.
        data_type: of the aggregation, as the extension has them.
    """

    name: str
    asked: Document
    data_type: str

    @property
    def is_value(self) -> bool:
        """Whether the answer is a single value."""
        return self.asked["kind"] in {"count", "datetime_min", "datetime_max", "min", "max", "sum"}

    def answer(self, rows: Sequence[Row], total: int) -> Document:
        """The aggregation as it is served.

        Args:
            rows: the database's answer.
            total: items that match.

        Raises:
            BadRequestError: it would take too long to make the cells of so many items.
        """
        found: Document = {"name": self.name, "data_type": self.data_type}
        kind = self.asked["kind"]
        if self.is_value:
            return {**found, "value": total if kind == "count" else _value(rows, is_time=kind.startswith("datetime"))}
        if kind == "ranges":
            buckets = _ranges(rows, self.asked["bounds"])
        elif kind == "geohex":
            buckets = _hexagons(rows, self.asked["precision"])
        else:
            data_type = "datetime" if kind == "datetime" else "string"
            buckets = [{"key": key, "data_type": data_type, "frequency": frequency} for _, key, frequency, _ in rows]
        if kind == "datetime":
            found["data_type"] = f"interval_{_unit(rows, self.asked['interval'])}"
        overflow = total - sum(bucket["frequency"] for bucket in buckets)
        return {**found, "buckets": buckets, "overflow": overflow}


def offered(queryables: Mapping[str, Any], hidden: Iterable[str]) -> list[Document]:
    """The aggregations that may be asked for, as `/aggregations` tells them.

    Args:
        queryables: those of the collection, or of all, as JSON schemas by name.
        hidden: properties that may not be asked for.
    """
    unseen = set(hidden)
    told = [
        _told("total_count", "integer"),
        _told("datetime_min", "datetime"),
        _told("datetime_max", "datetime"),
        {**_told("datetime_frequency", "datetime"), "intervals": list(INTERVALS)},
        _told("collection_frequency", "string"),
    ]
    told += [_told(f"{name}_frequency", "string") for name, of in TERMS.items() if of not in unseen]
    for name, (of, bounds) in NUMBERS.items():
        if of not in unseen:
            told += [{**_told(f"{name}_frequency", "numeric"), "ranges": list(bounds)}, *_numeric(name)]
    for name, grid in (_CENTROIDS | _FORMER).items():
        coarsest, finest = GRIDS[grid]
        told.append({**_told(name, "string"), "precision": {"minimum": coarsest, "maximum": finest}})
    known = {*TERMS, *TERMS.values(), *NUMBERS, *(of for of, _ in NUMBERS.values())}
    for name, schema in sorted(queryables.items()):
        if name in unseen or name in known or name in {"id", "collection", "geometry", "datetime"}:
            continue
        kind = schema.get("type")
        kinds = set(kind if isinstance(kind, list) else [kind])
        if kinds & _NUMERIC:
            told += [*_numeric(name)]
        elif "string" in kinds and "format" not in schema:
            told.append(_told(f"{name}_frequency", "string"))
    return told


def properties() -> list[str]:
    """The properties that aggregations read by names of their own."""
    return [*TERMS.values(), *(of for of, _ in NUMBERS.values())]


def parse(names: Sequence[str], parameters: Mapping[str, Any]) -> list[Aggregation]:
    """What was asked for, behind the number of all items, which comes first.

    Args:
        names: of aggregations.
        parameters: of these, such as `centroid_geohash_grid_frequency_precision`.

    Raises:
        BadRequestError: there is no such aggregation, or a parameter is not possible.
    """
    if len(names) > MOST_AT_ONCE:
        raise BadRequestError(f"aggregations: at most {MOST_AT_ONCE} at once.")
    asked = [_parse(name, parameters) for name in dict.fromkeys(names)]
    # Their cells are made here, one by one, of up to MOST_PLACES places.
    if len({one.asked["precision"] for one in asked if one.asked["kind"] == "geohex"}) > 1:
        raise BadRequestError("geohex: one precision at once.")
    return [Aggregation("total_count", {"kind": "count"}, "integer"), *asked]


def questions(asked: Sequence[Aggregation]) -> list[Document]:
    """What the database is asked: what goes by several names once."""
    return list({_key(one): one.asked for one in asked}.values())


def answers(asked: Sequence[Aggregation], rows: Iterable[Row]) -> list[Document]:
    """The aggregations that were asked for, as they are served.

    Args:
        asked: as `parse` has them.
        rows: what the database answers to their `questions`.

    Raises:
        BadRequestError: it would take too long to make the cells of so many items.
    """
    by_place: dict[int, list[Row]] = {}
    for row in rows:
        by_place.setdefault(row[0], []).append(row)
    total = sum(frequency or 0 for _, _, frequency, _ in by_place.get(1, ()))
    unique = {_key(one): one for one in asked}
    made = {key: one.answer(by_place.get(place, []), total) for place, (key, one) in enumerate(unique.items(), 1)}
    return [{**made[_key(one)], "name": one.name} for one in asked[1:]]


def _key(one: Aggregation) -> str:
    return repr(sorted(one.asked.items()))


def _parse(name: str, parameters: Mapping[str, Any]) -> Aggregation:
    if name == "total_count":
        return Aggregation(name, {"kind": "count"}, "integer")
    if name in {"datetime_min", "datetime_max"}:
        return Aggregation(name, {"kind": name}, "datetime")
    if name == "collection_frequency":
        return Aggregation(name, {"kind": "collection"}, "string")
    if name == "datetime_frequency":
        interval = parameters.get(f"{name}_interval") or "auto"
        if interval not in INTERVALS:
            raise BadRequestError(f"{name}_interval: is one of {', '.join(INTERVALS)}.")
        return Aggregation(name, {"kind": "datetime", "interval": interval}, "datetime")
    if grid := (_CENTROIDS | _FORMER).get(name):
        return Aggregation(name, {"kind": grid, "precision": _precision(name, grid, parameters)}, "string")
    parts = _SUFFIX.fullmatch(name)
    if parts is None or "\x00" in name:
        raise BadRequestError(f"aggregations: there is no {name[:100]!r}; /aggregations lists them.")
    of, kind = parts["property"], parts["kind"]
    number, bounds = NUMBERS.get(of, (of, ()))
    if kind != "frequency":
        return Aggregation(name, {"kind": kind, "property": TERMS.get(number, number)}, "numeric")
    given = parameters.get(f"{name}_ranges")
    if given is not None or bounds:
        return Aggregation(
            name, {"kind": "ranges", "property": number, "bounds": _bounds(name, given or bounds)}, "numeric"
        )
    return Aggregation(name, {"kind": "terms", "property": TERMS.get(of, of)}, "string")


def _precision(name: str, grid: str, parameters: Mapping[str, Any]) -> int:
    coarsest, finest = GRIDS[grid]
    given = parameters.get(f"{name}_precision")
    if given is None:
        return coarsest
    if isinstance(given, bool) or not re.fullmatch(r"\d{1,2}", str(given)) or not coarsest <= int(given) <= finest:
        raise BadRequestError(f"{name}_precision: is a whole number from {coarsest} to {finest}.")
    return int(given)


def _bounds(name: str, given: Any) -> list[float]:
    listed = given.split(",") if isinstance(given, str) else given
    try:
        bounds = [float(bound) for bound in listed]
    except (TypeError, ValueError, OverflowError):
        bounds = []
    rises = all(one < other for one, other in pairwise(bounds))
    if not bounds or len(bounds) > MOST_RANGES or not rises or not all(map(math.isfinite, bounds)):
        raise BadRequestError(f"{name}_ranges: are numbers that rise, {MOST_RANGES:,} at most.")
    return bounds


def _told(name: str, data_type: str) -> Document:
    return {"name": name, "data_type": data_type}


def _numeric(name: str) -> Iterable[Document]:
    return (_told(f"{name}_{kind}", "numeric") for kind in ("min", "max", "sum"))


def _value(rows: Sequence[Row], *, is_time: bool) -> Any:
    import orjson

    value = rows[0][3] if rows else None
    if value is None or value == "null":
        return None
    # A sum may have more digits than a float.
    return orjson.loads(value).replace("+00:00", "Z") if is_time else orjson.Fragment(value)


def _ranges(rows: Sequence[Row], bounds: Sequence[float]) -> list[Document]:
    counts = {int(key or 0): frequency for _, key, frequency, _ in rows}
    edges: list[float | None] = [None, *bounds, None]
    buckets = []
    for place, (start, end) in enumerate(pairwise(edges)):
        bucket: Document = {
            "key": f"{'*' if start is None else float(start)}-{'*' if end is None else float(end)}",
            "data_type": "numeric",
            "frequency": counts.get(place, 0),
        }
        bucket |= {name: edge for name, edge in (("from", start), ("to", end)) if edge is not None}
        buckets.append(bucket)
    return buckets


def _hexagons(rows: Sequence[Row], resolution: int) -> list[Document]:
    if sum(value is not None for *_, value in rows) > MOST_PLACES:
        raise BadRequestError(
            f"geohex: more than {MOST_PLACES:,} different places; narrow the search, or take a resolution"
            f" up to {cells.KEPT[-1]} of whole collections, or another grid."
        )
    counts: dict[str, int] = {}
    for _, key, frequency, value in rows:
        if key is None:
            continue
        if value is not None:
            key = cells.of_place(key, resolution)
        counts[key] = counts.get(key, 0) + (frequency or 0)
    kept = sorted(((cell, count) for cell, count in counts.items() if count), key=lambda pair: (-pair[1], pair[0]))
    return [{"key": cell, "data_type": "string", "frequency": count} for cell, count in kept[:MOST_BUCKETS]]


def _unit(rows: Sequence[Row], asked: str) -> str:
    found = next((value for *_, value in rows if value is not None), None)
    return found.strip('"') if found else ("day" if asked == "auto" else asked)
