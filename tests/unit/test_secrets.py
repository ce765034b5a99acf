from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from almagest.core import secrets
from almagest.core.errors import ConfigurationError


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = secrets.ensure(folder, "key")
    assert secrets.ensure(folder, "key") == made
    assert secrets.require(folder, "key") == made
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["key"]


def test_many_makers_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(lambda _: secrets.ensure(tmp_path, "key"), range(64)))) == 1


def test_a_secret_is_succeeded_and_the_one_before_the_previous_is_gone(tmp_path: Path) -> None:
    first = secrets.ensure(tmp_path, "key")
    secrets.succeed(tmp_path, "key", "key.previous")
    second = secrets.require(tmp_path, "key")
    assert secrets.require(tmp_path, "key.previous") == first != second
    secrets.succeed(tmp_path, "key", "key.previous")
    assert secrets.require(tmp_path, "key.previous") == second != secrets.require(tmp_path, "key")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_secrets_that_cannot_be_written_are_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "key.previous").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        secrets.succeed(tmp_path, "key", "key.previous")


def test_a_missing_secret_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="almagest db credentials"):
        secrets.require(tmp_path, "key")
