"""``as-of``: what was there at a moment, over HTTP. What a search finds then is what stock pgSTAC finds in a database that was
filled with what was there then."""

from __future__ import annotations

import copy
import itertools
import json
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, note
from hypothesis import settings as examples
from hypothesis import strategies as st

from almagest.catalogue import audience, database, loading, pruning
from almagest.catalogue.moments import printed
from almagest.core.settings import Settings
from conftest import TEMPLATE, stac_client
from support import mixture
from support.cluster import Cluster
from support.rasters import collection
from support.searches import Search, searches
from support.stock import StockSearch
from support.walking import Api, key

Document = dict[str, Any]

OTHER = {"data": {"title": "New", "roles": ["data"]}}
STEPS = 24
#: In the address or in the body.
METHODS = st.sampled_from(["POST", "GET", "GET with text", "GET items"])


@dataclass
class Model:
    """What is there, and what was there at each moment of a list."""

    collections: dict[str, Document] = field(default_factory=dict)
    items: dict[tuple[str, str], Document] = field(default_factory=dict)
    then: list[tuple[str, dict[str, Document], dict[tuple[str, str], Document]]] = field(default_factory=list)

    def note(self, moment: str) -> None:
        self.then.append((moment, copy.deepcopy(self.collections), copy.deepcopy(self.items)))
