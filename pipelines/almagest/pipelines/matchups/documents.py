"""Matchups and events as STAC items, in eomatch's data model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import shapely
from shapely.geometry import mapping

from almagest.catalogue.extents import Extent
from almagest.catalogue.links import item_path
from almagest.pipelines.matchups import naming
from almagest.pipelines.matchups.scenes import Sensor
from almagest.pipelines.matchups.sun import elevation_deg

Document = dict[str, Any]

#: Whether an event is one that orbits tell of, and that has no matchups.
PREDICTED = "matchup:predicted"
#: Members of properties and links that we write. Others may add to events and matchups what they like.
OWN = (
    "title", "datetime", "start_datetime", "end_datetime", "deprecated", "matchup:*", "time_diff_s", "collocation_*",
    "solar_elevation_deg", "land_fraction", "processing:*", "almagest:*",
)  # fmt: skip
_GEOJSON = "application/geo+json"


@dataclass(frozen=True)
class Product:
    """A scene as a matchup names it.

    Attributes:
        sensor: whose it is.
        id: of its item.
        start: when it began, with a time zone.
        stop: when it ended.
    """

    sensor: Sensor
    id: str
    start: datetime
    stop: datetime

    @property
    def name(self) -> tuple[str, str]:
        """Collection and id of its item."""
        return self.sensor.collection, self.id

    @property
    def href(self) -> str:
        """Of its item, below the root of the API that has it."""
        return item_path(*self.name)


@dataclass(frozen=True)
class Matchup:
    """Two scenes of the same ground.

    Attributes:
        products: in the order of their sensors.
        overlap: what both saw, longitudes from -180 to 180.
        area_km2: its area.
        fraction: its share of the smaller footprint.
        properties: what else is known of it.
    """

    products: tuple[Product, Product]
    overlap: Any
    area_km2: float
    fraction: float
    properties: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def combination(self) -> str:
        """Of its sensors."""
        return naming.combination(product.sensor for product in self.products)

    @cached_property
    def start(self) -> datetime:
        """When the earlier scene began."""
        return min(product.start for product in self.products)

    @cached_property
    def stop(self) -> datetime:
        """When the later scene ended."""
        return max(product.stop for product in self.products)

    @cached_property
    def id(self) -> str:
        """Of its item."""
        return naming.matchup(
            self.combination,
            [product.start for product in self.products],
            shapely.bounds(self.overlap),
            [(product.sensor.collection, product.id) for product in self.products],
        )


class Seen(Protocol):
    """A matchup, as far as an event is concerned with it."""

    @property
    def id(self) -> str:
        """Of its item."""
        ...

    @property
    def start(self) -> datetime:
        """When the earlier scene began."""
        ...

    @property
    def stop(self) -> datetime:
        """When the later scene ended."""
        ...

    @property
    def overlap(self) -> Any:
        """What both saw."""
        ...


def matchup_item(matchup: Matchup, event_id: str) -> Document:
    """A matchup as a STAC item. Links lead to items below the root of an API.

    `datetime` is its start, as eomatch has it; with `start_datetime` and `end_datetime` beside it, which STAC asks for
    together, a search by time finds all of it.
    """
    first, second = matchup.products
    seconds = (second.start - first.start).total_seconds()
    centroid = _centroid(matchup.overlap)
    events = naming.events_collection(matchup.combination)
    links = [
        *({"rel": "derived_from", "type": _GEOJSON, "href": p.href} for p in matchup.products),
        _related("event", events, event_id),
    ]
    return {
        **feature(matchup.id, matchup.combination, matchup.overlap, links),
        "properties": {
            "title": title(matchup.start, [p.sensor for p in matchup.products]),
            **times(matchup.start, matchup.stop),
            "matchup:collections": [product.sensor.collection for product in matchup.products],
            "matchup:platforms": [product.sensor.platform for product in matchup.products],
            "matchup:time_diff_abs": abs(seconds),
            "matchup:event_id": event_id,
            "matchup:overlap_fraction": matchup.fraction,
            "time_diff_s": seconds,
            "collocation_area_km2": matchup.area_km2,
            "collocation_centroid_lon": centroid.x,
            "collocation_centroid_lat": centroid.y,
            "solar_elevation_deg": elevation_deg(matchup.start, centroid.x, centroid.y),
            **matchup.properties,
        },
    }


def event_item(event_id: str, sensors: Sequence[Sensor], matchups: Sequence[Seen]) -> Document:
    """An event as a STAC item: where and when all of its matchups are, with links to them.

    Args:
        event_id: which it keeps, whatever it gains.
        sensors: of the combination, in the order of names.
        matchups: at least one, all of this combination.
    """
    combination = naming.combination(sensors)
    start, stop = min(m.start for m in matchups), max(m.stop for m in matchups)
    ground = shapely.union_all([matchup.overlap for matchup in matchups])
    in_time = sorted(matchups, key=lambda matchup: (matchup.start, matchup.id))
    links = [_related("matchup", combination, matchup.id) for matchup in in_time]
    return {
        **feature(event_id, naming.events_collection(combination), ground, links),
        "properties": {
            "title": title(start, sensors),
            **times(start, stop),
            "matchup:collections": [sensor.collection for sensor in sensors],
            "matchup:platforms": [sensor.platform for sensor in sensors],
            "matchup:n_matchups": len(matchups),
            PREDICTED: False,
        },
    }


def of_event(item: Mapping[str, Any], event_id: str) -> Document:
    """A matchup's item, as part of another event."""
    combination = str(item["collection"])
    links = [link for link in item["links"] if link.get("matchup:role") != "event"]
    links.append(_related("event", naming.events_collection(combination), event_id))
    return {**item, "properties": {**item["properties"], "matchup:event_id": event_id}, "links": links}


