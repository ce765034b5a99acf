"""The shell part: what it refuses, and that `make help` tells the truth."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the functions of the bootstrap at hand."""
    parts = "".join(f". {part}\n" for part in sorted(map(str, (HOUSE / "scripts" / "lib").glob("*.sh"))))
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"CLONE={HOUSE} HOME_DIR=/nowhere RUN_AS=nobody DEV=no\n{parts}{script}"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("release", "accepted"),
    [
        ('ID=debian\nVERSION_ID="12"', True),
        ('ID=debian\nVERSION_ID="13"', True),
        ("ID=debian\nVERSION_CODENAME=forky", True),
        ('ID=debian\nVERSION_ID="11"', False),
        ('ID=ubuntu\nVERSION_ID="24.04"', True),
        ('ID=ubuntu\nVERSION_ID="25.10"', True),
        ('ID=ubuntu\nVERSION_ID="22.04"', False),
        ("ID=fedora\nVERSION_ID=42", False),
        ('ID="rocky"\nID_LIKE="rhel debian"\nVERSION_ID="12"', False),
    ],
)
def test_which_systems_are_taken(tmp_path: Path, release: str, accepted: bool) -> None:
    (tmp_path / "os-release").write_text(f'{release}\nPRETTY_NAME="The System"\n')
    result = shell(f"check_system {tmp_path}/os-release")
    assert (result.returncode == 0) == accepted
    if not accepted:
        assert result.stderr == ("Error: Almagest needs Debian 12 or Ubuntu 24.04, or newer; this is The System.\n")


def test_a_system_without_a_name_is_refused(tmp_path: Path) -> None:
    result = shell(f"check_system {tmp_path}/none")
    assert result.returncode == 1
    assert "has no" in result.stderr


def test_a_failing_step_shows_the_end_of_its_log() -> None:
    result = shell("run_step 'Doing it' sh -c 'echo first; echo the reason; exit 3'; echo never")
    assert (result.returncode, result.stdout) == (1, "")
    assert "    the reason\n" in result.stderr
    assert "Error: Doing it failed" in result.stderr
    Path(re.search(r"the whole log: (.*)\)", result.stderr)[1]).unlink()  # type: ignore[index]


def test_a_step_that_works_says_so() -> None:
    result = shell("LOG=/dev/null; run_step 'Doing it' true; echo after")
    assert result.stdout == "after\n"
    assert "✓ Doing it" in result.stderr


def test_only_services_that_come_with_us_are_silenced(tmp_path: Path) -> None:
    packages = "postgresql-15 postgresql-15-postgis-3 redis-server nginx"
    fresh = shell(f"CREATECLUSTER={tmp_path}/none; units_to_silence '{packages}'")
    assert fresh.stdout.split() == ["postgresql.service", "redis-server.service", "nginx.service"]
    (tmp_path / "present").touch()
    beside = shell(f"CREATECLUSTER={tmp_path}/present; units_to_silence 'postgresql-17'")
    assert beside.stdout == ""


@pytest.mark.parametrize(("present", "after"), [(None, None), ("#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 0\n")])
def test_a_policy_of_the_machines_own_is_left_alone(tmp_path: Path, present: str | None, after: str | None) -> None:
    policy = tmp_path / "policy-rc.d"
    if present is not None:
        policy.write_text(present)
    during = shell(
        f'POLICY={policy} CREATECLUSTER={tmp_path}/none; as_root() {{ "$@"; }}; forbid_service_starts; cat {policy}'
    )
    assert during.stdout == present if present else "exit 101" in during.stdout
    shell(f'POLICY={policy} CREATECLUSTER={tmp_path}/none; as_root() {{ "$@"; }}; restore_system')
    assert (policy.read_text() if policy.exists() else None) == after


def test_no_main_cluster_is_made_and_the_configuration_returns(tmp_path: Path) -> None:
    configuration = tmp_path / "createcluster.conf"
    original = "# comment\n#create_main_cluster = true\nssl = on\n"
    configuration.write_text(original)
    prelude = f'POLICY={tmp_path}/none CREATECLUSTER={configuration}; as_root() {{ "$@"; }};'
    shell(f"{prelude} forbid_main_cluster")
    assert "\ncreate_main_cluster = false\n" in configuration.read_text()
    shell(f"{prelude} restore_system")
    assert configuration.read_text() == original
    assert [path.name for path in tmp_path.iterdir()] == ["createcluster.conf"]


def test_help_lists_every_target() -> None:
    makefile = (HOUSE / "Makefile").read_text()
    listed = subprocess.run(["make", "-s", "help"], cwd=HOUSE, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE))
    assert {"help", "up", "down", "status", "logs", "clean", "test", "soak", "lint", "install"} <= targets
    assert all(re.search(rf"^  {target} ", listed, re.MULTILINE) for target in targets)


def test_ci_runs_make_test() -> None:
    assert "make -C" in (HOUSE / ".ci" / "run").read_text()
    assert (HOUSE / ".ci" / "run").stat().st_mode & 0o111
