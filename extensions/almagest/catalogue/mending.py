"""What is wrong with many items in the same few ways, and what they mean all the same: put right, with a word.

What needs no mending comes back as it was, and what was mended needs no more of it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from almagest.catalogue import footprints, meridians
from almagest.core.errors import InvalidDocumentError, Violation

Document = dict[str, Any]
Box = list[float]

BBOX_MADE = "The bbox was missing: it is computed from the geometry."
BBOX_ANEW = "The bbox did not fit the geometry: it is computed anew."
START_MADE = "start_datetime was missing: it is taken from datetime."
END_MADE = "end_datetime was missing: it is taken from datetime."
DATETIME_NULL = "datetime was missing beside start_datetime and end_datetime: it is null."

#: Versions that pystac knows how to migrate. They are quoted in a header, which takes no more than this.
_OLD = re.compile(r"0\.[89]\.\d+(-[\w.]{1,20})?|1\.[01]\.0-[\w.]{1,20}", re.ASCII)
#: Those in which collections had no type; some were given one all the same.
_TYPELESS = re.compile(r"0\..*|1\.0\.0-beta.*")


def mend_version(document: Document, kind: str) -> tuple[Document, tuple[str, ...]]:
    """A document of STAC 0.8, 0.9 or a beta of a later one as today's, by pystac.

    Raises:
        InvalidDocumentError: pystac cannot make sense of it.
    """
    version = document.get("stac_version")
    if not isinstance(version, str) or not _OLD.fullmatch(version):
        return document, ()
    import pystac
    from pystac.serialization import identify_stac_object, migrate_to_latest

    try:
        described = document
        if kind == "collection" and _TYPELESS.fullmatch(version):
            described = {name: value for name, value in document.items() if name != "type"}
        migrated = migrate_to_latest(document, identify_stac_object(described))
    except (pystac.STACError, pystac.STACTypeError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{version} cannot be migrated: {type(error).__name__}: {error}"[:300]
        raise InvalidDocumentError([Violation("/stac_version", reason)], f"The {kind}") from None
    return migrated, (f"It is migrated from STAC {version} to {migrated['stac_version']}.",)


def mend_times(document: Document) -> tuple[Document, tuple[str, ...]]:
    """An item whose range has both ends: one that is missing is taken from ``datetime``.

    Only what is certain: an end before its start, or a text that is no time, is left for others to refuse.
    """
    properties = document.get("properties")
    if not isinstance(properties, dict):
        return document, ()
    start, end = (properties.get(name) for name in ("start_datetime", "end_datetime"))
    if (start is None) == (end is None):
        if start is None or "datetime" in properties:
            return document, ()
        return {**document, "properties": {"datetime": None, **properties}}, (DATETIME_NULL,)
    when = properties.get("datetime")
    if not isinstance(when, str):
        return document, ()
    name, remark = ("start_datetime", START_MADE) if start is None else ("end_datetime", END_MADE)
    return {**document, "properties": {**properties, name: when}}, (remark,)


def time_violations(properties: Mapping[str, Any]) -> Iterator[Violation]:
    """What the schema cannot say of the times of an item: PostgreSQL takes them, and none ends before it starts."""
    for name in ("datetime", "start_datetime", "end_datetime"):
        yield from year_violations(f"/properties/{name}", properties.get(name))
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    if start is not None and end is not None and not is_in_order(start, end):
        yield Violation("/properties/end_datetime", f"{end} is before start_datetime, {start}")


def year_violations(pointer: str, text: str | None) -> Iterator[Violation]:
    """RFC 3339 has a year 0, PostgreSQL has none; longer texts than it reads are no times anyone meant."""
    if text is not None and text.startswith("0000"):
        yield Violation(pointer, f"{text} is in the year 0, which the catalogue cannot hold")
    if text is not None and len(text) > 64:
        yield Violation(pointer, f"{text[:40]}… is longer than any time")


def is_in_order(start: str, end: str) -> bool:
    """Whether the one time, in UTC, is not after the other; microseconds count, as they do in PostgreSQL."""
    if start[:19].upper() != end[:19].upper():
        return _instant(start) <= _instant(end)
    return round(_fraction(start), 6) <= round(_fraction(end), 6)


def _instant(text: str) -> datetime.datetime:
    second = min(int(text[17:19]), 59)
    carried = datetime.timedelta(seconds=int(text[17:19]) - second, microseconds=round(_fraction(text) * 1e6))
    whole = datetime.datetime.strptime(f"{text[:10]} {text[11:17]}{second}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
    try:
        return whole + carried
    except OverflowError:  # rounded into the year 10000, which PostgreSQL has and Python has not
        return datetime.datetime.max  # noqa: DTZ901


def _fraction(text: str) -> float:
    found = re.match(r"\.\d+", text[19:])
    return float(found[0]) if found else 0.0


def mend_place(document: Document) -> tuple[Document, tuple[str, ...]]:
    """An item whose geometry and bbox say the same, in the way of RFC 7946.

    Args:
        document: an item that is valid but for a bbox that may be missing.

    Raises:
        InvalidDocumentError: the geometry means nothing.
    """
    geometry, bbox = document["geometry"], document.get("bbox")
    try:
        mended, remarks = footprints.mend(geometry, bbox)
    except meridians.UnmendableError as error:
        subject = f"The item {document.get('id')!r}"
        raise InvalidDocumentError([Violation("/geometry", str(error))], subject) from None
    if bbox is None:
        return {**document, "geometry": mended, "bbox": bounds(mended)}, (*remarks, BBOX_MADE)
    if mended is geometry and not _is_doubtful(bbox):
        return document, ()
    made = bounds(mended)
    if mended is geometry and _covers(bbox, made):
        return document, ()
    if len(bbox) == 6:
        made = [*made[:2], bbox[2], *made[2:], bbox[5]]
    if made == bbox:
        return {**document, "geometry": mended}, remarks
    return {**document, "geometry": mended, "bbox": made}, (*remarks, BBOX_ANEW)


def _is_doubtful(bbox: Box) -> bool:
    """Whether a bbox is none, goes across the antimeridian, or goes from -180 to 180: around the globe, or around a
    geometry that is split there."""
    west, south, east, north = _sides(bbox)
    return not -180 <= west <= east <= 180 or south > north or (west == -180 and east == 180)


def _covers(bbox: Box, made: Box) -> bool:
    """Whether a bbox lies across the antimeridian where the geometry does, and there only."""
    west, south, east, north = _sides(bbox)
    if max(abs(west), abs(east)) > 180 or south > north:
        return False
    return (west > east) == (made[0] > made[2])


def _sides(bbox: Box) -> tuple[float, float, float, float]:
    half = len(bbox) // 2
    return bbox[0], bbox[1], bbox[half], bbox[half + 1]


def bounds(geometry: Mapping[str, Any]) -> Box:
    """``[west, south, east, north]`` of a mended geometry; west is greater than east where it crosses 180 degrees."""
    coordinates = geometry["coordinates"]
    parts = [
        list(_positions(part)) for part in (coordinates if geometry["type"].startswith("Multi") else [coordinates])
    ]
    spans = sorted((min(x for x, *_ in part), max(x for x, *_ in part)) for part in parts)
    latitudes = [y for part in parts for _, y, *_ in part]
    west, east = spans[0][0], max(east for _, east in spans)
    if west == -180 and east == 180 and (gap := _widest_gap(spans)) is not None:
        east, west = gap
    return [west, min(latitudes), east, max(latitudes)]


def _widest_gap(spans: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    """The widest stretch of longitudes between -180 and 180 that no span covers."""
    widest, reached = None, -180.0
    for west, east in spans:
        if west - reached > (widest[1] - widest[0] if widest else 0):
            widest = (reached, west)
        reached = max(reached, east)
    return widest


def _positions(coordinates: Any) -> Iterator[list[float]]:
    if isinstance(coordinates[0], list):
        for part in coordinates:
            yield from _positions(part)
    else:
        yield coordinates
