"""A container engine of our own, and base images made from Debian's packages: no registry is asked for anything.

The engine has its own socket, data and process file under one folder, and touches neither firewall nor bridge of the
machine. Its packages (docker.io, mmdebstrap) and the Compose plugin come from Debian.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

#: What Compose's plugin is taken from: the first Debian that has it.
_PLUGIN_SUITE = "trixie"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_SOURCE = r"^(?:deb(?: \[.*\])?|URIs:) +(https?://\S*/debian/?)(?: |$)"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_PYTHON = "python3,python3-venv,python3-pip,python-is-python3"


@dataclass(frozen=True)
class Engine:
    """One that runs."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes `docker` and its plugin talk to it."""
        return {
            **os.environ,
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_CONFIG": str(self.folder / "config"),
        }

    def docker(self, *words: str, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        """A command of `docker`; its output is told where it fails."""
        done = subprocess.run(
            ["docker", *words], env=self.environment, capture_output=True, text=True, check=False, **options
        )  # type: ignore[call-overload]
        if check and done.returncode:
            raise AssertionError(
                f"docker {' '.join(words)}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
            )
        return done


def install() -> None:
    """Debian's packages, where they are missing."""
    if all(map(shutil.which, ("dockerd", "mmdebstrap"))):
        return
    forbidden = Path("/usr/sbin/policy-rc.d")  # lest the machine's own engine be started
    ours = not forbidden.exists()
    if ours:
        forbidden.write_text("#!/bin/sh\nexit 101\n")
        forbidden.chmod(0o755)
    try:
        _run("apt-get", "update", "-q")
        _run("apt-get", "install", "-y", "-q", "--no-install-recommends", "docker.io", "mmdebstrap")
    finally:
        if ours:
            forbidden.unlink()


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """An engine with base images, that leaves nothing behind, also where the test run is told to end (SIGTERM)."""
    folder = Path(tempfile.mkdtemp(prefix="alm-compose-", dir="/var/tmp"))
    running = Engine(folder)
    forwarding = _FORWARDING.read_text()  # dockerd switches it on
    before = signal.signal(signal.SIGTERM, _interrupt)
    options = {
        "--host": running.environment["DOCKER_HOST"],
        "--data-root": f"{folder}/data",
        "--exec-root": f"{folder}/exec",
        "--pidfile": f"{folder}/dockerd.pid",
    }
    switches = ("--iptables=false", "--ip6tables=false", "--bridge=none")
    words = [*(word for option in options.items() for word in option), *switches]
    try:
        with (folder / "dockerd.log").open("wb") as log:
            # It ends, and its containers with it, if this process is killed.
            daemon = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "dockerd", *words], stdout=log, stderr=log)
        try:
            _wait(running, daemon)
            _add_compose(folder)
            _make_bases(running)
            yield running
        finally:
            _empty(running)
            _end(daemon)
    finally:
        for mounted in _mounts_below(folder):
            subprocess.run(["umount", "--lazy", mounted], check=False)
        shutil.rmtree(folder, ignore_errors=True)
        _FORWARDING.write_text(forwarding)
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _empty(running: Engine) -> None:
    """No container goes on without its engine, and no bridge stays on this machine."""
    for listing, removing in (
        ("ps --all --quiet", "rm --force --volumes"),
        ("network ls --quiet --filter type=custom", "network rm"),
    ):
        if found := running.docker(*listing.split(), check=False).stdout.split():
            running.docker(*removing.split(), *found, check=False)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(60)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _wait(running: Engine, daemon: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        if running.docker("info", check=False).returncode == 0:
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.2)
    raise AssertionError(f"dockerd does not start: {(running.folder / 'dockerd.log').read_text()[-2000:]}")


def _add_compose(folder: Path) -> None:
    """Compose's plugin as Debian packages it, taken out of its package."""
    apt = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    mirror = _mirror()
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {_PLUGIN_SUITE} main\n")
    settings = {
        "Dir::Etc::sourcelist": f"{apt}/sources.list",
        "Dir::Etc::sourceparts": "/nonexistent",
        "Dir::State::Lists": f"{apt}/lists",
        "Dir::Cache": f"{apt}/cache",
        "APT::Sandbox::User": "root",
    }
    options = [word for item in settings.items() for word in ("-o", "=".join(item))]
    _run("apt-get", *options, "update", "-q")
    _run("apt-get", *options, "download", "docker-compose", cwd=apt)
    (package,) = apt.glob("docker-compose_*.deb")
    _run("dpkg-deb", "-x", str(package), str(apt / "out"))
    (plugin,) = (path for path in (apt / "out").rglob("cli-plugins/docker-compose") if path.is_file())
    (folder / "config" / "cli-plugins").mkdir(parents=True)
    shutil.copy(plugin, folder / "config" / "cli-plugins" / "docker-compose")


def _make_bases(running: Engine) -> None:
    """Images by the names of the official ones, with the authorities that this machine trusts."""
    root = running.folder / "root"
    for tag, packages in {"python:3.11-slim-bookworm": _PYTHON, "debian:bookworm-slim": ""}.items():
        shutil.rmtree(root, ignore_errors=True)
        include = ",".join(filter(None, ["ca-certificates", packages]))
        _run("mmdebstrap", "--variant=minbase", "--format=directory", f"--include={include}", "bookworm", str(root))
        shutil.copy(_AUTHORITIES, root / _AUTHORITIES.lstrip("/"))
        (root / "etc/pip.conf").write_text(f"[global]\ncert = {_AUTHORITIES}\n")
        _import(running, root, tag)
    # Node as this machine has it, on the same Debian.
    node, npm = (Path(shutil.which(name) or "/nonexistent").resolve() for name in ("node", "npm"))
    modules = npm.parents[2]  # …/node_modules of …/node_modules/npm/bin/npm-cli.js
    shutil.copy(node, root / "usr/bin/node")
    shutil.copytree(modules / "npm", root / "usr/lib/node_modules/npm", symlinks=True)
    (root / "usr/bin/npm").symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
    _import(running, root, "node:20-bookworm-slim", f"ENV NODE_EXTRA_CA_CERTS={_AUTHORITIES}")
    shutil.rmtree(root)


def _import(running: Engine, root: Path, tag: str, *changes: str) -> None:
    options = [word for change in changes for word in ("--change", change)]
    with subprocess.Popen(["tar", "-c", "-C", str(root), "."], stdout=subprocess.PIPE) as archive:
        running.docker("import", *options, "-", tag, stdin=archive.stdout)


def _mirror() -> str:
    found = []
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if path.is_file() and path.suffix in {".list", ".sources"}:
            found += re.findall(_SOURCE, path.read_text(), re.MULTILINE)
    return found[0] if found else "http://deb.debian.org/debian"


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return sorted((line.split()[1] for line in lines if line.split()[1].startswith(f"{folder}/")), reverse=True)


def _run(*command: str, cwd: Path | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, cwd=cwd, start_new_session=True, **pipes) as process:
        try:
            output, errors = process.communicate()
        except BaseException:  # all that it started ends with it, lest files appear in what is being removed
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    if process.returncode:
        raise AssertionError(f"{' '.join(command)}: {process.returncode}\n{output[-2000:]}\n{errors[-2000:]}")
