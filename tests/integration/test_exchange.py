"""Reading from a STAC API, ours, over a real port."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from almagest.catalogue import loading
from almagest.catalogue.exchange import Record, Unreadable, open_source
from almagest.catalogue.reserved import CANARY
from almagest.core.errors import NotFoundError
from almagest.core.settings import Settings
from support import data
from support.serving import served

SMALL = ("landsat-c2-l2", "naip")


def ids(readings: Any) -> list[str]:
    found = list(readings)
    assert not [reading for reading in found if isinstance(reading, Unreadable)]
    return sorted(json.loads(reading.data)["id"] for reading in found if isinstance(reading, Record))


def test_all_items_of_an_api_are_read_by_its_pages(real_settings: Settings) -> None:
    wanted = sorted(item["id"] for item in data.items("colorado/sentinel-2-l2a"))
    assert len(wanted) > 1000, "more than one page"
    with served(real_settings) as settings:
        root = f"http://127.0.0.1:{settings.site.port}"
        one = open_source(f"{root}/collections/sentinel-2-l2a")
        assert ids(one.items()) == wanted
        assert ids(one.collections()) == ["sentinel-2-l2a"]
        assert one.fraction() in {None, 1.0}
        assert ids(open_source(f"{root}/collections/sentinel-2-l2a/items?limit=400").items()) == wanted
        assert ids(open_source(f"{root}/search?collections=sentinel-2-l2a&limit=900").items()) == wanted
        everything = open_source(root)
        assert set(ids(everything.collections())) >= set(data.COLORADO)
        assert CANARY not in ids(everything.collections())
        with pytest.raises(NotFoundError):
            open_source(f"{root}/collections/nothing")


def test_an_api_is_read_as_a_whole(settings: Settings, shared_data: Path) -> None:
    documents = [item for name in SMALL for item in data.items(f"colorado/{name}")[:120]]
    loading.load_documents(settings, [data.collections()[name] for name in SMALL], documents)
    with served(settings) as site:
        everything = open_source(f"http://127.0.0.1:{site.site.port}")
        assert ids(everything.collections()) == sorted(SMALL)
        assert ids(everything.items()) == sorted(document["id"] for document in documents)
