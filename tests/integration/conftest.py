"""The ops app, with what stands before it and beside it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher
from starlette.testclient import TestClient

from almagest.catalogue import database, passwords
from almagest.cli.stack import redis
from almagest.core import secrets
from almagest.core.settings import Settings
from support.doorman import Doorman


@pytest.fixture(scope="session", autouse=True)
def _quick_hashes() -> None:
    """Passwords are hashed as elsewhere, but with little of the time and memory that keep others from guessing."""
    quick = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1), BcryptHasher(rounds=4)))
    passwords._hashers = lambda: quick  # type: ignore[assignment]


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """An Almagest with a home of its own."""
    found = replace(settings, site=settings.site.model_copy(update={"home": tmp_path}))
    secrets.ensure(found.secrets, "almagest_ops")
    secrets.ensure(found.secrets, secrets.JWT_KEY, "5a" * 32)
    return found


@pytest.fixture
def admin(own: Settings) -> Iterator[psycopg.Connection]:
    """Its database, for its administrator."""
    with database.connect(own, "postgres") as connection:
        yield connection


@pytest.fixture
def counter(own: Settings) -> Iterator[None]:
    """Redis, which counts requests."""
    (own.site.home / "redis").mkdir()
    own.run.mkdir(exist_ok=True)
    redis.write_configuration(own)
    server = subprocess.Popen(redis.command(own), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not redis.socket(own).exists():
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.01)
        yield
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def door(own: Settings, counter: None) -> Iterator[Doorman]:
    """The ops app, as nginx lets people to it."""
    from almagest.services.ops.app import create_app

    with TestClient(create_app(own), base_url=own.site.origin) as client:
        yield Doorman(client)
