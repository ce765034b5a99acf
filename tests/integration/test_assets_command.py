"""`almagest assets` as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from almagest.catalogue import loading
from almagest.core.settings import Settings
from support import rasters

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "a.tif").write_bytes(b"a")
    return folder


@pytest.fixture
def run(settings: Settings, store: Path, tmp_path: Path) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "ALMAGEST_HOME": str(settings.site.home),
            "ALMAGEST_DB_HOST": settings.db_host,
            "ALMAGEST_DB_PORT": str(settings.database.port),
            "ALMAGEST_DB_NAME": settings.database.name,
            "ALMAGEST_STORE_ROOTS": str(store),
            "COLUMNS": "200",
        }
        command = [sys.executable, "-m", "almagest.cli.main", "assets", *arguments]
        return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)

    return run


def test_expose_list_move_hide(run: Run, settings: Settings, store: Path) -> None:
    href = (store / "a.tif").as_uri()
    found = {"visual": {"href": href}, "B01": {"href": href}, "lost": {"href": f"{href}f"}}
    loading.load_documents(
        settings, [rasters.collection("scenes")], [rasters.item("one", "scenes", (0, 0, 1, 1), found)]
    )

    tried = run("expose", "scenes", "--key", "B*", "--key", "visual", "--dry-run")
    assert (tried.returncode, tried.stdout) == (0, "2 assets would be exposed, 0 were already\n")
    assert run("list").stdout == ""
    done = run("expose", "scenes")
    assert (done.returncode, done.stdout) == (1, "2 assets exposed, 0 were already, 1 refused\n")
    assert f"refused: scenes/one/lost: {href}f is no file below the store" in done.stderr
    assert run("list").stdout == "scenes: 2 assets of 1 items\n"
    assert json.loads(run("list", "--json").stdout) == [
        {"collection": "scenes", "item": "one", "key": key, "location": href} for key in ("B01", "visual")
    ]

    (store / "new").mkdir()
    (store / "new" / "a.tif").write_bytes(b"a")
    prefixes = (f"{store.as_uri()}/", f"{store.as_uri()}/new/")
    tried = run("migrate-prefix", *prefixes, "--dry-run")
    assert tried.stdout == "1 items would be rewritten, 2 exposed assets would be moved\n", tried.stderr
    assert run("migrate-prefix", *prefixes).stdout == "1 items rewritten, 2 exposed assets moved\n"
    wrong = run("migrate-prefix", str(store), str(store))
    assert (wrong.returncode, "Error: " in wrong.stderr, "Traceback" in wrong.stderr) == (1, True, False)

    misspelt = run("hide", "scenes", "--item", "two")
    assert (misspelt.returncode, misspelt.stdout) == (1, "0 assets hidden\n")
    assert "nothing of that kind was exposed" in misspelt.stderr
    assert run("hide", "scenes", "--item", "one", "--key", "B*").stdout == "1 assets hidden\n"
    assert run("list").stdout == "scenes: 1 assets of 1 items\n"


def test_a_collection_that_is_not_there(run: Run) -> None:
    missing = run("expose", "nowhere")
    assert missing.returncode == 1
    assert "Error: There is no collection 'nowhere'." in missing.stderr
