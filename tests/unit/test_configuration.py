"""Configuration files: what they may say, what counts more, and what is said of mistakes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic.v1.utils import deep_update
from typer.testing import CliRunner

from almagest.cli import template
from almagest.cli.commands import app
from almagest.core import configuration
from almagest.core.configuration import EOMATCH_SECTIONS, FINDER_KEYS, Configuration
from almagest.core.errors import ConfigurationError
from almagest.core.settings import SECTIONS, Settings

#: As an operator of eomatch has it: its sections, flat keys of its finder, those of the downloader below it.
EOMATCH = """
matchup_catalogue: {path: /data/matchups, id: matchup-catalogue, description: All of them}
platforms: Sentinel-2A, Landsat-9
collections: S2_MSI_L1C, LANDSAT_C2L1
start_time: 2023-01-01 00:00:00
min_lat: 0
orbitx_netcdf_files: {LANDSAT_C2L1-Landsat-9-vs-S2_MSI_L1C-S2A: /data/a.nc}
ingest: {db_host: db.example, db_port: 5432, db_name: eomatch, db_user: eomatch, db_password: null}
query: {api_url: https://stac.example/api}
read:
  defaults: {vars_sel: {meas: [], aux: []}, read_params: {use_chunks: false, metadata_level: true}}
  collections: {S2_MSI_L1C: {vars_sel: {meas: [B02]}}}
preview: {read: {defaults: {vars_sel: {meas: rgb}}}}
api: {preferred_api: eodag}
eodag: {usgs: {priority: 4}}
hypernets: {credentials: {apikey: null}}
hypernets: {credentials: {apikey: null}}
max_retries: 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own file belongs. It is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    path = tmp_path / "xdg" / "almagest" / "config.yaml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file for ``--config``."""
    return tmp_path / "config.yaml"


def test_no_test_reads_the_developers_own_file() -> None:
    assert not configuration.user_file().exists()


def test_sections_are_the_groups_of_settings() -> None:
    groups = {name: type(group) for name, group in vars(Settings()).items()}
    assert {name: group for name, group in SECTIONS.items() if name != "client"} == groups


def test_each_layer_counts_more_than_the_one_below(own: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["port", "workers", "tile_workers", "ops_workers"]
    own.write_text("site: {port: 1, workers: 1, tile_workers: 1, ops_workers: 1}")
    file.write_text("site: {workers: 2, tile_workers: 2, ops_workers: 2}")
    monkeypatch.setenv("ALMAGEST_TILE_WORKERS", "3")
    monkeypatch.setenv("ALMAGEST_OPS_WORKERS", "3")
    found = Configuration.load(file, {"site.ops_workers": 4, "site.port": None})
    site = found.settings().site
    assert [getattr(site, name) for name in names] == [1, 2, 3, 4]
    assert [found.where(f"site.{name}") for name in names] == [str(own), str(file), "environment", "flags"]
    assert [found.rank(f"site.{name}") for name in names] == [1, 2, 3, 4]
    assert (found.where("site.bind"), found.rank("site.bind")) == ("default", 0)
    assert sorted(found.given()) == sorted(f"site.{name}" for name in names)


def test_a_file_is_named_by_a_variable_too(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file.write_text("site: {port: 1}")
    monkeypatch.setenv("ALMAGEST_CONFIG", str(file))
    assert Configuration.load().settings().site.port == 1
    flagged = tmp_path / "flagged.yaml"
    flagged.write_text("site: {workers: 5}")
    assert Configuration.load(flagged).settings().site.port == 8080


def test_services_read_no_files(own: Path) -> None:
    own.write_text("site: {port: 1}")
    assert Settings.load().site.port == 8080


def test_without_files_the_configuration_is_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMAGEST_DB_PORT", "7")
    assert Configuration.load().settings() == Settings.load()


def test_every_setting_can_stand_in_a_file(file: Path) -> None:
    """As its own default, or as text where it has none."""
    said: dict[str, Any] = {
        section: {
            name: list(info.default) if isinstance(info.default, tuple) else str(info.default or "") or None
            for name, info in group.model_fields.items()
        }
        for section, group in SECTIONS.items()
    }
    said["client"].update(api_url="https://a.example/api", key="alm_1_2", key_file="~/key")
    file.write_text(yaml.safe_dump(said))
    found = Configuration.load(file)
    assert vars(found.settings().site) == vars(Settings().site)
    assert found.client.api_url == "https://a.example/api"
    assert found.client.key_file == Path("~/key").expanduser()
    assert found.client.key is not None
    assert "alm_1_2" not in f"{found.client}{found.section('client')}"


def test_lists_are_lists_or_texts_with_commas(file: Path) -> None:
    file.write_text('store: {asset_hosts: [a.example, b.example]}\nsite: {internal_networks: "10.0.0.0/8, ::1/128"}')
    found = Configuration.load(file).settings()
    assert found.store.asset_hosts == ("a.example", "b.example")
    assert found.site.internal_networks == ("10.0.0.0/8", "::1/128")
    assert not found.site.is_open_to_the_world


def test_an_empty_value_is_one_that_is_not_set(own: Path, file: Path) -> None:
    own.write_text("store: {store: /srv/store}\ndatabase: {host: db.example}\nsite:\n")
    file.write_text('store: {store: ""}\ndatabase: {host: ""}\nsite: {port:}\n')
    found = Configuration.load(file)
    assert found.settings().store_path == Path("/srv/store")
    assert found.where("store.store") == str(own)
    assert found.settings().database.host == ""  # a text that may be empty
    assert found.settings().site.port == 8080


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("databse: {}", "there is no section `databse`. Do you mean `database`?"),
        ("site: {prot: 1}", "there is no setting `site.prot`. Do you mean `site.port`?"),
        ("zzz: 1", "there is no section `zzz`. `almagest init` shows all."),
        ("cache_mb: 1", "there is no section `cache_mb`. `cache_mb` stands under `tiles:`."),
        ("s3: {cache_mb: 1}", "there is no setting `s3.cache_mb`. `cache_mb` stands under `tiles:`."),
        ("site: {1: 1}", "there is no setting `site.1`."),
        ("site: {port: 70000}", "site.port: Input should be less than or equal to 65535 (it is 70000)"),
        ("site: {port: eighty}", "site.port: Input should be a valid integer"),
        ("site: {port: [1]}", "site.port: Input should be a valid integer"),
        ("site: {port: yes}", "site.port: YAML reads this as true: it takes no yes or no."),
        ("s3: {region: no}", "s3.region: YAML reads this as false: put it into quotes."),
        ("database: {name: 12}", "database.name: Input should be a valid string (it is 12)"),
        ("audience: {visible_schemes: file}", "audience.visible_schemes: Value error, file can never be shown"),
        ("client: {key: 12345}", "client.key: Input should be a valid string"),
        ("site: 5", "`site` is a section: write `name: value` on the lines below it."),
        ("ingest: [1]", "`ingest` is a section"),
        ("- site", "holds no sections: write `section:`"),
        ("site", "holds no sections"),
        ("site:\n\tport: 1", "line 2: a tab stands here; YAML is indented by spaces."),
        ("site:\n  port:\t\n\tbind: a", "line 2: a tab stands here"),
        ("a: b: c", "line 1: this is not YAML: mapping values are not allowed here."),
        ("site: {port: 1", "this is not YAML"),
        ("site: {port: 1}\nsite: {bind: a}", "line 2: site stands here for the second time."),
        ("site:\n  port: 1\n  port: 2", "line 3: site.port stands here for the second time."),
        ("start_time: 2023-02-31", "is not YAML: day is out of range for month."),
        ("a: \x01", "is not YAML: unacceptable character"),
        ("a: !!python/object/apply:os.getcwd []", "this is not YAML: could not determine a constructor"),
        ("[" * 2_000, "is nested too deeply."),
        ("a: &a [1]\nb: *a", "line 2: an alias stands here: write out what it means."),
        ("a: &a [*a]", "line 1: an alias stands here"),
        ("site: {port: &a [[1], *a]}", "line 1: an alias stands here"),
        (f"site: {{port: {'x' * 5_000}}}", f"(it is '{'x' * 99}…)"),
        ("client: {api_url: 'ftp://u:12345@h'}", "(it is 'ftp://…@h')"),
        (f"{'x' * 1_000}: 1", f"there is no section `{'x' * 100}`."),
    ],
)
def test_a_mistake_is_one_sentence_with_the_file_and_the_key(file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        Configuration.load(file)
    message = str(raised.value)
    assert message.startswith(str(file))
    assert sentence in message
    assert "\n" not in message
    assert len(message) < 500
    assert "12345" not in message


def test_what_cannot_be_read_is_said(file: Path, own: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"config.yaml cannot be read: No such file"):
        Configuration.load(file)
    with pytest.raises(ConfigurationError, match=r"cannot be read: Is a directory"):
        Configuration.load(file.parent)
    file.write_bytes(b"site: \xff")
    with pytest.raises(ConfigurationError, match="is not text in UTF-8"):
        Configuration.load(file)
    own.mkdir()
    with pytest.raises(ConfigurationError, match=re.escape(str(own))):
        Configuration.load()


def test_a_wrong_variable_is_named_by_itself(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("site: {port: 1}")
    monkeypatch.setenv("ALMAGEST_PORT", "eighty")
    with pytest.raises(ConfigurationError, match=r"^ALMAGEST_PORT: .*'eighty'"):
        Configuration.load(file)


def test_an_empty_file_says_nothing(file: Path) -> None:
    file.write_text("# only words\n")
    assert Configuration.load(file).settings() == Settings()


def test_a_configuration_of_eomatch_is_understood(file: Path) -> None:
    file.write_text(EOMATCH)
    found = Configuration.load(file)
    assert found.settings() == Settings()  # its database is that of `ingest` alone
    assert found.section("matchup_catalogue")["path"] == "/data/matchups"
    assert found.section("ingest")["db_host"] == "db.example"
    assert found.finder["platforms"] == "Sentinel-2A, Landsat-9"
    assert found.finder["min_lat"] == 0
    assert found.section("api")["preferred_api"] == "eodag"
    assert found.where("ingest.db_host") == found.where("min_lat") == str(file)
    assert found.where("ingest.db_password") == "default"


def test_eomatchs_sections_may_hold_anything(file: Path) -> None:
    file.write_text("".join(f"{name}: {{of_a_later_version: 1}}\n" for name in EOMATCH_SECTIONS))
    assert Configuration.load(file).section("read") == {"of_a_later_version": 1}


def test_sections_of_eomatch_are_merged_key_by_key(own: Path, file: Path) -> None:
    own.write_text(EOMATCH)
    file.write_text(
        "read: {defaults: {vars_sel: {meas: [B1]}}, collections: {X: {}}}\nplatforms: A, B\nmin_lat:\ningest:\n"
    )
    found = Configuration.load(file)
    assert found.section("read") == {
        "defaults": {
            "vars_sel": {"meas": ["B1"], "aux": []},
            "read_params": {"use_chunks": False, "metadata_level": True},
        },
        "collections": {"S2_MSI_L1C": {"vars_sel": {"meas": ["B02"]}}, "X": {}},
    }
    assert found.finder["platforms"] == "A, B"
    assert found.finder["min_lat"] is None  # blank, as eomatch takes it: no bound
    assert found.section("ingest")["db_host"] == "db.example"


_TREES: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        st.none()
        | st.integers()
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.sampled_from("abc"), _TREES, max_size=3)
    )
)
_MAPPINGS = st.dictionaries(st.sampled_from("abc"), _TREES, max_size=3)


