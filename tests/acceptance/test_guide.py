"""What the guides tell their readers to type works, word for word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import guide
from support.stack import HOUSE, Stack

pytestmark = pytest.mark.xdist_group("site")

GUIDE, README = HOUSE / "cli" / "README.md", HOUSE / "README.md"
ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture
def place(site: Stack, tmp_path: Path) -> Path:
    """A folder to work in, like a clone in which `make up` was called."""
    (tmp_path / ".almagest").symlink_to(site.home)
    return tmp_path


def run(stack: Stack, place: Path, language: str, text: str) -> str:
    commands = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    done = subprocess.run(
        [*commands[language], text.replace(ADDRESS, stack.origin)],
        cwd=place,
        env={
            **os.environ,
            **stack.variables,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(place),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    # With all said and done, pyarrow now and then trips over a thread of its own on the way out.
    is_over = done.returncode == -6 and done.stderr == "terminate called without an active exception\n"
    assert done.returncode == 0 or ("pyarrow" in text and is_over), f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_guide_for_external_users(site: Stack, place: Path) -> None:
    for language, text in guide.blocks(GUIDE):
        if language in {"sh", "python"}:
            assert run(site, place, language, text).strip(), f"says nothing:\n{text}"


def test_the_tour_of_the_readme(site: Stack, place: Path) -> None:
    for language, text in guide.blocks(README, "## A five-minute tour"):
        run(site, place, language, text)
