"""What the guides tell their readers to type works, word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import guide
from support.stack import HOUSE, Stack

pytestmark = pytest.mark.xdist_group("site")

GUIDE, README = HOUSE / "cli" / "README.md", HOUSE / "README.md"


@pytest.fixture
def place(site: Stack, tmp_path: Path) -> Path:
    """A folder to work in, like a clone in which `make up` was called."""
    (tmp_path / ".almagest").symlink_to(site.home)
    return tmp_path


def test_the_guide_for_external_users(site: Stack, place: Path) -> None:
    for language, text in guide.blocks(GUIDE):
        if language in {"sh", "python"}:
            assert guide.run(site, place, language, text).strip(), f"says nothing:\n{text}"


def test_the_tour_of_the_readme(site: Stack, place: Path) -> None:
    for language, text in guide.blocks(README, "## A five-minute tour"):
        guide.run(site, place, language, text)
