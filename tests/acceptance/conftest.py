"""One stack for all tests that leave it as it is, filled with the real data where that is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.data import DATA
from support.stack import Stack, stack


@pytest.fixture(scope="session")
def running() -> Iterator[Stack]:
    with stack(str(DATA) if DATA.is_dir() else "generate") as started:
        yield started
