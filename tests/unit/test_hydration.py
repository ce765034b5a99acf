from __future__ import annotations

from almagest.catalogue.hydration import base_item, join


def test_a_base_of_another_shape_costs_its_own_part_only() -> None:
    """A collection that another writer gave ``"item_assets": 1`` once answered every search and mosaic with 500."""
    base = base_item('{"assets": 1, "type": "Feature"}')
    assert join({"id": "a", "assets": {"data": {"href": "x"}}}, base)["assets"] == {"data": {"href": "x"}}


def test_a_null_datetime_is_put_back_beside_a_range_in_whole_documents_only() -> None:
    bounds = {"start_datetime": "2024-01-01T00:00:00Z", "end_datetime": "2024-01-02T00:00:00Z"}
    assert join({"properties": dict(bounds)}, {})["properties"] == {**bounds, "datetime": None}
    assert join({"properties": dict(bounds)}, {}, whole=False)["properties"] == bounds
