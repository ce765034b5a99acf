"""`almagest audience verify`, on catalogues that live."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from almagest.catalogue.database import connect
from almagest.cli.audience_verify import verify
from almagest.core.settings import Settings
from leaks import worlds
from leaks.mutants import MUTANTS
from leaks.script import Kind
from support.cluster import Cluster

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("leaks-True")]

#: A part of pgSTAC that stands in both copies as it is, and fails as nobody expects.
_BROKEN = """
CREATE OR REPLACE FUNCTION pgstac.collection_search(_search jsonb DEFAULT '{}'::jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE EXCEPTION 'a bug' USING ERRCODE = 'ZZ001'; END; $$
"""


def environment(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    values = {
        "HOME": settings.site.home,
        "DB_HOST": settings.database.host,
        "DB_PORT": settings.database.port,
        "DB_NAME": settings.database.name,
        "DB_ADMIN_USER": settings.database.admin_user,
        "STORE_ROOTS": ",".join(map(str, settings.store.store_roots)),
        "S3_BUCKET": settings.s3.bucket,
        "AUDIENCE_VISIBLE_BUCKETS": ",".join(settings.audience.visible_buckets),
    }
    for name, value in values.items():
        monkeypatch.setenv(f"ALMAGEST_{name}", str(value))


def databases(cluster: Cluster) -> int:
    with cluster.connect() as connection:
        row = connection.execute("SELECT count(*) FROM pg_database WHERE datname LIKE '%verify%'").fetchone()
    return int(row[0]) if row else 0


def test_a_sound_catalogue_passes_and_one_that_leaks_does_not(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leak = next(mutant for mutant in MUTANTS if mutant.leak == "assets of items")
    with worlds.two(cluster, tmp_path, Kind()) as (live, _):
        environment(monkeypatch, live)
        with pytest.raises(typer.Exit) as passed:
            verify(requests=200, seed=0)
        assert passed.value.exit_code == 0, capsys.readouterr().out
        assert "no difference" in capsys.readouterr().out
        with leak.planted((live,)), pytest.raises(typer.Exit) as failed:
            verify(requests=200, seed=0)
        assert failed.value.exit_code == 1
        told = capsys.readouterr().out
        assert "curl -i" in told
        assert " differences" in told
        # Where both fail alike nothing differs, but nothing is shown either.
        with connect(live, live.database.admin_user) as connection:
            connection.execute(_BROKEN)
        with pytest.raises(typer.Exit) as broken:
            verify(requests=200, seed=0)
        told = capsys.readouterr().out
        assert broken.value.exit_code == 3, told
        assert "no difference, but" in told
        assert "unexpected errors" in told
        assert "curl -i -X GET" in told
        assert "/collections" in told
        assert "Traceback" not in told
        assert len(told.splitlines()) < 50
    assert databases(cluster) == 0
