from __future__ import annotations

import copy
from typing import Any

import pytest

from almagest.catalogue import acceptance
from almagest.catalogue.acceptance import MARKER, MAX_STRING, Accepted, Rules
from almagest.core.errors import AlmagestError, BadRequestError, InvalidDocumentError, TooLargeError
from support import data
from support.documents import ITEM
from support.shapes import SHAPES

RULES = Rules("https://here.example")
COLLECTION: dict[str, Any] = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "c",
    "description": "Scenes.",
    "license": "CC0-1.0",
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}},
    "links": [],
}


def of(**properties: Any) -> dict[str, Any]:
    return {**ITEM, "properties": {**ITEM["properties"], **properties}}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("name", data.COLORADO)
def test_real_items_come_back_equal_and_without_a_word(name: str, shared_data: Any) -> None:
    for document in data.items(f"colorado/{name}")[:300]:
        before = copy.deepcopy(document)
        accepted = acceptance.accept_item(document, RULES)
        assert document == before
        assert accepted.remarks == ()
        assert {**accepted.document, "links": []} == {**document, "links": []}
        assert acceptance.accept_item(accepted.document, RULES) == accepted


def test_a_copy_of_what_was_accepted_elsewhere_is_equal_to_it(shared_data: Any) -> None:
    there = Rules("https://there.example")
    documents = [item for name in data.COLORADO for item in data.items(f"colorado/{name}")[:50]]
    documents += [shape.item for shape in SHAPES]
    stored = [acceptance.accept_item(document, there).document for document in documents]
    for document in [*stored, acceptance.accept_collection(COLLECTION, there).document]:
        rels = ("self", "tilejson", "aggregate", "queryables")
        made = [{"rel": rel, "href": f"{there.origin}/api/x"} for rel in rels]
        served = {**document, "links": [*made, *document["links"]]}
        assert acceptance.accept_copy(served, RULES, there.origin) == document


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"bbox": [-180, -90, 180, 90]}, True),
        ({"bbox": [-190, -90, 180, 90]}, False),
        ({"geometry": {"type": "Point", "coordinates": [200, 0]}, "bbox": [-160, 0, -160, 0]}, False),
        ({"properties": {"datetime": "2024-01-01T00:00:00Z", "start_datetime": "2023-01-01T00:00:00Z"}}, True),
    ],
)
def test_a_copy_that_would_be_mended_stays_as_it_is_where_that_does_no_harm(changes: Any, *, kept: bool) -> None:
    mended = acceptance.accept_item({**ITEM, **changes}, RULES)
    copied = acceptance.accept_copy({**ITEM, **changes}, RULES, "https://there.example")
    if kept:
        assert copied == {**ITEM, **changes, "links": mended.document["links"]}
    else:
        assert copied == mended.document


def test_an_asset_that_would_lead_to_itself_is_refused() -> None:
    """What outsiders are shown, sent back as it is, would replace the place where the file lies."""
    public = f"{RULES.origin}/external/assets/c/a"
    own = {**ITEM, "assets": {"the/red~one": {"href": f"{public}/the%2Fred~one"}}}
    with pytest.raises(InvalidDocumentError, match="/assets/the~1red~0one/href: is where this catalogue ser") as caught:
        acceptance.accept_item(own, RULES)
    assert "valid STAC" not in str(caught.value)
    others = {
        "thumbnail": {"href": f"{public}/visual"},
        "visual": {"href": "https://there.example/external/assets/c/a/visual"},
    }
    assert acceptance.accept_item({**ITEM, "assets": others}, RULES).document["assets"] == others


@pytest.mark.parametrize("rel", ["self", "canonical", "via"])
def test_a_collection_as_outsiders_see_it_is_refused(rel: str) -> None:
    """It would replace the one that holds what they do not see."""

    def taken_from(href: str) -> dict[str, Any]:
        return {**COLLECTION, "id": "a c", "links": [{"rel": rel, "href": href}]}

    with pytest.raises(InvalidDocumentError, match="/links/0/href: is where this catalogue shows outsiders") as caught:
        acceptance.accept_collection(taken_from(f"{RULES.origin}/external/collections/a%20c"), RULES)
    assert "valid STAC" not in str(caught.value)
    for other in (
        f"{RULES.origin}/api/collections/a%20c",
        "https://there.example/external/collections/a%20c",
        f"{RULES.origin}/external/collections/b",
        "c",
    ):
        acceptance.accept_collection(taken_from(other), RULES)


def test_all_that_was_mended_is_told_once() -> None:
    document = {**SHAPES[0].item, "stac_version": "0.9.0"}
    document["properties"] = {"datetime": "2024-01-02T00:00:00Z", "start_datetime": "2024-01-01T00:00:00Z"}
    del document["bbox"]
    accepted = acceptance.accept_item(document, RULES)
    assert [remark.split()[0] for remark in accepted.remarks] == ["It", "end_datetime", "The", "The"]
    assert all(remark.isascii() for remark in accepted.remarks)
    assert acceptance.accept_item(accepted.document, RULES) == Accepted(accepted.document)


