"""What the README says is what the code does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from almagest.cli.settings import as_markdown

HOUSE = Path(__file__).parents[2]
README = (HOUSE / "README.md").read_text(encoding="utf-8")


def test_the_settings_table_is_the_code() -> None:
    """`almagest settings --markdown` prints it."""
    found = re.search(r"<!-- settings -->\n(.*)<!-- /settings -->", README, re.DOTALL)
    assert found
    assert found[1] == as_markdown()


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=HOUSE, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^\.PHONY: (\S+)$", (HOUSE / "Makefile").read_text(), re.MULTILINE))
    described = {line.split()[0] for line in shown.splitlines() if line.strip()}
    assert {"up", "down", "test", "soak", "logs", "clean"} <= described
    assert targets - described <= {"development", "installed"}


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (HOUSE / link).exists(), link
