"""The stack as containers, as far as can be said without any: its files, against Compose's schema and our settings."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from almagest.core import processes
from almagest.core.settings import Settings, table

COMPOSE = Path(__file__).parents[2] / "compose"
FILES = sorted(COMPOSE.glob("compose*.yaml"))
STACK: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
#: Done when they have done it.
ONCE = {"migrate", "browser", "admin"}
#: What operators put beside the others: not ours, and only where they ask for it.
FOREIGN = {"minio", "prometheus", "grafana"}
#: Settings of the one machine, of commands, or said by the number of containers.
NOT_HERE = {
    *("ALMAGEST_USER", "ALMAGEST_STORE", "ALMAGEST_PUBLIC_PORT", "ALMAGEST_PUBLIC_BIND"),
    *("ALMAGEST_WORKERS", "ALMAGEST_TILE_WORKERS", "ALMAGEST_WORK_WORKERS"),
    "ALMAGEST_WORK_REDIS_PORT",
    *("ALMAGEST_API_URL", "ALMAGEST_KEY", "ALMAGEST_KEY_FILE"),
}

_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)(?::-([^${}]*))?\}")


def filled(text: str, variables: dict[str, str]) -> str:
    """What Compose makes of ``${NAME:-default}``, from the inside out."""
    while _VARIABLE.search(text):
        text = _VARIABLE.sub(lambda found: variables.get(found[1]) or found[2] or "", text)
    return text


def environment(name: str, **variables: str) -> dict[str, str]:
    """What a container is told where `.env` says this."""
    given = SERVICES[name].get("environment", {})
    return {key: filled(str(value), variables) for key, value in given.items()}


def asked() -> set[str]:
    """Every variable that `.env` can set."""
    return {name for file in FILES for name, _ in _VARIABLE.findall(_unnested(file.read_text()))}


def _unnested(text: str) -> str:
    found = dict.fromkeys(re.findall(r"\$\{([A-Z0-9_]+)", text), "")
    return " ".join(f"${{{name}}}" for name in found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_compose_knows_every_word(file: Path) -> None:
    schemas = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    jsonschema_rs.validator_for(schema).validate(yaml.safe_load(file.read_text()))


def test_docker_compose_reads_it() -> None:
    if not shutil.which("docker"):
        pytest.skip("docker is not installed")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no Compose plugin")
    options = [word for file in FILES for word in ("--file", str(file))]
    done = subprocess.run(
        ["docker", "compose", *options, "config", "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_variable_is_a_setting_and_its_value_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name for name, _, _ in table()}
    for name in SERVICES:
        told = environment(name)
        assert {variable for variable in told if variable.startswith("ALMAGEST_")} <= known, name
        if "ALMAGEST_HOME" in told:
            with monkeypatch.context() as patch:
                for variable in [*os.environ]:
                    if variable.startswith("ALMAGEST_"):
                        patch.delenv(variable)
                for variable, value in told.items():
                    patch.setenv(variable, value)
                settings = Settings.load()
            assert settings.site.internal_read == "key"
            assert not settings.site.is_open_to_the_world
            assert str(settings.secrets) == "/run/secrets"


def test_every_setting_can_be_set() -> None:
    told = environment("api-internal")
    assert {name for name, _, _ in table()} - set(told) == NOT_HERE
    passed = {name for name, value in told.items() if environment("api-internal", **{name: "x"})[name] == "x" != value}
    fixed = {"HOME", "SECRETS", "BROWSER", "BIND", "PORT", "SERVICES", "WORK_REDIS_HOST"}
    assert set(told) - passed == {f"ALMAGEST_{name}" for name in fixed}


def test_the_example_names_what_can_be_set_and_how_it_stands() -> None:
    shown = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", (COMPOSE / ".env.example").read_text(), re.MULTILINE))
    assert set(shown) == asked()
    ours = environment("api-internal")
    for name, default, _ in table():
        if name in shown and name not in {"ALMAGEST_BIND", "ALMAGEST_PORT"}:
            assert shown[name] == (ours.get(name) or default), name
    for name in ("ALMAGEST_BIND", "ALMAGEST_PORT"):
        assert (name, shown[name]) in {(variable, default) for variable, default, _ in table()}


def test_every_process_behind_nginx_is_a_service_that_nginx_reaches() -> None:
    told = Settings().site.model_copy(
        update={"services": tuple(environment("proxy")["ALMAGEST_SERVICES"].split(","))},
    )
    for process in processes.services(Settings()):
        where = told.elsewhere(process.name)
        assert where, process.name
        service = SERVICES[where[0]]
        command = [str(word) for word in service["command"]]
        assert command[:3] == ["python", "-m", f"almagest.services.{process.kind}"]
        assert command[command.index("--audience") + 1] == process.audience
        assert command[command.index("--port") + 1] == str(where[1])
        assert set(service["networks"]) & set(SERVICES["proxy"]["networks"])
        assert set(service["networks"]) & set(SERVICES["db"]["networks"])
        assert f"127.0.0.1:{where[1]}/readyz" in service["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    limits = service["deploy"]["resources"]["limits"]
    assert limits["memory"]
    assert limits["pids"]
    assert service["logging"]["options"]["max-size"]
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", ()))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_stays_is_looked_after(name: str) -> None:
    service = SERVICES[name]
    if name in ONCE:
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]


def test_one_door_on_loopback_until_told_otherwise() -> None:
    published = {
        name: [filled(port, {}) for port in each["ports"]] for name, each in SERVICES.items() if "ports" in each
    }
    assert published.pop("proxy") == ["127.0.0.1:8080:8080"]
    assert set(published) == FOREIGN
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert all(SERVICES[name]["profiles"] for name in FOREIGN)


def test_strangers_reach_nothing_that_knows_more() -> None:
    assert STACK["networks"]["inside"] == STACK["networks"]["outside"] == {"internal": True}
    for name in ("api-external", "tiles-external"):
        assert SERVICES[name]["networks"] == ["outside"]
        theirs = {"almagest_external", "token.key", "token.key.previous", "s3.access", "s3.secret"}
        assert set(SERVICES[name]["secrets"]) <= theirs
        assert all(volume.endswith(":ro") for volume in SERVICES[name]["volumes"])
    shared = {name for name, each in SERVICES.items() if "outside" in each.get("networks", ())}
    assert shared == {"api-external", "tiles-external", "db", "ops", "proxy", "minio"}
    assert "secrets" not in SERVICES["proxy"]


def test_only_operators_reach_the_administrators_door() -> None:
    with_socket = {name for name, each in SERVICES.items() if any("db-socket" in v for v in each.get("volumes", ()))}
    assert with_socket == {"db", "migrate", "admin"}
    rules = [line.split() for line in (COMPOSE / "db" / "pg_hba.conf").read_text().splitlines() if line[0] != "#"]
    assert rules[0] == ["local", "all", "postgres", "peer", "map=almagest"]
    assert ["host", "all", "postgres", "all", "reject"] in rules
    assert {rule[-1] for rule in rules} == {"map=almagest", "scram-sha-256", "reject"}


def test_secrets_are_made_once_and_are_all_there_are(tmp_path: Path) -> None:
    script = shutil.copy(COMPOSE / "init-secrets", tmp_path)
    subprocess.run([script], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(STACK["secrets"])
    assert all(secret["file"] == f"./secrets/{name}" for name, secret in STACK["secrets"].items())
    assert len(set(made.values())) == len(made)
    assert all(len(value) >= 32 for name, value in made.items() if name != "s3.access")
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o444}
    (tmp_path / "secrets" / "redis").unlink()
    subprocess.run([script], check=True, capture_output=True)
    again = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert {name for name in made if made[name] != again[name]} == {"redis"}
    used = {secret for each in SERVICES.values() for secret in each.get("secrets", ())}
    assert used == set(STACK["secrets"])


def test_images_are_made_from_three_bases_and_run_as_nobody() -> None:
    text = (COMPOSE / "Dockerfile").read_text()
    assert not text.startswith("# syntax")
    stages = re.findall(r"^FROM (\S+) AS (\S+)$(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    names = {name for _, name, _ in stages}
    bases = {base for base, _, _ in stages} - names
    assert {base.split(":")[0] for base in bases} == {"debian", "python", "node"}
    for _, name, body in stages:
        if name in {each["build"]["target"] for each in SERVICES.values() if "build" in each}:
            assert re.findall(r"^USER (\S+)$", body, re.MULTILINE)[-1] == "10001:10001", name


@pytest.mark.parametrize("script", ["init-secrets", "db/start", "redis/start", "ingest/ingest-every"])
def test_a_script_can_be_run(script: str) -> None:
    assert os.access(COMPOSE / script, os.X_OK)
    subprocess.run(["sh", "-n", COMPOSE / script], check=True)


def test_commands_of_the_readme_name_what_there_is() -> None:
    text = (COMPOSE / "README.md").read_text()
    for name in re.findall(r"^\| `([^|]*)` \|", text, re.MULTILINE):
        assert set(name.split("`, `")) <= set(SERVICES)
    told = set(re.findall(r"`([a-z-]+)`(?=[^|\n]*\|[^|\n]*\|[^|\n]*\|[^|\n]*\|$)", text, re.MULTILINE))
    assert set(SERVICES) <= told
    for file in re.findall(r"compose[a-z.-]*\.yaml", text):
        assert (COMPOSE / file).exists() or file == "compose.override.yaml"
    for variable in re.findall(r"(?<![A-Z_])(?:ALMAGEST|INGEST)_[A-Z0-9_]+", text):
        assert variable in asked(), variable


def test_grafana_finds_numbers_and_dashboard() -> None:
    folder = COMPOSE / "grafana"
    (source,) = yaml.safe_load((folder / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "provisioning/dashboards/almagest.yaml").read_text())["providers"]
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"] if volume.startswith("./"))
    assert mounted["./grafana/dashboards"] == provider["options"]["path"]
    assert source["url"] == "http://prometheus:9090"
    dashboard = json.loads((folder / "dashboards/almagest.json").read_text())
    asked = {target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel.get("targets", ())}
    assert asked == {source["uid"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_prometheus_asks_the_door_with_the_key_that_it_is_given() -> None:
    (asks,) = yaml.safe_load((COMPOSE / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    name = asks["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert SERVICES["prometheus"]["secrets"] == [name]
    assert asks["static_configs"] == [{"targets": ["proxy:8080"]}]
    assert set(SERVICES["prometheus"]["networks"]) <= set(SERVICES["proxy"]["networks"])


class Schedule:
    """`ingest-every` with another `almagest` in its place."""

    def __init__(self, folder: Path, script: str) -> None:
        (folder / "almagest").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "almagest").chmod(0o755)
        text = (COMPOSE / "ingest" / "ingest-every").read_text().replace("/tmp/", f"{folder}/")
        self.script = folder / "ingest-every"
        self.script.write_text(text)
        self.script.chmod(0o755)
        self.variables = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "INGEST_SOURCE": "/in coming",
            "INGEST_OPTIONS": "--create-collections --workers 2",
            "INGEST_EVERY_S": "1",
        }
        self.running = subprocess.Popen(
            [self.script], env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def last(self) -> tuple[int, str]:
        done = subprocess.run([self.script, "--last"], env=self.variables, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    def stop(self) -> str:
        self.running.terminate()
        output, _ = self.running.communicate(timeout=10)
        return output


def test_a_scheduled_ingest_that_fails_says_so_and_comes_again(tmp_path: Path) -> None:
    """The first fails, later ones do not."""
    schedule = Schedule(tmp_path, f'echo "$#: $*"; [ -e {tmp_path}/second ] || {{ touch {tmp_path}/second; exit 3; }}')
    try:
        seen = set()
        deadline = time.monotonic() + 20
        while len(seen) < 2 and time.monotonic() < deadline:
            code, told = schedule.last()
            if "not finished" not in told:
                seen.add((code, told.split(",")[0]))
            time.sleep(0.05)
    finally:
        output = schedule.stop()
    assert seen == {(1, "failed with exit code 3: /in coming"), (0, "loaded: /in coming")}
    assert "5: ingest --create-collections --workers 2 /in coming" in output


def test_a_scheduled_ingest_that_is_stopped_ends_its_command(tmp_path: Path) -> None:
    waiting = f"trap 'touch {tmp_path}/told; exit 143' TERM; touch {tmp_path}/begun; while :; do sleep 0.1; done"
    schedule = Schedule(tmp_path, waiting)
    deadline = time.monotonic() + 10
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert schedule.last() == (0, "the first one is not finished yet\n")
    schedule.stop()
    assert (tmp_path / "told").exists()
    assert schedule.running.returncode == 143
