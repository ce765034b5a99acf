"""Stacks that several test modules share: starting one takes most of a minute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support import browser
from support.data import DATA
from support.stack import Stack, stack


@pytest.fixture(scope="session")
def site() -> Iterator[Stack]:
    """A stack with the generated sample, for tests that add to it; only one address is inside."""
    variables = {"ALMAGEST_INTERNAL_NETWORKS": "127.0.0.1/32", "ALMAGEST_TILE_WORKERS": "1", "ALMAGEST_FLOWER": "true"}
    with stack("generate", **variables) as started:
        yield started


@pytest.fixture(scope="session")
def running() -> Iterator[Stack]:
    """A stack for all tests that leave it as it is, filled with the real data where that is there."""
    with stack(str(DATA) if DATA.is_dir() else "generate") as started:
        yield started


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for the tests of a module."""
    with browser.opened() as context:
        yield context
