from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from almagest.catalogue.validation import check_collection, check_item
from almagest.core.errors import InvalidDocumentError
from support import data
from support.documents import ITEM


def violations(document: Any) -> dict[str, str]:
    with pytest.raises(InvalidDocumentError) as caught:
        check_item(document)
    return {violation.pointer: violation.message for violation in caught.value.violations}


def test_links_that_the_api_makes_are_not_asked_for_nor_judged() -> None:
    check_item(ITEM)
    check_item({**ITEM, "links": [{"rel": "self", "href": "./relative.json"}]})
    assert set(violations({**ITEM, "links": [{"rel": "root"}, {"rel": "license"}]})) == {"/links/1"}


def test_faults_of_a_geometry_are_those_of_its_own_type() -> None:
    short = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}
    assert violations({**ITEM, "geometry": short}) == {
        "/geometry/coordinates/0": "[[0,0],[1,0],[0,0]] has less than 4 items"
    }


@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon"])
def test_rings_are_closed(kind: str) -> None:
    ring = [[0, 0], [1, 0], [1, 1], [0, 1]]
    coordinates = [ring] if kind == "Polygon" else [[ring]]
    where = "/geometry/coordinates/0" if kind == "Polygon" else "/geometry/coordinates/0/0"
    assert list(violations({**ITEM, "geometry": {"type": kind, "coordinates": coordinates}})) == [where]


def test_a_geometry_collection_is_not_a_stac_geometry() -> None:
    collection = {"type": "GeometryCollection", "geometries": [ITEM["geometry"]]}
    assert "/geometry" in violations({**ITEM, "geometry": collection})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_are_finite(number: float) -> None:
    found = violations({**ITEM, "geometry": {"type": "Point", "coordinates": [number, 0]}})
    assert next(iter(found)).startswith("/geometry/coordinates")


@pytest.mark.parametrize("identifier", ["a/b", "..", ".", "a\nb", "a\\b", "x" * 2000])
def test_ids_are_path_segments(identifier: str) -> None:
    assert "/id" in violations({**ITEM, "id": identifier})


def test_extensions_are_judged_from_the_mirror_alone(tmp_path: Path) -> None:
    schema = tmp_path / "example.org" / "x" / "schema.json"
    schema.parent.mkdir(parents=True)
    schema.write_text('{"properties": {"properties": {"required": ["x:y"]}}}')
    document = {**ITEM, "stac_extensions": ["https://example.org/x/schema.json"]}
    with pytest.raises(InvalidDocumentError, match="x:y"):
        check_item(document, mirror=tmp_path, extensions=True)
    check_item({**document, "properties": {**ITEM["properties"], "x:y": 1}}, mirror=tmp_path, extensions=True)
    for url in ("https://example.org/none.json", "https://example.org/../../etc/passwd", "file:///etc/passwd"):
        with pytest.raises(InvalidDocumentError, match="not in the schema mirror"):
            check_item({**ITEM, "stac_extensions": [url]}, mirror=tmp_path, extensions=True)


def test_the_real_items_are_valid(shared_data: Path) -> None:
    for name in data.COLORADO:
        for item in data.items(f"colorado/{name}")[:500]:
            check_item(item)
        check_collection(data.collections()[name])
