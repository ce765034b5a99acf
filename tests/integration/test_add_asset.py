"""`almagest add-asset`, `almagest remove-asset` and `register_analysis`, as people use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from almagest.catalogue import assets, database, loading
from almagest.catalogue.exchange import writer
from almagest.client import register_analysis
from almagest.core.errors import BadRequestError, ConfigurationError, ConflictError, NotFoundError
from almagest.core.settings import Settings, Store
from support import eomatch, rasters
from support.serving import served

Run = Callable[..., subprocess.CompletedProcess[str]]

ITEM = ("--collection-id", "pairs", "--item-id", "one")
DAY = ("--date", "2024-05-01")


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "store").mkdir()
    own = replace(settings, store=Store(store=tmp_path / "store"))
    loading.load_documents(own, [rasters.collection("pairs")], [rasters.item("one", "pairs", (0, 0, 1, 1), {})])
    return own


@pytest.fixture
def api(own: Settings) -> Iterator[str]:
    with served(own) as running:
        yield f"{running.site.origin}/api"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with writer("stac", tmp_path / "cat", identifier="cat") as out:
        out.write_collection(rasters.collection("pairs"))
        out.write(rasters.item("one", "pairs", (0, 0, 1, 1), {}))
    return tmp_path / "cat"


@pytest.fixture
def run(own: Settings, tmp_path: Path) -> Run:
    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "ALMAGEST_HOME": str(own.site.home),
            "ALMAGEST_DB_HOST": own.db_host,
            "ALMAGEST_DB_PORT": str(own.database.port),
            "ALMAGEST_DB_NAME": own.database.name,
            "ALMAGEST_STORE": str(own.store_path),
            "COLUMNS": "200",
        }
        command = [sys.executable, "-m", "almagest.cli.main", *map(str, arguments)]
        environment = {**os.environ, **environment, **variables}
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def stored(own: Settings) -> dict[str, Any]:
    with database.connect(own, "almagest_reader") as reader:
        return dict(reader.execute("SELECT item_document('pairs', 'one')").fetchone()[0]["assets"])  # type: ignore[index]


def local(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "pairs/2024/1/1/one.json").read_bytes())["assets"])


def test_into_the_database_here(run: Run, own: Settings) -> None:
    result = own.store_path / "a.nc"
    result.write_bytes(b"CDF\x01a")
    add = ("add-asset", *ITEM, *DAY, "--file", result)
    told = said(run(*add, "--title", "A", "--role", "metadata", "--software", "us=1=a"))
    assert told == "the database: comparison:2024-05-01 added; comparison:latest is the same\n"
    found = stored(own)["comparison:latest"]
    assert (found["href"], found["title"], found["roles"]) == (result.as_uri(), "A", ["metadata"])
    assert found["processing:software"] == {"us": "1=a"}
    add = (*add[:-1], "store/../store/a.nc")
    assert said(run(*add)) == "the database: comparison:2024-05-01 is there already; comparison:latest is the same\n"
    result.write_bytes(b"CDF\x01b")
    assert "comparison:2024-05-01.2 added" in said(run(*add))
    told = said(run(*add[:-3], "2024-04-30", "--file", result))
    assert told == "the database: comparison:2024-04-30 added; comparison:latest is comparison:2024-05-01.2\n"
    assert assets.exposed(own) == []
    told = said(run("add-asset", *ITEM, *DAY, "--file", result, "--key-prefix", "p", "--expose", "-v"))
    assert told.endswith("2 assets exposed\n")
    assert {row[2] for row in assets.exposed(own)} == {"p:2024-05-01", "p:latest"}
    told = said(run("remove-asset", *ITEM, "--asset-key", "comparison:2024-05-01.2"))
    assert told == "the database: comparison:2024-05-01.2 removed; comparison:latest is comparison:2024-05-01\n"


def test_into_a_static_catalogue_and_from_there_into_the_database(run: Run, own: Settings, folder: Path) -> None:
    result = own.store_path / "a.nc"
    result.write_bytes(b"CDF\x01a")
    add = ("add-asset", "--catalogue", folder, *ITEM, *DAY, "--file", result)
    assert said(run(*add)) == f"{folder}: comparison:2024-05-01 added; comparison:latest is the same\n"
    assert local(folder)["comparison:latest"]["href"] == str(result)
    assert stored(own) == {}
    assert said(run(*add, "--push")).splitlines() == [
        "the database: comparison:2024-05-01 added; comparison:latest is the same",
        f"{folder}: comparison:2024-05-01 is there already; comparison:latest is the same",
    ]
    assert stored(own)["comparison:latest"]["href"] == result.as_uri()
    inside = folder / "results" / "b ü.nc"
    inside.parent.mkdir()
    inside.write_bytes(b"CDF\x01b")
    served_at = ("--assets-base-url", "https://a.org/cat/")
    said(run(*add[:-1], inside, "--push", *served_at))
    assert stored(own)["comparison:2024-05-01.2"]["href"] == "https://a.org/cat/results/b%20%C3%BC.nc"
    assert local(folder)["comparison:2024-05-01.2"]["href"] == "../../../../results/b ü.nc"
    remove = ("remove-asset", "--catalogue", folder, *ITEM, "--push", "--asset-key", "comparison:2024-05-01.2")
    assert len(said(run(*remove)).splitlines()) == 2
    assert set(stored(own)) == set(local(folder)) == {"comparison:2024-05-01", "comparison:latest"}


@pytest.mark.parametrize("way", ["--push", "--api-url"])
def test_a_key_is_the_same_in_both_whoever_knew_more_names(
    run: Run, own: Settings, api: str, folder: Path, way: str
) -> None:
    """Each chooses by what it knows; where they are told together the catalogue that others read decides, for both."""
    add = ("add-asset", *ITEM, *DAY)
    here, there = ("--catalogue", folder), (("--api-url", api, "--key", "k") if way == "--api-url" else ())
    for name, where in (
        ("there", there),
        ("there and gone", there),
        ("here", here),
        ("both", (*here, *(there or ["--push"]))),
    ):
        result = own.store_path / name
        result.write_text(name)
        said(run(*add, *where, "--file", result))
        if name == "there and gone":
            said(run("remove-asset", *ITEM, *there, "--asset-key", "comparison:2024-05-01.2"))
    found = {key: asset["title"] for key, asset in stored(own).items()}
    assert found == {"comparison:2024-05-01": "there", "comparison:2024-05-01.3": "both", "comparison:latest": "both"}
    found = {key: asset["title"] for key, asset in local(folder).items()}
    assert found == {"comparison:2024-05-01": "here", "comparison:2024-05-01.3": "both", "comparison:latest": "both"}


def test_what_was_kept_here_for_itself_is_fitted_too(run: Run, own: Settings, folder: Path) -> None:
    add = ("add-asset", *ITEM, *DAY, "--catalogue", folder)
    for name, more in (("a", ()), ("b", ("--push",)), ("a", ("--push",))):
        (own.store_path / name).write_text(name)
        said(run(*add, *more, "--file", own.store_path / name))
    for found in (stored(own), local(folder)):
        assert {key: asset["title"] for key, asset in found.items()} == {
            "comparison:2024-05-01": "a",
            "comparison:2024-05-01.2": "b",
            "comparison:latest": "b",
        }


def test_what_is_gone_here_is_removed_there(run: Run, own: Settings, folder: Path) -> None:
    (own.store_path / "a.nc").write_bytes(b"CDF")
    said(run("add-asset", *ITEM, *DAY, "--file", own.store_path / "a.nc"))
    remove = ("remove-asset", "--catalogue", folder, *ITEM, "--asset-key", "comparison:2024-05-01")
    assert run(*remove).returncode == 1
    done = run(*remove, "--push")
    assert (said(done), stored(own)) == ("the database: comparison:2024-05-01 removed\n", {})
    assert done.stderr == f"{folder}: Item one has no asset comparison:2024-05-01.\n"
    neither = run(*remove, "--push")
    assert (neither.returncode, "of collection pairs has no asset" in neither.stderr) == (1, True)


def test_what_cannot_be_pushed_is_written_nowhere(run: Run, own: Settings, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(b"CDF")
    add = ("add-asset", "--catalogue", folder, *ITEM, "--file", "a.nc", "--push")
    refused = run(*add)
    assert refused.returncode == 1
    assert f"a.nc is no file of the store: put it below {own.store_path}" in refused.stderr
    assert local(folder) == stored(own) == {}


def test_over_http(run: Run, own: Settings, api: str, folder: Path) -> None:
    result = own.store_path / "a.nc"
    result.write_bytes(b"CDF\x01a")
    by_http = (*ITEM, "--api-url", api, "--key", "alm_secret")
    told = said(run("add-asset", *by_http, *DAY, "--file", "a.nc"))
    assert told == f"{api}: comparison:2024-05-01 added; comparison:latest is the same\n"
    assert "is there already" in said(run("add-asset", *by_http, *DAY, "--file", result))
    both = said(run("add-asset", *by_http, *DAY, "--file", result, "--catalogue", folder))
    assert both.splitlines()[1].startswith(f"{folder}: comparison:2024-05-01 added")
    assert stored(own)["comparison:latest"]["href"] == result.as_uri()
    wrong = run("add-asset", *by_http, "--file", "b.nc")
    assert (wrong.returncode, "is no file of the store" in wrong.stderr) == (1, True)
    told = said(run("remove-asset", *by_http, "--asset-key", "comparison:2024-05-01"))
    assert told == f"{api}: comparison:2024-05-01 removed\n"
    assert stored(own) == {}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--file", "none.nc"), "none.nc: No such file"),
        (("--file", "a.nc", "--date", "today"), "write it like 2024-05-01"),
        (("--file", "a.nc", "--key-prefix", "a b"), "The prefix 'a b'"),
        (("--file", "a.nc", "--software", "x"), "NAME=VERSION"),
        (("--file", "a.nc", "--push"), "without --catalogue"),
        (("--file", "a.nc", "--expose", "--api-url", "http://a"), "said in the database"),
        (("--file", "a.nc", "--catalogue", "cat", "--db-host", "h"), "say --push as well"),
        (("--file", "a.nc", "--catalogue", "nowhere"), "no static catalogue"),
        (("--file", "a.nc", "--assets-base-url", "https://a"), "where a --catalogue is served"),
        (("--file", "s3://bucket/a.nc"), "is no file of the store"),
        (("--file", "store/a.nc", "--item-id", "two"), "Item two does not exist in collection pairs."),
        (("--file", "store/a.nc", "--collection-id", "almagest-canary"), "not anybody's to change"),
    ],
)
def test_a_mistake_is_a_sentence(
    run: Run, own: Settings, folder: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    for path in (tmp_path / "a.nc", own.store_path / "a.nc"):
        path.write_bytes(b"CDF")
    done = run("add-asset", *ITEM, *arguments)
    assert done.returncode in {1, 2}
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert stored(own) == {}


def test_a_role_that_may_not_write_is_told_so(run: Run, own: Settings) -> None:
    (own.store_path / "a.nc").write_bytes(b"CDF")
    done = run("add-asset", *ITEM, "--file", own.store_path / "a.nc", "--db-user", "almagest_reader")
    assert (done.returncode, "The database refuses" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


class Dataset:
    """What a notebook has, as far as it matters here: it writes itself."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def to_netcdf(self, path: Any) -> None:
        Path(path).write_bytes(self.content)