@given(_MAPPINGS, _MAPPINGS)
def test_files_are_merged_as_eomatch_merges_them(below: dict[str, Any], above: dict[str, Any]) -> None:
    """It calls this function of pydantic."""
    assert configuration._merged(below, above) == deep_update(below, above)


def uncommented(text: str) -> str:
    """All settings of the template, as if somebody had taken every `#` away."""
    return re.sub(r"(?m)^( *)#(?=\S)", r"\1", text)


def test_what_init_writes_loads_as_it_is_and_with_every_line_uncommented(file: Path) -> None:
    file.write_text(template.render())
    assert list(Configuration.load(file).given()) == []
    file.write_text(uncommented(template.render()))
    found = Configuration.load(file)
    for name, group in vars(Settings()).items():
        assert vars(getattr(found.settings(), name)) == vars(group)
    said = yaml.safe_load(file.read_text())
    for section, group in SECTIONS.items():
        assert list(said[section]) == list(group.model_fields)
    assert set(EOMATCH_SECTIONS) <= set(said)
    assert found.section("preview")["read"]["defaults"]["vars_sel"]["meas"] == "rgb"
    assert FINDER_KEYS >= set(found.finder) >= {"platforms", "dump_orbit"}


def test_the_template_explains_every_setting_and_its_variable() -> None:
    text = template.render()
    assert "(ALMAGEST_DB_PORT)" in text
    assert "  # Port that nginx listens on. (ALMAGEST_PORT)\n  #port: 8080\n" in text
    assert all(len(line) <= 120 for line in text.splitlines() if line.lstrip().startswith("# "))


