from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from almagest.catalogue.hydration import base_item, documents, hydrated, join

_NAMES = st.sampled_from(["a", "b", "assets", "properties", "start_datetime", "end_datetime"])
_VALUES = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from(["x", "ü"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_ITEMS = st.fixed_dictionaries(
    {"assets": st.dictionaries(_NAMES, _VALUES, max_size=4)},
    optional={"properties": st.dictionaries(_NAMES, _VALUES, max_size=4), "a": _VALUES, "b": _VALUES},
)


def test_a_base_of_another_shape_costs_its_own_part_only() -> None:
    """A collection that another writer gave ``"item_assets": 1`` once answered every search and mosaic with 500."""
    base = base_item('{"assets": 1, "type": "Feature"}')
    assert join({"id": "a", "assets": {"data": {"href": "x"}}}, base)["assets"] == {"data": {"href": "x"}}


def test_a_null_datetime_is_put_back_beside_a_range() -> None:
    bounds = {"start_datetime": "2024-01-01T00:00:00Z", "end_datetime": "2024-01-02T00:00:00Z"}
    assert join({"properties": dict(bounds)}, {})["properties"] == {**bounds, "datetime": None}


@given(item=_ITEMS, base=_ITEMS)
def test_the_quick_way_gives_what_the_library_gives(item: dict[str, Any], base: dict[str, Any]) -> None:
    """`hydraters` is the oracle: items without a mark are filled in Python, several times as fast."""
    base = base_item(orjson.dumps(base).decode())
    before = copy.deepcopy(base)
    assert hydrated(orjson.dumps(item).decode(), base) == join(copy.deepcopy(item), base)
    assert base == before


def test_an_item_with_a_mark_takes_the_way_of_the_library() -> None:
    base = base_item('{"assets": {"a": {"type": "t"}, "b": {"type": "t"}}, "note": "n"}')
    text = '{"assets": {"a": {"href": "x"}, "b": "𒍟※"}, "note": "𒍟※"}'
    assert hydrated(text, base) == {"assets": {"a": {"href": "x", "type": "t"}}}


def test_rows_become_documents_with_the_base_that_was_given_last() -> None:
    rows = [
        ('{"n": 1, "pgstac:base_item": 4}', '{"b": 1}', None, "c", "one", '{"type": "Point", "coordinates": [1, 2]}'),
        ('{"n": 2}', None, None, "c", "two", '{"type": "Point", "coordinates": [1, 2]}'),
        ('{"n": 3}', '{"b": 2}', None, "d", "three", '{"type": "Point", "coordinates": [1, 2]}'),
    ]
    found = [*documents(rows)]
    assert [(one["id"], one["collection"], one["n"], one["b"]) for one in found] == [
        ("one", "c", 1, 1),
        ("two", "c", 2, 1),
        ("three", "d", 3, 2),
    ]
    assert list(found[0]) == ["type", "id", "collection", "geometry", "n", "b"]
    assert found[0]["geometry"] == {"type": "Point", "coordinates": [1, 2]}