def test_a_notebook_registers_a_dataset_over_http(own: Settings, api: str) -> None:
    target = own.store_path / "results" / "a.nc"
    done = register_analysis(
        Dataset(b"CDF\x01"), "pairs", "one", path=target, date="2024-05-01", software={"us": "1"}, api_url=api, key="k"
    )
    assert (done.key, done.latest, done.outcome) == ("comparison:2024-05-01", "comparison:2024-05-01", "created")
    assert stored(own)[done.key] == done.asset
    assert done.asset["href"] == target.as_uri()
    with pytest.raises(ConflictError, match="never written over"):
        register_analysis(Dataset(b"CDF\x02"), "pairs", "one", path=target, api_url=api)
    assert [path.name for path in target.parent.iterdir()] == ["a.nc"]
    again = register_analysis("results/a.nc", "pairs", "one", date="2024-05-01", api_url=api)
    assert again.outcome == "unchanged"
    with pytest.raises(NotFoundError):
        register_analysis("results/a.nc", "pairs", "two", api_url=api)
    for wrong in (Dataset(b""), "../a.nc"):
        with pytest.raises(BadRequestError):
            register_analysis(wrong, "pairs", "one", api_url=api)
    with pytest.raises(BadRequestError, match="is no day"):
        register_analysis("results/a.nc", "pairs", "one", date=datetime(2024, 5, 1, tzinfo=UTC), api_url=api)
    with pytest.raises(ConfigurationError, match="api_url"):
        register_analysis("results/a.nc", "pairs", "one")


