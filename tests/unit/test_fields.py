"""Fields are cut out of whole documents, and nothing is made up on the way."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from almagest.catalogue.fields import cut

ITEM: dict[str, Any] = {
    "id": "i",
    "collection": "c",
    "bbox": [1, 2],
    "properties": {"a": 1, "none": None, "deep": {"x": 1, "y": 2}},
    "assets": {"data": {"href": "h", "type": "t"}, "other": {"href": "o"}},
}
NAMED = {"id": "i", "collection": "c"}


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ([], [], ITEM),
        (["bbox"], [], {**NAMED, "bbox": [1, 2]}),
        (["properties.none"], [], {**NAMED, "properties": {"none": None}}),
        (["properties.missing", "nothing.at.all", "bbox.0", "properties.a.b"], [], NAMED),
        (["properties.deep.x"], [], {**NAMED, "properties": {"deep": {"x": 1}}}),
        (["properties", "properties.a"], [], {**NAMED, "properties": ITEM["properties"]}),
        (["properties.a", "properties"], [], {**NAMED, "properties": ITEM["properties"]}),
        (["properties.deep", "properties.deep.x"], [], {**NAMED, "properties": {"deep": {"x": 1, "y": 2}}}),
        (["assets.data.type"], [], {**NAMED, "assets": {"data": {"type": "t"}}}),
        (["assets"], ["assets.data", "collection"], {"id": "i", "assets": {"other": {"href": "o"}}}),
        ([], ["properties", "assets", "bbox.0", "assets.x.y", "id"], {"collection": "c", "bbox": [1, 2]}),
        (["id"], ["id", "collection"], {}),
    ],
)
def test_what_is_left(include: list[str], exclude: list[str], left: dict[str, Any]) -> None:
    item = copy.deepcopy(ITEM)
    assert cut(item, {"include": include, "exclude": exclude}) == left
    assert item == ITEM
