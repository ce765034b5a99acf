from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from almagest.cli.stack import lifecycle, state
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Api, Database, Settings, Site, Store


def test_settings_survive_the_way_through_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        site=Site(home=home, port=1234, public_url="https://a.example"),
        database=Database(port=4321, statement_timeout_s=1.5),
        store=Store(store_roots=(Path("/a"), Path("/b")), asset_hosts=("c.example", "d.example")),
        api=Api(title='A "title", with %signs and $dollars', validate_extensions=True),
    )
    for name, value in state.environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


def test_relative_paths_mean_the_same_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(store=Store(store=Path("store"), store_roots=(Path("more"),)))
    variables = state.environment(settings)
    assert variables["ALMAGEST_STORE"] == f"{tmp_path}/store"
    assert variables["ALMAGEST_STORE_ROOTS"] == f"{tmp_path}/more"


def test_what_was_started_is_found_from_another_shell(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = Settings(site=Site(home=home, port=1234))
    state.folder(started).mkdir()
    state.remember(started, code="1")
    state.remember(started, sample="none")
    monkeypatch.setattr(os, "environ", {"ALMAGEST_HOME": str(home)})
    assert state.effective().site.port == 1234
    assert state.recall(started)["code"] == "1"
    assert state.recall(started)["sample"] == "none"


def test_a_torn_memory_is_no_memory(home: Path) -> None:
    settings = Settings(site=Site(home=home))
    state.folder(settings).mkdir()
    for text in ("", "{", "[]"):
        (state.folder(settings) / "stack.json").write_text(text)
        assert state.recall(settings) == {}


def test_only_what_this_shell_says_can_differ(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Settings(site=Site(home=home, port=1234, workers=3))
    state.folder(running).mkdir()
    state.remember(running)
    monkeypatch.setattr(os, "environ", {"ALMAGEST_HOME": str(home), "ALMAGEST_PORT": "1235"})
    assert state.differences(Settings.load()) == [("ALMAGEST_PORT", "1234", "1235")]


@pytest.mark.parametrize("name", ["a$b", "a;b", "a%b", 'a"b', "a\nb", "a#b"])
def test_a_home_that_no_configuration_can_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="ALMAGEST_HOME"):
        state.check_home(Settings(site=Site(home=Path("/tmp") / name)))


@pytest.mark.parametrize("name", ["with space", "josé", "a-b_c.d+e@f"])
def test_ordinary_homes_are_fine(name: str) -> None:
    state.check_home(Settings(site=Site(home=Path("/tmp") / name)))


def test_the_code_is_told_from_changed_code() -> None:
    assert state.code() == state.code()


def test_sample_folders_are_added_to_the_readable_ones() -> None:
    settings = Settings(store=Store(store_roots=(Path("/a"),)))
    assert lifecycle.sample_roots(settings, []) == {}
    assert lifecycle.sample_roots(settings, ["/b", "/a"]) == {"ALMAGEST_STORE_ROOTS": "/a,/b"}


def test_memory_is_readable_json(home: Path) -> None:
    settings = Settings(site=Site(home=home))
    state.folder(settings).mkdir()
    state.remember(settings)
    assert json.loads((home / "state" / "stack.json").read_text())["settings"]["ALMAGEST_HOME"] == str(home)
