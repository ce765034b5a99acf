"""Logging in with an OpenID provider: a real one, over HTTP, that runs beside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
import psycopg
import pytest
from starlette.testclient import TestClient

from almagest.catalogue import accounts
from almagest.core import secrets
from almagest.core.settings import Settings
from almagest.services.ops.app import create_app
from support.doorman import Doorman

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def provider() -> Iterator[str]:
    with oidc_provider_mock.run_server_in_thread(require_client_registration=False) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def with_provider(own: Settings, provider: str) -> Settings:
    secrets.ensure(own.secrets, secrets.OIDC_SECRET, "what the provider knows us by")
    told = own.accounts.model_copy(update={"oidc_issuer": provider, "oidc_name": "the observatory"})
    return replace(own, accounts=told)


@pytest.fixture
def door(with_provider: Settings, counter: None) -> Iterator[Doorman]:
    with TestClient(create_app(with_provider), base_url=own_origin(with_provider)) as client:
        yield Doorman(client)


def own_origin(settings: Settings) -> str:
    return settings.site.origin


def begin(door: Doorman) -> tuple[str, str]:
    """The provider's page, and the cookie that remembers the login."""
    answer = door.ask("GET", "/ui/oidc/login", follow_redirects=False)
    assert answer.status_code == 302, answer.text
    given = answer.headers["set-cookie"]
    assert "samesite=lax" in given.lower()
    assert "path=/ops/ui/oidc" in given.lower()
    return answer.headers["location"], given.partition(";")[0]


def vouch(page: str, subject: str) -> str:
    """What the provider sends back, once somebody has logged in there."""
    answer = httpx.post(page, data={"sub": subject}, follow_redirects=False, trust_env=False)
    assert answer.status_code in {302, 303}, answer.text
    return str(answer.headers["location"])


def come_back(door: Doorman, address: str, cookie: str, **changed: str) -> httpx.Response:
    query = {**{name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}, **changed}
    # The test client keeps cookies as a browser would: what is shown is said here.
    door.ops.cookies.clear()
    return door.ask("GET", "/ui/oidc/callback", cookie=cookie, params=query, follow_redirects=False)


def arrive(door: Doorman, subject: str) -> httpx.Response:
    page, cookie = begin(door)
    return come_back(door, vouch(page, subject), cookie)


def session(answer: httpx.Response) -> str:
    found = re.search(r"almagest_session=[^;]+", answer.headers.get("set-cookie", ""))
    assert found is not None, answer.text
    return found[0]


def test_who_is_vouched_for_has_an_account_and_the_same_one_again(door: Doorman, admin: psycopg.Connection) -> None:
    first = arrive(door, "ada@example.org")
    assert first.status_code == 200
    assert "You are logged in" in first.text
    assert "ada@example.org" in door.ask("GET", "/ui/", cookie=session(first)).text
    second = arrive(door, "ada@example.org")
    assert session(second) != session(first)
    (account,) = accounts.listed(admin)
    assert account.issuer is not None
    assert account.role == "USER"


def test_whoever_has_the_name_of_somebody_else_does_not_become_him(door: Doorman, admin: psycopg.Connection) -> None:
    taken = accounts.create(admin, "ada@example.org", None, role="ADMIN")
    arrived = arrive(door, "ada@example.org")
    assert arrived.status_code == 200
    assert door.ask("GET", "/ui/admin", cookie=session(arrived)).status_code == 403
    names = [account.name for account in accounts.listed(admin)]
    assert len(names) == 2
    assert names[0] == taken.name
    assert names[1].startswith("ada@example.org-")


def test_the_way_there_is_bound_to_the_browser_and_to_one_use(door: Doorman) -> None:
    page, cookie = begin(door)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://127.0.0.1:8080/ops/ui/oidc/callback"
    assert asked["nonce"]
    address = vouch(page, "ada")
    _, other = begin(door)
    refused: list[tuple[str, dict[str, Any]]] = [
        ("", {}), (other, {}), (cookie, {"state": "forged"}), (cookie, {"code": "forged"}),
    ]  # fmt: skip
    for shown, changed in refused:
        answer = come_back(door, address, shown, **changed)
        assert answer.status_code == 401, (shown, changed, answer.text)
        assert "almagest_session" not in answer.headers.get("set-cookie", "")


def test_a_disabled_account_stays_out(door: Doorman, admin: psycopg.Connection) -> None:
    arrive(door, "ada")
    (account,) = accounts.listed(admin)
    accounts.change(admin, account, role="USER", tier=None, scopes=(), disabled=True)
    answer = arrive(door, "ada")
    assert answer.status_code == 401
    assert "disabled" in answer.text


def test_where_nobody_may_register_the_provider_brings_nobody_new(with_provider: Settings, counter: None) -> None:
    closed = with_provider.accounts.model_copy(update={"registration": "closed"})
    with TestClient(create_app(replace(with_provider, accounts=closed)), base_url=own_origin(with_provider)) as client:
        answer = arrive(Doorman(client), "ada")
    assert answer.status_code == 403
    assert "ask one" in answer.text


def test_a_provider_that_is_away_is_said_to_be(with_provider: Settings, counter: None) -> None:
    away = with_provider.accounts.model_copy(update={"oidc_issuer": "http://127.0.0.1:9"})
    with TestClient(create_app(replace(with_provider, accounts=away)), base_url=own_origin(with_provider)) as client:
        answer = Doorman(client).ask("GET", "/ui/oidc/login", follow_redirects=False)
    assert answer.status_code == 503
    assert "does not answer" in answer.text


def test_the_login_page_names_the_provider(door: Doorman) -> None:
    assert "Log in with the observatory" in door.ask("GET", "/ui/login").text


def test_from_elsewhere_the_provider_brings_those_who_have_an_account(door: Doorman) -> None:
    """Anybody may have an account at a large provider: where accounts are made only inside, that is no way in."""
    stranger = Doorman(door.ops, "203.0.113.9")
    assert arrive(stranger, "ada").status_code == 403
    assert arrive(door, "ada").status_code == 200
    assert arrive(stranger, "ada").status_code == 200
