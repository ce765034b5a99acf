"""Whether a command talks to a database or to an API, and as whom."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from almagest.cli import options
from almagest.cli.stack import state
from almagest.core import secrets
from almagest.core.configuration import Configuration
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings, Site

INGEST = "ingest: {db_host: db.example, db_port: 5432, db_name: theirs, db_user: somebody, db_password: in-the-file}\n"


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMAGEST_HOME", str(home))
    monkeypatch.delenv("PGPASSWORD", raising=False)


def said(tmp_path: Path, text: str) -> Configuration:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return Configuration.load(file)


def place(target: options.Database | options.Api) -> tuple[str, int, str, str]:
    assert isinstance(target, options.Database)
    database = target.settings.database
    return database.host, database.port, database.name, target.user


def test_without_a_word_it_is_the_database_of_the_stack_here(home: Path) -> None:
    secrets.ensure(home / "secrets", "almagest_writer", "its-own")
    target = options.target(Configuration.load())
    assert place(target) == ("", 5439, "almagest", "almagest_writer")
    assert isinstance(target, options.Database)
    assert target.password == "its-own"


def test_section_ingest_names_a_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = options.target(said(tmp_path, INGEST))
    assert place(target) == ("db.example", 5432, "theirs", "somebody")
    assert isinstance(target, options.Database)
    assert target.password == "in-the-file"
    told = capsys.readouterr().err
    assert "PGPASSWORD is a better place" in told
    assert "in-the-file" not in f"{told}{target}"


def test_environment_and_flags_count_more_than_section_ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMAGEST_DB_HOST", "env.example")
    monkeypatch.setenv("PGPASSWORD", "from-the-shell")
    target = options.target(said(tmp_path, INGEST), db_port=7, db_user="me")
    assert place(target) == ("env.example", 7, "theirs", "me")
    assert isinstance(target, options.Database)
    assert target.password == "from-the-shell"


def test_section_ingest_counts_more_than_section_database_of_the_same_file(tmp_path: Path) -> None:
    target = options.target(said(tmp_path, INGEST + "database: {host: other.example, admin_user: me}"))
    assert place(target)[0] == "db.example"


def test_a_wrong_port_of_section_ingest_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.yaml: database\.port: .*'many'"):
        options.target(said(tmp_path, "ingest: {db_port: many}"))


def test_an_api_is_named_by_flag_or_section_client(tmp_path: Path) -> None:
    configuration = said(tmp_path, "client: {api_url: https://a.example/api/, key: alm_1}")
    assert options.target(configuration) == options.Api("https://a.example/api", "alm_1")
    assert options.target(configuration, api_url="http://b/api") == options.Api("http://b/api", "alm_1")
    assert isinstance(options.target(configuration, db_host="db.example"), options.Database)
    assert "alm_1" not in repr(options.target(configuration))


@pytest.mark.parametrize(
    ("variables", "chosen"),
    [
        ({}, options.Database),
        ({"ALMAGEST_API_URL": "https://a.example/api"}, options.Api),
        ({"ALMAGEST_API_URL": "https://a.example/api", "ALMAGEST_DB_HOST": "db.example"}, options.Database),
    ],
)
def test_of_an_api_and_a_database_the_higher_layer_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], chosen: type
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    both = said(tmp_path, "client: {api_url: https://a.example/api}\n" + INGEST)
    assert isinstance(options.target(both), chosen)


def test_what_eomatch_queries_is_not_what_is_written_to(tmp_path: Path) -> None:
    configuration = said(tmp_path, "query: {api_url: https://a.example/api}")
    assert isinstance(options.target(configuration), options.Database)
    assert options.api(configuration).url == "https://a.example/api"


def test_flags_for_both_are_refused() -> None:
    with pytest.raises(typer.BadParameter, match="either to an API or to a database"):
        options.target(Configuration.load(), api_url="http://a/api", db_name="b")
    with pytest.raises(typer.BadParameter, match="a key is for an API"):
        options.target(Configuration.load(), key="alm_1")


@pytest.mark.parametrize("url", ["a.example/api", "file:///etc/passwd", "ftp://a"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="it begins with http"):
        options.api(Configuration.load(), api_url=url)


def test_a_key_is_taken_from_the_flag_the_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("alm_file\n")
    configuration = said(tmp_path, f"client: {{key_file: {file}}}")
    assert options.api(configuration).key == "alm_file"
    monkeypatch.setenv("ALMAGEST_KEY", "alm_env")
    assert options.api(configuration).key == "alm_env"
    assert options.api(configuration, key_file=file).key == "alm_file"
    assert options.api(configuration, key="alm_flag", key_file=file).key == "alm_flag"


def test_a_key_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"The key in .*nowhere cannot be read: No such file"):
        options.api(Configuration.load(), key_file=tmp_path / "nowhere")
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigurationError, match="is empty"):
        options.api(Configuration.load(), key_file=tmp_path / "empty")


def test_the_api_of_the_stack_here_is_found_by_what_it_was_started_with(home: Path) -> None:
    started = Settings(site=Site(home=home, port=1234))
    state.folder(started).mkdir()
    state.remember(started)
    assert options.api(Configuration.load()).url == "http://127.0.0.1:1234/api"


def test_a_file_says_what_this_shell_says(home: Path, tmp_path: Path) -> None:
    """So all that asks later, and every child, has its values without reading it."""
    running = Settings(site=Site(home=home, port=1234, workers=3))
    state.folder(running).mkdir()
    state.remember(running)
    adopted = state.adopt(said(tmp_path, "site: {port: 1235}\nstore: {store_roots: [relative]}"))
    assert adopted.site.port == Settings.load().site.port == 1235
    assert Settings.load().store.store_roots == (Path("relative").absolute(),)
    assert ("ALMAGEST_PORT", "1234", "1235") in state.differences(adopted)
