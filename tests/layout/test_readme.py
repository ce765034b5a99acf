"""What the README says is what the code does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from almagest.cli.settings import as_markdown
from support import guide

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
    assert targets - described <= {"development", "installed", "peers"}


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (HOUSE / link).exists(), link


def test_what_the_guide_imports_is_what_it_installs() -> None:
    document = HOUSE / "cli" / "README.md"
    kinds = [kind for kind, _ in guide.blocks(document)]
    assert kinds[0] == "console", "the installation comes first"
    assert "./almagest[parquet]" in guide.script(document, "console")
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["parquet"]]
    installed = {re.split(r"[^\w-]", name)[0].replace("-", "_") for name in named}
    imported = {
        name.partition(".")[0]
        for kind, text in guide.blocks(document)
        if kind == "python"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    assert "pystac_client" in imported
    assert imported <= installed | sys.stdlib_module_names | {"almagest"}
