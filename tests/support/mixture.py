"""A small catalogue in which whatever searches and pages trip over comes up: ties, nulls, gaps, ranges, odd names."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import orjson

from almagest.catalogue import loading
from support import cluster as clusters
from support.cluster import Cluster
from support.rasters import collection
from support.shapes import box, naive_bbox, polygon, several

Document = dict[str, Any]

TEMPLATE = "template_mixture"
#: One in one partition with a base item, by months with another, by years, and one as stock's own functions store it.
PLAIN, MONTHS, YEARS, STOCK = "plain", "by month", "by.year", "stöck%"
COLLECTIONS = (PLAIN, MONTHS, YEARS, STOCK)
WORDS = ("forest", "river", "winter", "cloudless")
PLATFORMS = ("S2A", "S2B", "sentinel 2", "Lands%t", "it's", 'say "hi"', "back\\slash", "é", "_", "")
INSTANTS = tuple(
    f"{day}T{hour}Z"
    for day in ("2021-12-31", "2022-01-01", "2023-02-28", "2023-03-01", "2023-03-15")
    for hour in ("00:00:00", "10:30:00", "23:59:59.999999")
)
#: These occur in more than one collection.
NAMES = ("a b", "it's", 'q"uote', "dot.ted", "100%", "é", "日本", "semi;colon", "plus+and&", "next:prev", "UP", "up")
#: Registered, with an index and without, for one collection alone; and in another place than their name says.
QUERYABLES: tuple[tuple[str, str, str | None, str | None], ...] = (
    ("cloud", '{"type": "number"}', "BTREE", None),
    ("level", '{"type": "integer"}', None, None),
    ("platform", '{"type": "string"}', "BTREE", None),
    ("made", '{"type": "string", "format": "date-time"}', None, None),
    ("grade", '{"type": "number"}', None, PLAIN),
)

_ASSETS = {
    "data": {"title": "Data", "roles": ["data"], "type": "text/plain", "bands": [{"name": "b1"}, {"name": "b2"}]},
    "note": {"title": "Note", "type": "text/plain"},
}


def collections() -> list[Document]:
    return [
        collection(PLAIN, item_assets=_ASSETS),
        collection(MONTHS, item_assets={"data": _ASSETS["data"]}),
        collection(YEARS),
        collection(STOCK, item_assets=_ASSETS),
    ]


def items(count: int = 70) -> list[Document]:
    """So many of each collection."""
    dice = random.Random(11)
    return [_item(dice, of, number) for of in COLLECTIONS for number in range(count)]


def _item(dice: random.Random, of: str, number: int) -> Document:
    geometry = _geometry(dice)
    properties = {**_times(dice), **dict(_properties(dice))}
    asset = dice.choice([_ASSETS["data"], {"type": "text/html"}])
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": NAMES[number] if number < len(NAMES) else f"item_{number}",
        "collection": of,
        "geometry": geometry,
        "bbox": naive_bbox(geometry),
        "properties": properties,
        "links": [{"rel": "license", "href": "https://example.org/l"}] if dice.random() < 0.3 else [],
        "assets": {"data": {**asset, "href": f"https://example.org/{number}.txt"}} if dice.random() < 0.8 else {},
    }


def _times(dice: random.Random) -> Document:
    start, end = sorted(dice.choices(INSTANTS, k=2))
    return (
        {"datetime": start}
        if dice.random() < 0.7
        else {"datetime": dice.choice([None, start]), "start_datetime": start, "end_datetime": end}
    )


def _properties(dice: random.Random) -> Iterator[tuple[str, Any]]:
    values: dict[str, Any] = {
        "cloud": dice.choice([0, 0.5, 1e-7, 10, 33.25, 100]),
        "level": dice.choice([-1, 1, 2, 3]),
        "grade": dice.choice([9, 10, 11.5]),
        "platform": dice.choice(PLATFORMS),
        "gsd": dice.choice([5, 10, 20, 100]),
        "made": dice.choice(["2023-01-01T00:00:00Z", "2023-01-01T02:00:00+02:00", "2024-06-01T12:00:00Z"]),
        "tags": dice.choice([[], ["x"], ["x", "y"], ["y", "z"]]),
        "deep": {"er": dice.choice(["one", "two", None]), "or": [1, None, {"a": None}]},
        "title": " ".join(dice.sample(WORDS, k=2)),
        "description": " ".join(dice.sample(WORDS, k=2)),
        "keywords": dice.sample(WORDS, k=1),
    }
    for name, value in values.items():
        chance = dice.random()
        if chance < 0.75:
            # No text that is null: acceptance refuses it.
            yield name, None if chance < 0.1 and name not in {"title", "description", "keywords", "tags"} else value


def _geometry(dice: random.Random) -> Document:
    # On whole tens, so that boxes of searches touch them exactly.
    west, south = dice.randrange(-170, 161, 10), dice.randrange(-80, 71, 10)
    one = polygon(box(west, south, west + 10, south + 10))
    kind = dice.random()
    if kind < 0.3:
        return {"type": "Point", "coordinates": [west, south]}
    if kind < 0.4:
        return {"type": "Point", "coordinates": [west, south, 120.5]}
    if kind < 0.7:
        return one
    if kind < 0.8:
        return {"type": "LineString", "coordinates": [[west, south], [west + 10.1, south + 0.1]]}
    if kind < 0.9:
        return several(one, polygon(box(0.125, 0.125, 5, 5)))
    return several(polygon(box(170, south, 180, south + 10)), polygon(box(-180, south, -170, south + 10)))


def prepare(cluster: Cluster) -> None:
    """Makes the template."""
    with clusters.lock(cluster.root, "mixture"):
        if cluster.has(TEMPLATE):
            return
        cluster.copy("template_almagest", TEMPLATE)
        _fill(cluster)
        cluster.seal(TEMPLATE)


def _fill(cluster: Cluster) -> None:
    settings, everything = cluster.settings(TEMPLATE), items()
    with cluster.connect(TEMPLATE) as connection:
        connection.execute("SET search_path = pgstac, public")
        loading.load_documents(settings, collections(), [])
        for identifier, unit in ((MONTHS, "month"), (YEARS, "year")):
            connection.execute("UPDATE collections SET partition_trunc = %s WHERE id = %s", (unit, identifier))
        for name, definition, index, of in QUERYABLES:
            connection.execute(
                "SELECT upsert_queryable(%s, %s::jsonb, NULL, %s, %s::text[])",
                (name, definition, index, None if of is None else [of]),
            )
        ours = [item for item in everything if item["collection"] != STOCK]
        loading.load_documents(settings, [], ours[::2])
        # The others are stored against another base item.
        loading.load_documents(settings, [collection(PLAIN, item_assets={"data": {"title": "New"}})], ours[1::2])
        theirs = [item for item in everything if item["collection"] == STOCK]
        connection.execute("SELECT create_items(%s::jsonb)", (orjson.dumps(theirs).decode(),))
        connection.execute("SELECT maintain_partitions()")
        connection.execute("ANALYZE")
