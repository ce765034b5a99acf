"""Fixtures. Unit tests use none of the servers here; whoever asks for one gets a real one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import pytest

from almagest.core.processes import Audience
from almagest.core.settings import Settings
from support import cluster as clusters
from support import data, eomatch

if TYPE_CHECKING:
    from support.stock import StockSearch
    from support.walking import Api

TEMPLATE = "template_almagest"
REAL_TEMPLATE = "template_real"

# How long it takes on a busy machine says nothing of what is tested.
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")

# Nothing of the developer's environment leaks into a test.
for _name in list(os.environ):
    if _name.startswith(("ALMAGEST_", "PG")) and not _name.startswith("ALMAGEST_TEST_"):
        del os.environ[_name]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[clusters.ROOT_VARIABLE] = str(clusters.make_root())
        # Nor does what stands in the developer's own configuration files.
        os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="config-", dir=os.environ[clusters.ROOT_VARIABLE])


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        clusters.stop(Path(os.environ[clusters.ROOT_VARIABLE]))


@pytest.fixture(autouse=True)
def _same_environment() -> Iterator[None]:
    """What a command called in this process says to its children is gone after the test."""
    before = {name: value for name, value in os.environ.items() if name.startswith("ALMAGEST_")}
    yield
    for name in [name for name in os.environ if name.startswith("ALMAGEST_")]:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def cluster() -> clusters.Cluster:
    """A private PostgreSQL cluster with a migrated template database."""
    from almagest.catalogue import database

    root = Path(os.environ[clusters.ROOT_VARIABLE])
    running = clusters.start(root)
    with clusters.lock(root, "template"):
        if not running.has(TEMPLATE):
            database.prepare(running.settings(TEMPLATE))
            running.seal(TEMPLATE)
    return running


@pytest.fixture(scope="session")
def lonely_cluster() -> Iterator[clusters.Cluster]:
    """A cluster without other tests, for what waits for every transaction of a cluster: sealing, folding, forgetting.

    Whoever takes it belongs to the group `alone`, so that there is one of it.
    """
    with clusters.alone(TEMPLATE) as found:
        yield found


@pytest.fixture
def settings(cluster: clusters.Cluster) -> Iterator[Settings]:
    """Settings of an Almagest on an empty, migrated database of its own."""
    with cluster.clone(TEMPLATE) as name:
        yield cluster.settings(name)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; the test is skipped where it is not there."""
    if not data.DATA.is_dir():
        pytest.skip("the real data (../shared/data) is not beside this checkout")
    return data.DATA


@pytest.fixture(scope="session")
def real_settings(cluster: clusters.Cluster, shared_data: Path) -> Iterator[Settings]:
    """Settings of an Almagest that holds the real Colorado items. Not to be written to."""
    from almagest.catalogue import loading

    with clusters.lock(cluster.root, "real"):
        if not cluster.has(REAL_TEMPLATE):
            cluster.copy(TEMPLATE, REAL_TEMPLATE)
            collections = [data.collections()[identifier] for identifier in data.COLORADO]
            items = [item for name in data.COLORADO for item in data.items(f"colorado/{name}")]
            loading.load_documents(cluster.settings(REAL_TEMPLATE), collections, items)
            with cluster.connect(REAL_TEMPLATE) as connection:
                connection.execute("ANALYZE")
            cluster.seal(REAL_TEMPLATE)
    with cluster.clone(REAL_TEMPLATE) as name:
        yield cluster.settings(name)


@pytest.fixture(scope="session")
def eomatch_python() -> Iterator[Path]:
    """eomatch in an environment of its own: a gigabyte, for tests that `make soak` runs."""
    with eomatch.installed() as python:
        yield python


@pytest.fixture
def peer(eomatch_python: Path, tmp_path: Path) -> eomatch.Eomatch:
    """eomatch with a home of its own."""
    return eomatch.Eomatch(eomatch_python, tmp_path)


@pytest.fixture(scope="session")
def mixed(cluster: clusters.Cluster) -> Iterator[str]:
    """Name of a database that holds the mixture. Not to be written to."""
    from support import mixture

    mixture.prepare(cluster)
    with cluster.clone(mixture.TEMPLATE) as name:
        yield name


@pytest.fixture(scope="module")
def inside(cluster: clusters.Cluster, mixed: str) -> Iterator[Api]:
    """The mixture as those inside read it."""
    from support.walking import Api

    with stac_client(cluster.settings(mixed)) as client:
        yield Api(client, "/api")


@pytest.fixture(scope="module")
def stock(cluster: clusters.Cluster, mixed: str) -> Iterator[StockSearch]:
    """The mixture as pgSTAC's own search finds it."""
    from support.stock import StockSearch

    with StockSearch.over(cluster, mixed) as search:
        yield search


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    """The STAC API on an empty database, called in process."""
    with stac_client(settings) as client:
        yield client


@pytest.fixture(scope="session")
def real_api(real_settings: Settings) -> Iterator[httpx.Client]:
    """The STAC API on the real items, called in process."""
    with stac_client(real_settings) as client:
        yield client


def stac_client(
    settings: Settings, audience: Audience = "internal", **client: Any
) -> AbstractContextManager[httpx.Client]:
    """A client of the STAC API of one audience, with its lifespan."""
    from almagest.services.stac.app import create_app

    return _client(create_app(settings, audience), settings, audience, client)


def tiles_client(
    settings: Settings, audience: Audience = "internal", **client: Any
) -> AbstractContextManager[httpx.Client]:
    """A client of the tiler of one audience, with its lifespan."""
    from almagest.services.tiles.app import create_app

    return _client(create_app(settings, audience), settings, audience, {"raise_server_exceptions": False, **client})


def _client(
    app: Any, settings: Settings, audience: Audience, options: dict[str, Any]
) -> AbstractContextManager[httpx.Client]:
    """Inside, it comes as nginx would send it on: with the scopes of a good key."""
    from starlette.testclient import TestClient

    headers = {"X-Scopes": "catalogue:read catalogue:write"} if audience == "internal" else {}
    return TestClient(app, base_url=settings.site.origin, headers=headers, **options)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A short folder: the names of Unix sockets hold a hundred bytes."""
    folder = Path(tempfile.mkdtemp(prefix="alm-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