def test_a_notebook_registers_in_a_static_catalogue(folder: Path, tmp_path: Path) -> None:
    done = register_analysis(Dataset(b"CDF\x01"), "pairs", "one", path=folder / "r" / "a.nc", catalogue=folder)
    assert local(folder)[done.key]["href"] == "../../../../r/a.nc"
    assert local(folder)[done.key]["type"] == "application/x-netcdf"


def test_the_client_imports_nothing_heavy() -> None:
    code = "import sys, almagest.client; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "xarray", "psycopg", "obstore", "httpx", "orjson", "pydantic"} & set(done.stdout.split())


def test_eomatch_reads_what_was_added(run: Run, folder: Path, tmp_path: Path) -> None:
    peer = eomatch.find(tmp_path)
    (folder / "a.nc").write_bytes(b"CDF")
    said(run("add-asset", "--catalogue", folder, *ITEM, *DAY, "--file", folder / "a.nc"))
    code = (
        "import sys, pystac; c = pystac.Catalog.from_file(sys.argv[1]);"
        "print(*[a.get_absolute_href() for i in c.get_items(recursive=True) for a in i.assets.values()])"
    )
    assert peer.run("-c", code, str(folder / "catalog.json")).split() == [str(folder / "a.nc")] * 2
    more = ("--catalogue", str(folder), *ITEM, "--date", "2024-05-02", "--file", str(folder / "a.nc"))
    peer.run("-m", "eomatch.add_asset", *more)
    assert "comparison:2024-05-02" in local(folder)
    told = said(run("add-asset", "--catalogue", folder, *ITEM, *DAY, "--file", folder / "a.nc"))
    assert "comparison:latest is comparison:2024-05-02" in told
