"""How events, matchups and their collections are kept among what others write there: whose they are, what they say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from almagest.catalogue import links
from almagest.pipelines.matchups import naming
from almagest.pipelines.matchups.documents import PREDICTED
from almagest.pipelines.matchups.scenes import Sensor

#: Collection and id.
Name = tuple[str, str]

_PLACE = re.compile(r"/collections/([^/]+)/items/([^/]+)$")
#: Processes whose items these are.
FINDING, PREDICTING = "find-matchups", "predict-crossings"
#: Members of a search for events. Those of others need not say that they are no predictions.
ONLY_PREDICTED: Mapping[str, Any] = {
    "filter": {"op": "=", "args": [{"property": PREDICTED}, True]},
    "filter-lang": "cql2-json",
}
NOT_PREDICTED: Mapping[str, Any] = {
    "filter": {
        "op": "or",
        "args": [
            {"op": "isNull", "args": [{"property": PREDICTED}]},
            {"op": "=", "args": [{"property": PREDICTED}, False]},
        ],
    },
    "filter-lang": "cql2-json",
}


def is_own(document: Mapping[str, Any], process: str = FINDING) -> bool:
    """Whether a process has made an item."""
    software = document["properties"].get("processing:software")
    return isinstance(software, dict) and f"almagest/{process}" in software


def derived_from(document: Mapping[str, Any]) -> list[tuple[Name, str | None]]:
    """What an item of this catalogue is made of, and of which version."""
    found = []
    for link in links.related(document, "derived_from"):
        if place := _PLACE.search(links.path(link.get("href"))):
            found.append(((unquote(place[1]), unquote(place[2])), link.get("almagest:version")))
    return found


def sensors_of(collection: Mapping[str, Any]) -> list[Sensor]:
    """Those that a collection of matchups or events says that it is of, in their order; none, where it does not."""
    return sorted(itertools.starmap(Sensor, naming.sensors_said(collection)))
