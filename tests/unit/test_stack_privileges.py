"""Root steps down, for good, and gives away nothing but the folders it means."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from almagest.cli.stack import privileges, state
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings, Site
from support.cluster import unprivileged_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can step down")

STEP_DOWN = """
import os
from almagest.cli.stack import privileges
from almagest.core.errors import AlmagestError
from almagest.core.settings import Settings
try:
    privileges.step_down(Settings.load(), create=True)
except AlmagestError as error:
    raise SystemExit(str(error))
print(os.getresuid(), os.getresgid(), 0 in os.getgroups(), os.environ["HOME"])
try:
    os.setuid(0)
except PermissionError:
    print("for good")
"""


def step_down(home: Path, user: str) -> subprocess.CompletedProcess[str]:
    # The installed package, as the stack runs it: below a closed folder the clone itself cannot be read by the user.
    environment = {
        "PATH": os.environ["PATH"],
        "ALMAGEST_HOME": str(home),
        "ALMAGEST_USER": user,
        "SUDO_USER": "somebody",
    }
    return subprocess.run(
        [sys.executable, "-c", STEP_DOWN], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def user() -> pwd.struct_passwd:
    name = unprivileged_user()
    assert name is not None
    return pwd.getpwnam(name)


@as_root
def test_root_becomes_the_user_for_good(home: Path, user: pwd.struct_passwd) -> None:
    result = step_down(home, user.pw_name)
    ids = f"({user.pw_uid}, {user.pw_uid}, {user.pw_uid}) ({user.pw_gid}, {user.pw_gid}, {user.pw_gid})"
    assert result.stdout.splitlines() == [f"{ids} False {home}", "for good"], result.stderr


@as_root
def test_only_the_folders_of_state_are_given_away(home: Path, user: pwd.struct_passwd) -> None:
    (home / "venv").mkdir()
    (home / "state").mkdir()
    (home / "state" / "stack.json").write_text("{}")
    step_down(home, user.pw_name)
    assert home.stat().st_uid == (home / "venv").stat().st_uid == 0
    assert {(home / name).stat().st_uid for name in state.OWNED} == {user.pw_uid}
    assert (home / "state" / "stack.json").stat().st_uid == user.pw_uid
    assert (home / "secrets").stat().st_mode & 0o777 == 0o700


@as_root
def test_a_planted_link_gives_nothing_away(home: Path, user: pwd.struct_passwd) -> None:
    precious = home / "precious"
    precious.mkdir()
    (precious / "file").write_text("")
    (home / "secrets").symlink_to(precious)
    (home / "state").mkdir()
    (home / "state" / "link").symlink_to(precious / "file")
    os.link(precious / "file", home / "state" / "hard")
    step_down(home, user.pw_name)
    assert precious.stat().st_uid == (precious / "file").stat().st_uid == 0


@as_root
@pytest.mark.parametrize(("name", "complaint"), [("root", "must not be root"), ("no-such-user", "there is no user")])
def test_who_it_cannot_be(home: Path, name: str, complaint: str) -> None:
    result = step_down(home, name)
    assert result.returncode == 1
    assert complaint in result.stderr


@as_root
def test_the_state_of_somebody_else_is_left_alone(home: Path, user: pwd.struct_passwd) -> None:
    step_down(home, user.pw_name)
    result = step_down(home, "games")
    assert f"belongs to the user {user.pw_name}" in result.stderr


@as_root
def test_a_closed_home_is_explained(home: Path, user: pwd.struct_passwd) -> None:
    home.chmod(0o700)
    result = step_down(home / "inside", user.pw_name)
    assert f"The user {user.pw_name} cannot reach" in result.stderr


@as_root
def test_a_sample_that_the_user_cannot_read_is_copied(home: Path, user: pwd.struct_passwd) -> None:
    settings = Settings(site=Site(home=home / "state-folder", user=user.pw_name))
    sample = home / "sample"
    (sample / "stac").mkdir(parents=True)
    (sample / "stac" / "items.json").write_text("[]")
    assert privileges.readable_copy(settings, sample) == sample
    (sample / "stac").chmod(0o700)
    copy = privileges.readable_copy(settings, sample)
    assert copy == home / "state-folder" / "sample"
    assert (copy / "stac" / "items.json").stat().st_mode & 0o777 == 0o644


def test_a_folder_in_tmp_that_is_not_ours_is_refused(home: Path) -> None:
    """Its name can be guessed: another user may have made it first."""
    run = home / "run"
    run.mkdir(mode=0o755)
    with pytest.raises(ConfigurationError, match="not a private folder"):
        privileges._own_run(run, os.geteuid(), os.getegid())
    run.rmdir()
    run.symlink_to(home)
    with pytest.raises(ConfigurationError, match="not a private folder"):
        privileges._own_run(run, os.geteuid(), os.getegid())
