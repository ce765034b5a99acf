"""The wheel holds every portion and every file, and its command runs where nothing else is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
ROOTS = {"extensions": "catalogue", "pipelines": "pipelines", "services": "services", "cli": "cli"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(HOUSE)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_portion_and_every_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for root in ROOTS:
        for path in (HOUSE / root / "almagest").rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(HOUSE / root)) in names
    assert any(name.endswith("catalogue/sql/bootstrap.sql") for name in names)


def test_the_bare_wheel_runs_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = HOUSE / "constraints.txt"
    limits = ["-c", str(constraints)] if constraints.exists() else []
    subprocess.run([python, "-m", "pip", "install", "-q", *limits, str(wheel)], check=True, capture_output=True)
    run = subprocess.run(
        [tmp_path / "venv" / "bin" / "almagest", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "almagest" in run.stdout
    # What needs more than the notebook's dependencies says what to install.
    needs = subprocess.run(
        [tmp_path / "venv" / "bin" / "almagest", "db", "status"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert needs.returncode == 1
    assert "extra `services`" in needs.stderr
    assert "Traceback" not in needs.stderr


def test_the_type_checker_sees_every_root(tmp_path: Path) -> None:
    shutil.copy(HOUSE / "pyproject.toml", tmp_path)
    for root, package in ROOTS.items():
        folder = tmp_path / root / "almagest" / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "planted.py").write_text(f"number: int = '{root}'\n")
    checked = subprocess.run([sys.executable, "-m", "mypy"], cwd=tmp_path, capture_output=True, text=True, check=False)
    for root, package in ROOTS.items():
        assert f"{root}/almagest/{package}/planted.py:1: error" in checked.stdout
