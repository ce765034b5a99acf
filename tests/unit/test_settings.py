from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from almagest.core.errors import ConfigurationError
from almagest.core.processes import services
from almagest.core.settings import Settings, Site, Store, table


def test_a_wrong_value_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMAGEST_PORT", "eighty")
    with pytest.raises(ConfigurationError, match=r"ALMAGEST_PORT: .*'eighty'"):
        Settings.load()


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMAGEST_ASSET_HOSTS", "a.example, b.example")
    assert Store().asset_hosts == ("a.example", "b.example")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty path would be the current folder, and nginx would serve that."""
    for name in ("ALMAGEST_STORE", "ALMAGEST_BROWSER", "ALMAGEST_HOME", "ALMAGEST_DB_HOST"):
        monkeypatch.setenv(name, "")
    assert Settings.load().store_path == Settings.load().site.home / "store"
    assert Settings.load().browser_path == Settings.load().site.home / "browser"


def test_services_elsewhere_are_those_behind_nginx() -> None:
    everywhere = Settings(site=Site(services=tuple(f"{each.name}=there:80" for each in services(Settings()))))
    assert {everywhere.site.elsewhere(each.name) for each in services(everywhere)} == {("there", 80)}
    assert Site().elsewhere("stac") is None
    for wrong in ("stack=there:80", "stac=there", "stac=there:80;", "stac=a b:80"):
        with pytest.raises(ValidationError, match="is not `service=host:port`"):
            Site(services=(wrong,))


def test_a_program_finds_the_home_it_is_installed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any folder that has none of its own."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "there" / ".almagest" / "venv"))
    monkeypatch.chdir(tmp_path)
    assert Site().home == tmp_path / "there" / ".almagest"
    (tmp_path / ".almagest").mkdir()
    assert Site().home == tmp_path / ".almagest"
    monkeypatch.setattr(sys, "prefix", "/usr")
    (tmp_path / ".almagest").rmdir()
    assert Site().home == tmp_path / ".almagest"


def test_secrets_may_lie_elsewhere() -> None:
    assert Settings(site=Site(secrets=Path("/run/secrets"))).secrets == Path("/run/secrets")
    assert Settings(site=Site(home=Path("/srv/a"))).secrets == Path("/srv/a/secrets")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Site().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("site", "origin"),
    [
        (Site(), "http://127.0.0.1:8080"),
        (Site(bind="::1", port=80), "http://[::1]:80"),
        (Site(public_url="https://stac.example.org"), "https://stac.example.org"),
    ],
)
def test_the_origin_of_links(site: Site, origin: str) -> None:
    assert site.origin == origin


def test_a_long_home_gets_short_sockets() -> None:
    deep = Settings(site=Site(home=Path("/tmp") / ("x" * 90)))
    assert len(str(deep.run)) < 60
    assert Settings(site=Site(home=Path("/srv/almagest"))).run == Path("/srv/almagest/run")


def test_every_setting_is_explained() -> None:
    assert all(meaning for _, _, meaning in table())
    names = [name for name, _, _ in table()]
    assert len(names) == len(set(names))