@pytest.mark.parametrize(
    ("document", "pointer", "reason"),
    [
        (of(title="x" * (MAX_STRING + 1)), "/properties/title", "at most 1,048,576"),
        (of(title="a\0b"), "/properties/title", "NUL"),
        (of(**{"a\0b": 1}), "/properties", "key that holds a NUL"),
        (of(title=MARKER), "/properties/title", "marks what is missing"),
        (of(**{MARKER: 1}), "/properties", "marks what is missing"),
        (of(title="\ud800"), "/properties/title", "surrogate"),
        (of(gsd=float("nan")), "/properties/gsd", "nan is not a number"),
        (of(deep={"a/b": [1, {"c": float("-inf")}]}), "/properties/deep/a~1b/1/c", "-inf is not a number"),
        (of(many=2**64), "/properties/many", "64 bits"),
        (of(datetime="0000-01-01T00:00:00Z"), "/properties/datetime", "year 0"),
        (of(datetime=f"2024-01-01T00:00:00.{'1' * 60}Z"), "/properties/datetime", "longer than any time"),
        (of(datetime="2024-01-01T00:00:00"), "/properties/datetime", "date-time"),
        (of(datetime="2024-02-30T00:00:00Z"), "/properties/datetime", "date-time"),
        (of(datetime=None), "/properties", ""),
        (of(start_datetime="2024-01-02T00:00:00Z"), "/properties/end_datetime", "is before start_datetime"),
        (of(end_datetime="2023-01-02T00:00:00Z"), "/properties/end_datetime", "is before start_datetime"),
        ({**ITEM, "geometry": {"type": "MultiPolygon", "coordinates": [[]]}}, "/geometry/coordinates", "empty part"),
        ({**ITEM, "geometry": {"type": "GeometryCollection", "geometries": []}}, "/geometry", "multi-geometry"),
        ({**ITEM, "stac_version": "0.9.0", "type": "Thing"}, "/stac_version", "cannot be migrated"),
    ],
    ids=lambda value: str(value)[:50] if not isinstance(value, dict) else "item",
)
def test_what_cannot_be_stored_is_refused_with_its_place(document: Any, pointer: str, reason: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        acceptance.accept_item(document, RULES)
    faults = {violation.pointer: violation.message for violation in caught.value.violations}
    assert reason in faults[pointer]


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert acceptance.accept_item(of(title="C:\\u0000"), RULES).document["properties"]["title"] == "C:\\u0000"


def test_documents_beyond_all_measure_are_refused() -> None:
    with pytest.raises(TooLargeError, match="at most 16,777,216"):
        acceptance.accept_item(of(many=["x" * 1000] * 17_000), RULES)
    with pytest.raises(BadRequestError, match="nests too deeply"):
        acceptance.accept_item(of(deep=nested(300)), RULES)
    with pytest.raises(BadRequestError, match="nests too deeply"):
        acceptance.accept_collection({**COLLECTION, "deep": nested(300)}, RULES)


def test_an_item_goes_where_it_is_told() -> None:
    homeless = {name: value for name, value in ITEM.items() if name != "collection"}
    assert acceptance.accept_item(homeless, RULES, collection="d").document["collection"] == "d"
    with pytest.raises(BadRequestError, match="does not say"):
        acceptance.accept_item(homeless, RULES)
    with pytest.raises(BadRequestError, match="the item says 'c', the address 'd'"):
        acceptance.accept_item(ITEM, RULES, collection="d")
    with pytest.raises(BadRequestError, match="/id: the document says 'a'"):
        acceptance.accept_item(ITEM, RULES, item_id="b")
    with pytest.raises(BadRequestError, match="/id: the document says 'c'"):
        acceptance.accept_collection(COLLECTION, RULES, collection_id="b")


def test_links_of_our_own_are_not_stored() -> None:
    kept = [{"rel": "about", "href": "x"}, {"rel": "preview", "href": "https://there.example/a"}]
    made = [{"rel": "self", "href": "x"}, {"rel": "preview", "href": "https://here.example/a"}]
    accepted = acceptance.accept_item({**ITEM, "links": [*kept, *made], "pgstac:base_item": 1}, RULES)
    assert accepted == Accepted({**ITEM, "links": kept})


@pytest.mark.parametrize(
    ("interval", "pointer"),
    [
        (["0000-01-01T00:00:00Z", None], "/extent/temporal/interval/0/0"),
        (["2021-01-01T00:00:00Z", "2020-01-01T00:00:00Z"], "/extent/temporal/interval/0"),
        (["yesterday", None], "/extent/temporal/interval/0/0"),
    ],
)
def test_intervals_that_the_database_refuses_are_refused(interval: list[Any], pointer: str) -> None:
    extent = {**COLLECTION["extent"], "temporal": {"interval": [interval]}}
    with pytest.raises(InvalidDocumentError) as caught:
        acceptance.accept_collection({**COLLECTION, "extent": extent}, RULES)
    assert pointer in {violation.pointer for violation in caught.value.violations}


@pytest.mark.parametrize("document", [None, 1, "text", [], {}, {"stac_version": "1.0.0"}, {"stac_version": "0.9.0"}])
def test_anything_is_accepted_or_refused_by_an_error_of_the_tree(document: Any) -> None:
    for accept in (acceptance.accept_item, acceptance.accept_collection):
        with pytest.raises(AlmagestError):
            accept(document, RULES)


def test_collections_of_older_versions_are_migrated() -> None:
    for version in ("0.9.0", "1.0.0-beta.2", "1.0.0-rc.1"):
        for document in (COLLECTION, {name: COLLECTION[name] for name in COLLECTION if name != "type"}):
            if version.endswith("rc.1") and "type" not in document:
                continue
            accepted = acceptance.accept_collection({**document, "stac_version": version}, RULES)
            assert accepted.document["type"] == "Collection"
            assert accepted.remarks == (f"It is migrated from STAC {version} to 1.1.0.",)
