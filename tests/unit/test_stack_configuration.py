"""What the stack writes for the servers it starts."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest

from almagest.cli.stack import keys, ports, postgres, programs, redis, supervisor
from almagest.core import secrets
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Database, Settings, Site
from support.cluster import free_port


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(site=Site(home=home / "with a space", workers=2, tile_workers=1), database=Database(port=15999))


def supervised(settings: Settings) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(supervisor.configuration(settings, programs.programs(settings)))
    return parsed


def test_what_runs(settings: Settings) -> None:
    names = [name.removeprefix("program:") for name in supervised(settings).sections() if name.startswith("program:")]
    inside, outside = ["stac-0", "stac-1", "tiles-0"], ["external-stac-0", "external-stac-1", "external-tiles-0"]
    assert names == ["postgres", "redis", "ops-0", "ops-1", *inside, *outside, "worker-0", "nginx"]


def test_flower_runs_where_it_is_wanted(home: Path) -> None:
    names = [program.name for program in programs.programs(Settings(site=Site(home=home, flower=True)))]
    assert names[-2:] == ["flower-0", "nginx"]


def test_a_foreign_database_is_not_run(home: Path) -> None:
    settings = Settings(site=Site(home=home), database=Database(host="db.example"))
    assert "postgres" not in [program.name for program in programs.programs(settings)]


def test_the_supervisor_has_no_port(settings: Settings) -> None:
    parsed = supervised(settings)
    assert "inet_http_server" not in parsed.sections()
    assert parsed["unix_http_server"]["chmod"] == "0700"


def test_everything_is_restarted_and_dies_with_the_supervisor(settings: Settings) -> None:
    parsed = supervised(settings)
    signals = {}
    for program in programs.programs(settings):
        section = parsed[f"program:{program.name}"]
        words = shlex.split(section["command"])
        assert words[words.index("--") + 1 :] == list(program.command)
        assert section["autorestart"] == "true"
        assert int(section["startretries"]) > 10000
        signals[program.name] = (section["stopsignal"], words[words.index("--death-signal") + 1])
    assert signals["postgres"] == ("INT", "INT")
    assert signals["nginx"] == ("QUIT", "TERM")
    assert signals["stac-0"] == ("TERM", "TERM")


def test_nginx_goes_first_and_the_database_last(settings: Settings) -> None:
    stages = {program.name: program.stage for program in programs.programs(settings)}
    assert stages["postgres"] == stages["redis"] < stages["stac-0"] == stages["tiles-0"] < stages["nginx"]


def test_children_see_our_settings_and_little_else(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    environment = supervisor.child_environment(settings)
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert environment["HTTPS_PROXY"] == "http://proxy.example"
    assert environment["ALMAGEST_WORKERS"] == "2"
    assert environment["HOME"] == str(settings.site.home)


def test_postgres_keeps_what_it_was_told(settings: Settings) -> None:
    text = postgres.configuration(settings, 2 * 1024**3)
    assert "port = 15999\n" in text
    assert "shared_buffers = 512MB\n" in text
    assert f"unix_socket_directories = '{settings.run}'\n" in text
    assert "listen_addresses = '127.0.0.1'\n" in text
    # Durability is PostgreSQL's default and stays so.
    assert not any(word in text for word in ("fsync", "full_page_writes", "synchronous_commit"))


def test_much_memory_is_not_all_taken(settings: Settings) -> None:
    assert "shared_buffers = 1024MB\n" in postgres.configuration(settings, 64 * 1024**3)


def test_the_administrator_comes_by_the_socket_alone() -> None:
    rules = [line.split() for line in postgres.access_rules("postgres").splitlines()]
    assert rules[0] == ["local", "all", '"postgres"', "peer", "map=almagest"]
    assert [rule[-1] for rule in rules if rule[0] == "host"] == ["reject", "scram-sha-256", "scram-sha-256"]
    assert not any(word in {"trust", "md5", "password"} for rule in rules for word in rule)


def test_who_is_the_administrator() -> None:
    assert postgres.identities("almagest", "postgres") == (
        'almagest "almagest" "postgres"\nalmagest "root" "postgres"\n'
    )


def test_redis_has_no_port_and_forgets_nothing(settings: Settings) -> None:
    lines = redis.configuration(settings).splitlines()
    assert {"port 0", "maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec"} <= set(lines)
    assert f'unixsocket "{settings.run}/redis.sock"' in lines


def test_keys_are_made_once(home: Path) -> None:
    settings = Settings(site=Site(home=home))
    keys.ensure(settings)
    write, token = (secrets.require(settings.secrets, name) for name in (secrets.WRITE_KEY, secrets.TOKEN_KEY))
    prefix, identifier, secret = write.split("_")
    assert (prefix, len(identifier), len(secret), len(bytes.fromhex(token))) == ("alm", 8, 43, 32)
    assert (identifier + secret).isalnum()
    assert (settings.secrets / secrets.WRITE_KEY).stat().st_mode & 0o777 == 0o600
    keys.ensure(settings)
    assert secrets.require(settings.secrets, secrets.WRITE_KEY) == write


@pytest.mark.parametrize("variable", ["ALMAGEST_PORT", "ALMAGEST_DB_PORT"])
def test_a_taken_port_is_named_with_its_variable(home: Path, variable: str) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen = (port, free_port()) if variable == "ALMAGEST_PORT" else (free_port(), port)
        settings = Settings(site=Site(home=home, port=chosen[0]), database=Database(port=chosen[1]))
        with pytest.raises(ConfigurationError, match=rf"Port {port} .* set {variable}"):
            ports.check(settings)


def test_free_ports_are_fine(home: Path) -> None:
    ports.check(Settings(site=Site(home=home, port=free_port()), database=Database(port=free_port())))


@pytest.mark.parametrize("bind", ["192.0.2.1", "0.0.0.0", "::", "example.org"])
def test_a_site_that_is_open_to_the_world_is_refused(bind: str, home: Path) -> None:
    settings = Settings(site=Site(home=home, bind=bind, port=free_port()), database=Database(port=free_port()))
    with pytest.raises(
        ConfigurationError, match=r"ALMAGEST_BIND.*ALMAGEST_INTERNAL_NETWORKS.*ALMAGEST_INTERNAL_READ=key"
    ):
        ports.check(settings)


@pytest.mark.parametrize("said", [{"internal_networks": "10.0.0.0/8"}, {"internal_read": "key"}])
def test_a_site_that_others_reach_is_fine_once_it_is_said_who_may_read(said: dict[str, str], home: Path) -> None:
    site = Site(home=home, bind="0.0.0.0", port=free_port(), **said)  # type: ignore[arg-type]
    ports.check(Settings(site=site, database=Database(port=free_port())))


def test_a_proxy_that_nobody_named_is_refused(home: Path) -> None:
    def check(**said: str) -> None:
        site = Site(home=home, port=free_port(), public_url="https://stac.example.org", **said)  # type: ignore[arg-type]
        ports.check(Settings(site=site, database=Database(port=free_port())))

    with pytest.raises(ConfigurationError, match=r"ALMAGEST_PUBLIC_URL.*ALMAGEST_TRUSTED_PROXIES"):
        check()
    check(trusted_proxies="127.0.0.1/32")
    check(internal_read="key")
    check(internal_networks="127.0.0.0/8")


def test_a_public_url_of_this_machine_needs_no_proxy(home: Path) -> None:
    site = Site(home=home, port=free_port(), public_url="http://localhost:8080")
    ports.check(Settings(site=site, database=Database(port=free_port())))


def test_the_public_listener_may_be_reached_by_all(home: Path) -> None:
    site = Site(home=home, port=free_port(), public_port=free_port(), public_bind="0.0.0.0")
    ports.check(Settings(site=site, database=Database(port=free_port())))


def test_the_public_listeners_port_and_address_are_checked_too(home: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        site = Site(home=home, port=free_port(), public_port=taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match="set ALMAGEST_PUBLIC_PORT"):
            ports.check(Settings(site=site, database=Database(port=free_port())))
    site = Site(home=home, port=free_port(), public_port=free_port(), public_bind="192.0.2.1")
    with pytest.raises(ConfigurationError, match="ALMAGEST_PUBLIC_BIND: this machine has no address"):
        ports.check(Settings(site=site, database=Database(port=free_port())))