def merged_into(item: Mapping[str, Any], event_id: str) -> Document:
    """An event's item that has become part of another event: it holds nothing, and leads there."""
    links = [link for link in item["links"] if link.get("matchup:role") not in {"matchup", "event"}]
    links.append(_related("event", str(item["collection"]), event_id))
    properties = {**item["properties"], "deprecated": True, "matchup:event_id": event_id, "matchup:n_matchups": 0}
    return {**item, "properties": properties, "links": links}


def collections(sensors: Sequence[Sensor], extents: Mapping[str, Extent]) -> list[Document]:
    """The collections of the matchups and events of a combination of sensors.

    Args:
        sensors: in the order of names.
        extents: of their items, by id of the collection; of one without any there is no document.
    """
    name = naming.combination(sensors)
    said = " and ".join(f"{sensor.platform} ({sensor.collection})" for sensor in sensors)
    texts = {
        name: ("Matchups", "Pairs of scenes that saw the same ground at nearly the same time, one by each of"),
        naming.events_collection(name): (
            "Matchup events",
            "Times during which the same ground was seen over and over, or by their orbits will be, by",
        ),
    }
    return [
        {
            "type": "Collection",
            "stac_version": "1.1.0",
            "stac_extensions": [],
            "id": identifier,
            "title": f"{heading}: {said}",
            "description": f"{text} {said}.",
            "license": "other",
            "extent": extents[identifier].as_json(),
            "summaries": {
                "matchup:collections": [sensor.collection for sensor in sensors],
                "matchup:platforms": [sensor.platform for sensor in sensors],
            },
            "links": [],
        }
        for identifier, (heading, text) in texts.items()
        if identifier in extents
    ]


def feature(identifier: str, collection: str, ground: Any, links: list[Document]) -> Document:
    """An item without its properties."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": identifier,
        "collection": collection,
        "geometry": json.loads(json.dumps(mapping(shapely.orient_polygons(ground)))),  # lists, where shapely has tuples
        "bbox": bbox(ground),
        "links": links,
        "assets": {},
    }


def title(start: datetime, sensors: Sequence[Sensor]) -> str:
    """For people, to whom an id says little."""
    return f"{' and '.join(sensor.platform for sensor in sensors)}, {start.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def times(start: datetime, stop: datetime) -> dict[str, str]:
    """When it is, as STAC has it."""
    return {"datetime": written(start), "start_datetime": written(start), "end_datetime": written(stop)}


def written(moment: datetime) -> str:
    """A time as RFC 3339 writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _related(role: str, collection: str, identifier: str) -> Document:
    href = item_path(collection, identifier)
    # Without what all names here begin with: pages show the title.
    own = identifier.removeprefix(f"{collection.removeprefix(naming.EVENTS_PREFIX)}_")
    title = f"{role.capitalize()} {own}"
    return {"rel": "related", "type": _GEOJSON, "href": href, "title": title, "matchup:role": role}


def bbox(ground: Any) -> list[float]:
    """West, south, east, north; across the antimeridian west is the greater (RFC 7946, 5.2)."""
    west, south, east, north = shapely.bounds(ground).tolist()
    if west == -180 and east == 180:
        parts = shapely.bounds(shapely.get_parts(ground))
        eastern, western = parts[parts[:, 0] >= 0], parts[parts[:, 2] <= 0]
        if len(eastern) and len(western) and len(eastern) + len(western) == len(parts):
            return [float(eastern[:, 0].min()), south, float(western[:, 2].max()), north]
    return [west, south, east, north]


def _centroid(ground: Any) -> Any:
    """Its centre; that of both halves together, where the antimeridian parts them."""
    west, _, east, _ = bbox(ground)
    if west <= east:
        return shapely.centroid(ground)
    parts = shapely.get_parts(ground)
    is_western = shapely.bounds(parts)[:, 2] <= 0
    moved = shapely.transform(parts[is_western], lambda positions: positions + np.array([360.0, 0.0]))
    centre = shapely.centroid(shapely.MultiPolygon([*parts[~is_western], *moved]))
    return centre if centre.x <= 180 else shapely.Point(centre.x - 360, centre.y)
