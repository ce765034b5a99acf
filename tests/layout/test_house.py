"""The rules of the house that a reader would otherwise have to remember."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
ROOTS = ("extensions", "pipelines", "services", "cli")
HARD_LIMIT = 500


def modules() -> list[Path]:
    return sorted(path for root in ROOTS for path in (HOUSE / root).rglob("*.py"))


def test_the_namespace_has_no_init() -> None:
    """One `almagest/__init__.py` would hide the other three portions of the namespace."""
    assert [str(path) for root in ROOTS for path in (HOUSE / root / "almagest").glob("__init__.py")] == []


def test_every_package_is_typed_and_regular() -> None:
    for root in ROOTS:
        for package in (HOUSE / root / "almagest").iterdir():
            if package.is_dir() and package.name != "__pycache__":
                assert (package / "__init__.py").exists(), package
                assert (package / "py.typed").exists(), package


def test_modules_are_small() -> None:
    long = {
        str(path.relative_to(HOUSE)): lines
        for path in modules()
        if (lines := path.read_text().count("\n")) > HARD_LIMIT
    }
    assert long == {}


def test_only_pgstac_port_knows_pgstac() -> None:
    """Whoever else names a relation or function of pgSTAC breaks with its next version."""
    qualifier = re.compile(r"\bpgstac\.\w")
    allowed = re.compile(r"^\s*(from|import) |stac_fastapi\.pgstac|titiler\.pgstac|pgstac\.(readonly|use_queue)")
    offenders = []
    for path in [*modules(), *(HOUSE / "extensions").rglob("*.sql")]:
        if "pgstac_port" in path.parts:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if qualifier.search(line) and not allowed.search(line):
                offenders.append(f"{path.relative_to(HOUSE)}:{number}: {line.strip()}")
    assert offenders == []


def test_no_sql_is_built_from_strings() -> None:
    """Statements are literals or psycopg's composables; an f-string in `execute` is an injection waiting."""
    built = re.compile(r"\.(execute|fetch|fetchrow|fetchval)\(\s*(f[\"']|[\"'][^\"']*[\"']\s*(%|\+|\.format))")
    offenders = [str(path.relative_to(HOUSE)) for path in modules() if built.search(path.read_text(encoding="utf-8"))]
    assert offenders == []


@pytest.mark.parametrize(
    "module",
    ["almagest.core", "almagest.cli.main", "almagest.client", "almagest.pipelines", "almagest.catalogue.sample"],
)
def test_nothing_heavy_is_imported(module: str) -> None:
    heavy = ("numpy", "rasterio", "torch", "pandas", "xarray", "fastapi", "shapely", "asyncpg")
    code = f"import sys, {module}; print(' '.join(sorted(set(sys.modules) & set({heavy!r}))))"
    path = ":".join(str(HOUSE / root) for root in ROOTS)
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path, "PATH": ""}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == ""


def test_no_machine_path_or_registry_is_committed() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=HOUSE, capture_output=True, text=True, check=False).stdout
    if not files:
        pytest.skip("not a git checkout")
    forbidden = re.compile(
        r'"resolved": *"http|^(url|registry) *= *"?http|registry\.npmjs|files\.pythonhosted', re.MULTILINE
    )
    offenders = []
    for name in files.split("\0"):
        path = HOUSE / name
        is_text = path.is_file() and path.suffix in {".json", ".toml", ".txt", ".npmrc", ".sh", ".cfg", ""}
        if is_text and forbidden.search(path.read_text(encoding="utf-8", errors="ignore")):
            offenders.append(name)
    assert offenders == []
