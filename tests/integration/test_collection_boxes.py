"""Collections are found by boxes as items are."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from almagest.catalogue import loading
from almagest.catalogue.reserved import CANARY
from almagest.core.settings import Settings
from conftest import stac_client
from support import ingests

PLACES = {
    "fiji": (179, -20, 180, -15),
    "samoa": (-180, -15, -171, -13),
    "tahiti": (-150, -18, -149, -17),
    "rome": (12, 41, 13, 42),
}


@pytest.fixture(params=["internal", "external"])
def client(request: pytest.FixtureRequest, settings: Settings) -> Iterator[httpx.Client]:
    extents = {
        name: {"spatial": {"bbox": [box]}, "temporal": {"interval": [[None, None]]}} for name, box in PLACES.items()
    }
    loading.load_documents(settings, [ingests.collection(name, extent=extent) for name, extent in extents.items()], [])
    with stac_client(settings, request.param) as client:
        client.base_url = client.base_url.join({"internal": "/api", "external": "/external"}[request.param])
        yield client


#: With the second, outsiders' searches run over what they see of the documents.
@pytest.mark.parametrize("more", [{}, {"sortby": "title"}])
@pytest.mark.parametrize(
    ("bbox", "found"),
    [
        ("178,-30,-170,0", {"fiji", "samoa"}),
        ("178,-30,-9,-170,0,9000", {"fiji", "samoa"}),
        ("178,-30,-155,0", {"fiji", "samoa"}),
        ("0,40,20,50", {"rome"}),
        ("0,40,-9,20,50,9000", {"rome"}),
        ("-180,-90,180,90", {*PLACES}),
    ],
)
def test_a_box_means_what_it_does_for_items(
    client: httpx.Client, bbox: str, found: set[str], more: dict[str, str]
) -> None:
    """pgSTAC takes one across the antimeridian for the rest of the globe, and refuses one with heights."""
    answer = client.get("/collections", params={"bbox": bbox, **more})
    assert answer.status_code == 200, answer.text
    ids = {collection["id"] for collection in answer.json()["collections"]}
    assert ids - {CANARY} == found
    assert answer.json()["numberMatched"] == len(ids)


@pytest.mark.parametrize(
    "bbox", ["0,50,5,-10", "0,0,9,5,5,-9", "0,0,190,5", "0,-91,1,0", "nan,0,1,1", "-inf,-90,inf,90"]
)
def test_what_is_no_box_for_items_is_none_for_collections(client: httpx.Client, bbox: str) -> None:
    refused = [client.get(path, params={"bbox": bbox}) for path in ("/collections", "/search")]
    assert [answer.status_code for answer in refused] == [400, 400]
    assert refused[0].json()["detail"] == refused[1].json()["detail"]
