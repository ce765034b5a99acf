"""Items become rows, and rows items again."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from almagest.catalogue.geometry import ewkb
from almagest.catalogue.hydration import base_item, join
from almagest.catalogue.rows import TAG, Base, RowMaker, stripped, times
from almagest.core.errors import InvalidDocumentError, NotFoundError

Document = dict[str, Any]

keys = st.sampled_from(["title", "roles", "bands", "name", "a", "ß"])
leaves = st.none() | st.booleans() | st.sampled_from([0, 1, 2, 1.0, 0.5]) | st.sampled_from(["", "x", "y"])
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
assets = st.dictionaries(
    st.sampled_from(["red", "green", "scl"]), st.dictionaries(keys, values, max_size=4), max_size=3
)


def item(**more: Any) -> Document:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "one",
        "collection": "scenes",
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "bbox": [1, 2, 1, 2],
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "links": [],
        "assets": {},
        **more,
    }


def base(item_assets: Any = None, item_id: int | None = None) -> Base:
    """As pgSTAC makes it of a collection."""
    made = {"type": "Feature", "assets": item_assets, "collection": "scenes", "stac_version": "1.1.0"}
    return Base(7, item_id, base_item(json.dumps(made)))


def back(document: Document, of: Base) -> Document:
    """What a reader gets: members with a column of their own, and the content joined with the base item."""
    row = RowMaker({"scenes": of}).row(document)
    content = json.loads(row.content)
    assert content.pop(TAG, None) == of.item_id
    assert not {"id", "collection", "geometry"} & set(content)
    columns = {"type": "Feature", "id": row.id, "collection": row.collection, "geometry": document["geometry"]}
    return join({**columns, **content}, copy.deepcopy(of.item))


def exact(document: Document) -> bytes:
    """True, 1 and 1.0 are one to Python, and not in a document."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


@given(assets, st.none() | assets, st.dictionaries(keys, values, max_size=3))
def test_what_is_stored_is_what_is_read(given_assets: Document, item_assets: Document | None, more: Document) -> None:
    """Nulls, empty arrays, and what the base item has in another shape included."""
    document = item(assets=given_assets, properties={"datetime": "2024-01-01T00:00:00Z", **more})
    untouched = exact(document)
    of = base(item_assets)
    assert exact(back(document, of)) == untouched
    assert exact(document) == untouched, "the document is the caller's"


@given(assets)
def test_what_the_base_has_as_well_is_not_stored(item_assets: Document) -> None:
    row = RowMaker({"scenes": base(item_assets)}).row(item(assets=copy.deepcopy(item_assets)))
    assert set(json.loads(row.content)) == {"bbox", "properties", "links"}


def test_items_are_stripped_as_the_loader_of_pgstac_does_where_that_loses_nothing() -> None:
    from pypgstac.hydration import dehydrate

    of = {"assets": {"red": {"title": "R", "bands": [{"name": "a"}], "roles": ["data"]}, "green": {"title": "G"}}}
    document = {"assets": {"red": {"title": "r", "bands": [{"name": "b"}], "href": "x"}, "blue": {"href": "y"}}}
    assert stripped(of, document) == dehydrate(of, document)


def test_a_row_says_what_it_was_stripped_against() -> None:
    row = RowMaker({"scenes": base({}, 3)}).row(item(**{TAG: 99}))
    assert (row.base_key, row.base_item_id, json.loads(row.content)[TAG]) == (7, 3, 3)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"datetime": "a"}, ("a", "a")),
        ({"datetime": None, "start_datetime": "b", "end_datetime": "c"}, ("b", "c")),
        ({"datetime": "a", "start_datetime": "b", "end_datetime": "c"}, ("b", "c")),
        ({"datetime": "a", "start_datetime": "b", "end_datetime": None}, ("a", "a")),
    ],
)
def test_the_time_of_an_item_is_the_one_that_pgstac_takes(properties: Document, expected: tuple[str, str]) -> None:
    assert times({"properties": properties}) == expected


def test_what_cannot_be_stored_is_refused_with_its_place() -> None:
    maker = RowMaker({"scenes": base()})
    with pytest.raises(InvalidDocumentError, match="datetime"):
        maker.row(item(properties={"datetime": None}))
    with pytest.raises(InvalidDocumentError, match="geometry"):
        maker.row(item(geometry={"type": "Point", "coordinates": ["x", 1]}))
    with pytest.raises(InvalidDocumentError, match="geometry"):
        maker.row(item(geometry=None))
    with pytest.raises(NotFoundError, match="create it first"):
        maker.row(item(collection="unknown"))


position = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
height = st.tuples(st.floats(-180, 180), st.floats(-90, 90), st.floats(-1e4, 1e4))


@st.composite
def geometries(draw: st.DrawFn) -> Document:
    one = draw(st.sampled_from([position, height])).map(list)
    line = st.lists(one, min_size=2, max_size=5)
    polygon = st.lists(st.lists(one, min_size=3, max_size=5).map(lambda ring: [*ring, ring[0]]), min_size=1, max_size=2)
    kinds = {
        "Point": one,
        "LineString": line,
        "Polygon": polygon,
        "MultiPoint": st.lists(one, min_size=1, max_size=3),
        "MultiLineString": st.lists(line, min_size=1, max_size=3),
        "MultiPolygon": st.lists(polygon, min_size=1, max_size=3),
    }
    kind = draw(st.sampled_from(sorted(kinds)))
    return {"type": kind, "coordinates": draw(kinds[kind])}


@given(geometries(), st.booleans())
def test_shapes_are_written_as_postgis_writes_them(geometry: Document, in_collection: bool) -> None:
    if in_collection:
        geometry = {"type": "GeometryCollection", "geometries": [geometry, geometry]}
    expected = shapely.set_srid(shapely.from_geojson(json.dumps(geometry)), 4326)
    flavor = {"include_srid": True, "flavor": "extended", "byte_order": 1}
    assert ewkb(geometry) == shapely.to_wkb(expected, **flavor)


def test_a_height_that_is_missing_beside_others_is_zero() -> None:
    read = shapely.from_wkb(ewkb({"type": "LineString", "coordinates": [[0, 1], [2, 3, 4]]}))
    assert shapely.get_coordinates(read, include_z=True).tolist() == [[0, 1, 0], [2, 3, 4]]