def test_init_takes_over_what_another_file_says(file: Path, tmp_path: Path) -> None:
    file.write_text(EOMATCH + "site: {port: 9000}\nstore: {asset_hosts: [a.example]}\n")
    target = tmp_path / "new.yaml"
    assert CliRunner().invoke(app, ["init", str(target), "--from", str(file)]).exit_code == 0
    before, after = Configuration.load(file), Configuration.load(target)
    for section in (*SECTIONS, *EOMATCH_SECTIONS):
        assert after.section(section) == before.section(section)
    assert after.finder == before.finder
    assert list(after.given()) == list(before.given()) == ["site.port", "store.asset_hosts"]


def test_init_writes_for_its_owner_alone_and_replaces_nothing(own: Path) -> None:
    run = CliRunner().invoke
    own.parent.rmdir()
    assert run(app, ["init"]).stdout.strip() == str(own)
    assert own.stat().st_mode & 0o777 == 0o600
    own.write_text("site: {port: 1}")
    refused = run(app, ["init"])
    assert "--force" in str(refused.exception)
    assert own.read_text() == "site: {port: 1}"
    assert run(app, ["init", "--stdout"]).stdout == template.render()
    assert run(app, ["init", "--force"]).exit_code == 0
    assert own.read_text() == template.render()
    assert [path.name for path in own.parent.iterdir()] == ["config.yaml"]


def test_settings_shows_where_each_value_comes_from(file: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    file.write_text("site: {port: 9000}\nclient: {key: alm_1_2}")
    monkeypatch.setenv("ALMAGEST_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, ["settings", "--config", str(file)]).stdout
    lines = {line.split()[0]: line for line in shown.splitlines() if line.startswith("ALMAGEST_")}
    assert "9000" in lines["ALMAGEST_PORT"]
    assert str(file)[:20] in lines["ALMAGEST_PORT"]
    assert "environment" in lines["ALMAGEST_HOME"]
    assert "environment" not in lines["ALMAGEST_BIND"]
    assert "alm_1_2" not in shown
