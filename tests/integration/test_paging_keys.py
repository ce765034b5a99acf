"""Who signs paging tokens, and whose are taken: over processes, restarts and rotations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from almagest.catalogue import loading
from almagest.core import secrets
from almagest.core.processes import Audience
from almagest.core.settings import Settings
from conftest import stac_client
from support import rasters
from support.cluster import Cluster

SEARCH = {"collections": ["c"], "limit": 1}


@pytest.fixture
def settings(cluster: Cluster, settings: Settings, tmp_path: Path) -> Settings:
    """As elsewhere, but with secrets of its own, and two items."""
    shutil.copytree(settings.secrets, tmp_path / "secrets")
    (tmp_path / "secrets" / secrets.TOKEN_KEY).unlink(missing_ok=True)
    items = [rasters.item(name, "c", (1, 2, 3, 4), {}) for name in "ab"]
    loading.load_documents(settings, [rasters.collection("c")], items)
    return cluster.settings(settings.database.name, tmp_path)


def first(settings: Settings, audience: Audience = "internal") -> dict[str, Any]:
    """What a process of this audience has clients send for the second page."""
    with stac_client(settings, audience) as client:
        client.base_url = f"{settings.site.origin}{'/external' if audience == 'external' else ''}"
        page = client.post("/search", json=SEARCH).json()
    (body,) = [link["body"] for link in page["links"] if link["rel"] == "next"]
    return dict(body)


def second(settings: Settings, body: dict[str, Any], audience: Audience = "internal") -> int:
    """How another process of this audience answers that."""
    with stac_client(settings, audience) as client:
        client.base_url = f"{settings.site.origin}{'/external' if audience == 'external' else ''}"
        answer = client.post("/search", json=body)
    if answer.status_code == 200:
        assert len(answer.json()["features"]) == 1
    return answer.status_code


def rotate(settings: Settings) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "almagest.cli.main", "keys", "rotate-paging"],
        env={**os.environ, "ALMAGEST_HOME": str(settings.site.home), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def test_every_process_takes_the_tokens_of_every_other_before_and_after_a_restart(settings: Settings) -> None:
    with stac_client(settings) as one, stac_client(settings) as other:
        page = one.post("/search", json=SEARCH).json()
        (body,) = [link["body"] for link in page["links"] if link["rel"] == "next"]
        assert other.post("/search", json=body).status_code == 200
    assert second(settings, body) == 200


def test_a_rotation_ends_nobodys_paging_and_the_next_one_does(settings: Settings) -> None:
    under_way, outside = first(settings), first(settings, "external")
    assert str(settings.secrets / secrets.TOKEN_KEY) in rotate(settings)
    assert second(settings, under_way) == 200
    assert second(settings, outside, "external") == 200
    later = first(settings)
    assert later["token"] != under_way["token"]
    rotate(settings)
    assert second(settings, later) == 200
    assert second(settings, under_way) == 400
    assert second(settings, outside, "external") == 400


def test_no_audience_takes_a_token_of_the_other_of_whichever_key(settings: Settings) -> None:
    inside, outside = first(settings), first(settings, "external")
    for _ in range(2):
        assert second(settings, inside, "external") == second(settings, outside) == 400
        rotate(settings)


def test_the_key_says_nothing_of_itself(settings: Settings) -> None:
    said = rotate(settings) + json.dumps(first(settings))
    for name in (secrets.TOKEN_KEY, secrets.PREVIOUS_TOKEN_KEY):
        assert secrets.require(settings.secrets, name) not in said
