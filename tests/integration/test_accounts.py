"""People: they register, log in, stay logged in and log out; they have keys and quotas, and admins look after them."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import bcrypt
import httpx
import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, OKPKey
from starlette.testclient import TestClient

from almagest.catalogue import accounts, keys, passwords
from almagest.core import secrets
from almagest.core.errors import BadRequestError
from almagest.core.settings import Settings
from almagest.pipelines import callbacks
from almagest.services.ops.app import create_app
from almagest.services.ops.login.tokens import Secret
from support.doorman import Doorman

PASSWORD = "correct horse battery staple"
ANOTHER = "paperclips and elderberries"


@pytest.fixture
def root(admin: psycopg.Connection, door: Doorman) -> str:
    accounts.create(admin, "root", passwords.hashed(PASSWORD), role="ADMIN")
    return token(login(door, "root"))


def register(door: Doorman, name: str = "ada", password: str = PASSWORD) -> httpx.Response:
    return door.ask("POST", "/auth/register", json={"name": name, "password": password})


def login(door: Doorman, name: str = "ada", password: str = PASSWORD) -> httpx.Response:
    return door.ask("POST", "/auth/login", json={"name": name, "password": password})


def refresh(door: Doorman, refresh_token: str) -> httpx.Response:
    return door.ask("POST", "/auth/refresh", json={"refresh_token": refresh_token})


def token(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def enter(door: Doorman, name: str = "ada") -> str:
    assert register(door, name).status_code == 201
    return token(login(door, name))


def test_somebody_registers_logs_in_and_is_known(door: Doorman) -> None:
    made = register(door, "Ada@Example.org")
    assert made.status_code == 201, made.text
    assert made.json()["name"] == "ada@example.org"
    assert made.json()["role"] == "USER"
    assert "password" not in made.text.replace("password_changed", "")
    answer = login(door, "ada@example.org")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token_type"] == "Bearer"
    me = door.ask("GET", "/auth/me", token(answer)).json()
    assert me["name"] == "ada@example.org"
    assert me["tier"] == "free"
    assert me["quotas"]["calls"] == {"most": 100, "per_s": 3600}
    assert [entry["is_this"] for entry in me["logins"]] == [True]


def test_an_access_token_can_be_checked_by_anybody(door: Doorman, own: Settings) -> None:
    text = token_of = enter(door)
    keys = door.ask("GET", "/auth/jwks.json").json()
    assert all("d" not in key for key in keys["keys"])
    found = jwt.decode(text, KeySet.import_key_set(keys), algorithms=["Ed25519"])
    assert found.header["typ"] == "at+jwt"
    assert found.claims["iss"] == found.claims["aud"] == own.site.origin
    assert found.claims["exp"] - found.claims["iat"] == 600
    assert "jobs:run" in found.claims["scope"].split()
    assert door.ask("GET", "/jobs", token_of).status_code == 200


@pytest.mark.parametrize("name", ["", "ab", "ada lovelace", "Ädä", "a" * 101, "-ada", "ada\x00x"])
def test_what_cannot_be_a_name_is_refused(door: Doorman, name: str) -> None:
    answer = register(door, name)
    assert answer.status_code == 400, answer.text
    assert login(door, name).status_code in {400, 401}


@pytest.mark.parametrize("password", ["short", "x" * 201, "aaaaaaaaaaaaaaaa", "adaadaadaada12"])
def test_what_is_easy_to_guess_is_refused_as_a_password(door: Doorman, password: str) -> None:
    answer = register(door, "ada", password)
    assert answer.status_code == 400
    assert "password" in answer.json()["detail"].lower()


def test_a_name_is_taken_once_also_by_many_at_once(door: Doorman) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        codes = [answer.status_code for answer in pool.map(lambda _: register(door), range(8))]
    assert sorted(codes) == [201, *[409] * 7]


def test_nobody_learns_which_names_there_are(door: Doorman) -> None:
    register(door)
    wrong, unknown = login(door, "ada", ANOTHER), login(door, "nobody", ANOTHER)
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json()["detail"] == unknown.json()["detail"]


def test_who_guesses_has_to_wait_and_who_knows_is_forgiven(door: Doorman) -> None:
    register(door)
    for _ in range(9):
        assert login(door, "ada", ANOTHER).status_code == 401
    assert login(door).status_code == 200
    for _ in range(10):
        assert login(door, "ada", ANOTHER).status_code == 401
    refused = login(door)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 60
    register(door, "bob")
    assert login(door, "bob").status_code == 200


@pytest.mark.parametrize(
    ("mode", "address", "status"),
    [
        ("internal", "127.0.0.1", 201), ("internal", "203.0.113.9", 403), ("internal", "", 403),
        ("open", "203.0.113.9", 201), ("closed", "127.0.0.1", 403),
    ],
)  # fmt: skip
def test_registration_is_open_where_the_settings_say_so(own: Settings, mode: Any, address: str, status: int) -> None:
    told = replace(own, accounts=own.accounts.model_copy(update={"registration": mode}))
    with TestClient(create_app(told), base_url=own.site.origin) as client:
        assert register(Doorman(client, address)).status_code == status


def test_a_password_of_bcrypt_is_good_and_becomes_argon2(door: Doorman, admin: psycopg.Connection) -> None:
    accounts.create(admin, "old", bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    assert login(door, "old", "x" * 73 + "ä").status_code == 401  # bcrypt takes 72 bytes
    assert login(door, "old", ANOTHER).status_code == 401
    assert login(door, "old").status_code == 200
    assert (accounts.find(admin, name="old").password_hash or "").startswith("$argon2id$")
    assert login(door, "old").status_code == 200


def test_a_refresh_token_is_good_once(door: Doorman, admin: psycopg.Connection) -> None:
    register(door)
    first = login(door).json()
    second = refresh(door, first["refresh_token"])
    assert second.status_code == 200
    again = refresh(door, first["refresh_token"])  # a second tab, at the same moment
    assert again.json()["refresh_token"] == second.json()["refresh_token"]
    third = refresh(door, second.json()["refresh_token"])
    assert door.ask("GET", "/auth/me", token(third)).status_code == 200
    stolen = refresh(door, first["refresh_token"])
    assert stolen.status_code == 401
    assert refresh(door, third.json()["refresh_token"]).status_code == 401
    assert door.ask("GET", "/auth/me", third.json()["access_token"]).status_code == 401
    assert admin.execute("SELECT end_reason FROM almagest.session").fetchall() == [("reuse",)]


def test_a_refresh_token_used_again_later_was_stolen(door: Doorman, admin: psycopg.Connection) -> None:
    register(door)
    first = login(door).json()["refresh_token"]
    second = refresh(door, first).json()["refresh_token"]
    admin.execute("UPDATE almagest.session SET rotated_at = rotated_at - interval '11 seconds'")
    assert refresh(door, first).status_code == 401
    assert refresh(door, second).status_code == 401


def test_fifty_tabs_refresh_at_once_and_none_is_logged_out(door: Doorman) -> None:
    register(door)
    first = login(door).json()["refresh_token"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: refresh(door, first), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "forge",
    [
        lambda text, key: text[:-4] + ("AAAA" if text[-4:] != "AAAA" else "BBBB"),
        lambda text, key: text.rpartition(".")[0] + ".",
        lambda text, key: signed(text, OKPKey.generate_key("Ed25519")),
        lambda text, key: signed(text, OctKey.import_key(key.as_dict()["x"]), alg="HS256"),
        lambda text, key: signed(text, key, typ="JWT"),
        lambda text, key: signed(text, key, iss="https://evil.example"),
        lambda text, key: signed(text, key, aud="https://evil.example"),
        lambda text, key: signed(text, key, exp=int(time.time()) - 1),
        lambda text, key: signed(text, key, exp=None),
        lambda text, key: signed(text, key, sid=None),
        lambda text, key: signed(text, key, sid="00000000-0000-0000-0000-000000000000"),
        lambda text, key: signed(text, key, sub="user:00000000-0000-0000-0000-000000000000"),
        lambda text, key: signed(text, key, sub="key:abcdefgh"),
        lambda text, key: "eyJhbGciOiJub25lIn0." + text.split(".")[1] + ".",
    ],
)
def test_a_forged_token_opens_nothing(door: Doorman, own: Settings, forge: Callable[[str, OKPKey], str]) -> None:
    from almagest.services.ops.login.tokens import Signer

    text = enter(door)
    (key,) = Signer(own)._keys
    assert door.ask("GET", "/auth/me", signed(text, key)).status_code == 200
    assert door.ask("GET", "/auth/me", forge(text, key)).status_code == 401


def signed(text: str, key: OKPKey | OctKey, alg: str = "Ed25519", typ: str = "at+jwt", **changed: Any) -> str:
    """A token like another, but for what is changed."""
    from base64 import urlsafe_b64decode
    from json import loads

    payload = text.split(".")[1]
    claims = {**loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))), **changed}
    header = {"alg": alg, "typ": typ}
    return jwt.encode(
        header, {k: v for k, v in claims.items() if v is not None}, key, algorithms=[alg], default_type=None
    )


def test_logout_ends_this_login_and_everywhere_all(door: Doorman) -> None:
    register(door)
    here, there, elsewhere = (login(door).json() for _ in range(3))
    assert door.ask("POST", "/auth/logout", here["access_token"]).status_code == 204
    assert door.ask("GET", "/auth/me", here["access_token"]).status_code == 401
    assert refresh(door, here["refresh_token"]).status_code == 401
    assert door.ask("POST", "/auth/logout", there["access_token"], json={"everywhere": True}).status_code == 204
    assert door.ask("GET", "/auth/me", elsewhere["access_token"]).status_code == 401
    assert refresh(door, elsewhere["refresh_token"]).status_code == 401
    assert login(door).status_code == 200


def test_another_password_ends_every_login(door: Doorman) -> None:
    register(door)
    here, there = login(door).json(), login(door).json()
    wrong = door.ask("PUT", "/auth/password", here["access_token"], json={"current": ANOTHER, "new": ANOTHER})
    assert wrong.status_code == 401
    change = {"current": PASSWORD, "new": ANOTHER}
    assert door.ask("PUT", "/auth/password", here["access_token"], json=change).status_code == 204
    for ended in (here, there):
        assert door.ask("GET", "/auth/me", ended["access_token"]).status_code == 401
    assert login(door).status_code == 401
    assert login(door, password=ANOTHER).status_code == 200


def test_a_key_may_what_its_owner_may_or_less(door: Doorman, root: str) -> None:
    ada = enter(door)
    made = door.ask("POST", "/auth/keys", ada, json={"name": "nightly", "scopes": ["jobs:run"], "days": 1})
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    assert door.ask("GET", "/jobs", key).status_code == 200
    assert door.ask("GET", "/auth/me", key).status_code == 403  # a key cannot make keys
    too_much = door.ask("POST", "/auth/keys", ada, json={"name": "x", "scopes": ["catalogue:write"]})
    assert too_much.status_code == 403
    assert [entry["name"] for entry in door.ask("GET", "/auth/keys", ada).json()["keys"]] == ["nightly"]
    bob = enter(door, "bob")
    assert door.ask("DELETE", f"/auth/keys/{made.json()['id']}", bob).status_code == 404
    # What he loses, his keys lose.
    disable = {"disabled": True}
    assert door.ask("PATCH", "/admin/accounts/ada", root, json=disable).status_code == 200
    assert door.ask("GET", "/jobs", key).status_code == 401
    assert door.ask("PATCH", "/admin/accounts/ada", root, json={"disabled": False}).status_code == 200
    assert door.ask("GET", "/jobs", key).status_code == 200
    ada = token(login(door))
    assert door.ask("DELETE", f"/auth/keys/{made.json()['id']}", ada).status_code == 204
    assert door.ask("GET", "/jobs", key).status_code == 401


def test_what_callbacks_are_signed_with_is_told_to_whose_jobs_they_are(door: Doorman, own: Settings) -> None:
    ada, bob = enter(door), enter(door, "bob")
    told = door.ask("GET", "/auth/callback-key", ada)
    assert told.status_code == 200
    account = door.ask("GET", "/auth/me", ada).json()["id"]
    secret = secrets.require(own.secrets, secrets.CALLBACK_KEY)
    assert told.json() == {"key": callbacks.key(secret, account)}
    assert door.ask("GET", "/auth/callback-key", bob).json() != told.json()
    key = door.ask("POST", "/auth/keys", ada, json={"name": "nightly", "scopes": ["jobs:run"]}).json()["key"]
    assert door.ask("GET", "/auth/callback-key", key).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["jobs:run"], "days": -1},
        {"name": "", "scopes": ["jobs:run"]},
        {"name": "x", "scopes": ["jobs:run"], "addresses": ["300.1.1.1"]},
        {"name": "x", "scopes": ["jobs:run"], "expires": "2020-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["jobs:run"], "secret": "mine"},
        {"name": 7, "scopes": ["jobs:run"]},
        [],
    ],
)
def test_a_key_that_cannot_be_is_refused_in_words(door: Doorman, body: Any) -> None:
    answer = door.ask("POST", "/auth/keys", enter(door), json=body)
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["detail"]) > 10


def test_an_admin_grants_what_a_role_does_not(door: Doorman, root: str) -> None:
    ada = enter(door)
    assert door.ask("GET", "/admin/accounts", ada).status_code == 403
    change = {"scopes": ["catalogue:write"], "tier": "premium"}
    changed = door.ask("PATCH", "/admin/accounts/ada", root, json=change).json()
    assert set(changed["scopes"]) == {"catalogue:read", "jobs:run", "files:write", "catalogue:write"}
    assert changed["tier"] == "premium"
    # At once, and without another login.
    assert "catalogue:write" in door.ask("GET", "/auth/me", ada).json()["scopes"]
    assert door.ask("PATCH", "/admin/accounts/ada", root, json={"tier": None}).json()["tier"] == "free"
    assert door.ask("PATCH", "/admin/accounts/ada", root, json={"role": "PREMIUM"}).json()["tier"] == "premium"
    for wrong in ({"role": "KING"}, {"tier": "gold"}, {"scopes": ["world:domination"]}, {"crown": True}):
        assert door.ask("PATCH", "/admin/accounts/ada", root, json=wrong).status_code == 400
    assert door.ask("PATCH", "/admin/accounts/nobody", root, json={}).status_code == 404
    listed = door.ask("GET", "/admin/accounts", root, params={"limit": "1"}).json()
    assert [account["name"] for account in listed["accounts"]] == ["ada"]
    (further,) = listed["links"]
    assert "after=ada" in further["href"]


def test_an_admins_key_makes_no_keys_and_no_accounts(door: Doorman, root: str) -> None:
    made = door.ask("POST", "/auth/keys", root, json={"name": "ops", "scopes": ["admin"]})
    assert made.status_code == 201
    key = made.json()["key"]
    assert door.ask("GET", "/admin/accounts", key).status_code == 200
    for method, path, body in (
        ("GET", "/auth/me", None),
        ("POST", "/auth/keys", {"name": "x", "scopes": ["admin"]}),
        ("POST", "/auth/logout", {}),
        ("POST", "/admin/keys", {"name": "x", "scopes": ["admin"]}),
        ("POST", "/admin/accounts", {"name": "eve", "password": PASSWORD, "role": "ADMIN"}),
        ("PATCH", "/admin/accounts/root", {"password": ANOTHER}),
    ):
        assert door.ask(method, path, key, json=body).status_code == 403, path
    assert login(door, "root").status_code == 200


def test_the_last_admin_stays(door: Doorman, root: str, admin: psycopg.Connection) -> None:
    for change in ({"role": "USER"}, {"disabled": True}):
        answer = door.ask("PATCH", "/admin/accounts/root", root, json=change)
        assert answer.status_code == 409
        assert "last admin" in answer.json()["detail"]
    accounts.create(admin, "second", passwords.hashed(PASSWORD), role="ADMIN")
    assert door.ask("PATCH", "/admin/accounts/root", root, json={"role": "USER"}).status_code == 200


def test_calls_are_counted_by_tier_and_refused_beyond_it(door: Doorman, admin: psycopg.Connection) -> None:
    admin.execute("UPDATE almagest.quota SET most = 6 WHERE tier = 'free' AND class = 'calls'")
    ada = enter(door)
    key = door.ask("POST", "/auth/keys", ada, json={"name": "a", "scopes": ["jobs:run"]}).json()["key"]
    codes = [door.ask("GET", "/jobs", given).status_code for given in (ada, key, ada, key, ada)]
    assert codes == [200] * 5  # the sixth of them all
    refused = door.ask("GET", "/jobs", key)
    assert refused.status_code == 429
    assert refused.headers["ratelimit-remaining"] == "0"
    assert 3000 < int(refused.headers["retry-after"]) <= 3600
    assert door.ask("GET", "/jobs", enter(door, "bob")).status_code == 200
    job = "/jobs/00000000-0000-0000-0000-000000000000"
    assert door.ask("GET", job, key).status_code == 404  # one's own job's status is free


def test_without_redis_each_process_counts_its_share(own: Settings, admin: psycopg.Connection) -> None:
    """No Redis runs in this test: its own counter takes over, and what two processes allow together is no more."""
    admin.execute("UPDATE almagest.quota SET most = 7 WHERE tier = 'free' AND class = 'calls'")
    with (
        TestClient(create_app(own), base_url=own.site.origin) as one,
        TestClient(create_app(own), base_url=own.site.origin) as two,
    ):
        ada = enter(Doorman(one))
        codes = [Doorman(client).ask("GET", "/jobs", ada).status_code for client in (one, two) * 6]
    assert own.site.ops_workers == 2
    assert codes.count(200) == 6
    assert codes.count(429) == 6


def test_a_secret_is_read_as_it_was_written() -> None:
    from uuid import uuid4

    secret = Secret(uuid4(), "a" * 43)
    assert Secret.of_cookie(secret.cookie) == secret
    assert "aaaa" not in repr(secret)


def test_a_password_of_megabytes_is_not_even_looked_at(door: Doorman) -> None:
    """Normalizing a run of combining marks takes the square of its length, and nothing else can be done meanwhile."""
    register(door)
    marks = "a" + "\N{COMBINING GRAVE ACCENT}\N{COMBINING DOT BELOW}" * 250_000
    began = time.monotonic()
    with pytest.raises(BadRequestError):
        passwords.check(marks, "ada")
    assert passwords.verified(marks, None) == (False, None)
    assert time.monotonic() - began < 1
    assert login(door, password=marks[:900]).status_code == 401


def test_a_page_of_another_site_cannot_register_anybody(door: Doorman) -> None:
    """A browser sends a form or plain text for any page; what says that it is JSON it asks about first."""
    body = '{"name": "evil", "password": "correct horse battery staple"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {"Content-Type": kind} if kind else {}
        answer = door.ask("POST", "/auth/register", content=body, headers=headers)
        assert answer.status_code == 415, kind
        assert "application/json" in answer.json()["detail"]


def test_a_login_that_began_before_a_change_of_password_begins_nothing(admin: psycopg.Connection) -> None:
    seen = accounts.create(admin, "ada", passwords.hashed(PASSWORD))
    accounts.set_password(admin, seen.id, passwords.hashed(ANOTHER))
    lasts = timedelta(days=1)
    assert accounts.open_session(admin, seen, "token", b"x" * 32, lasts, "", "") is None
    present = accounts.find(admin, name="ada")
    assert accounts.open_session(admin, present, "token", b"x" * 32, lasts, "", "") is not None
    # Nor does a better hash of the former one come back.
    accounts.set_password(admin, seen.id, "$argon2id$of the former password", former=seen.password_hash)
    assert accounts.find(admin, name="ada").password_hash == present.password_hash


def test_two_admins_who_change_different_things_undo_nothing(admin: psycopg.Connection) -> None:
    seen = accounts.create(admin, "ada", None, role="ADMIN")
    accounts.create(admin, "root", None, role="ADMIN")
    accounts.change(admin, seen, role="USER", disabled=True)
    changed = accounts.change(admin, seen, tier="premium")  # by what was seen before
    assert (changed.role, changed.own_tier, changed.disabled_at is None) == ("USER", "premium", False)


def test_a_change_is_made_whole_or_not_at_all(door: Doorman, root: str) -> None:
    def change(**body: Any) -> int:
        return door.ask("PATCH", "/admin/accounts/ada", root, json=body).status_code

    enter(door)
    for wrong in ({"role": "KING"}, {"tier": "gold"}, {"scopes": ["all"]}):
        assert change(password=ANOTHER, **wrong) == 400
    assert change(password="short", tier="premium") == 400
    assert door.ask("GET", "/admin/accounts/ada", root).json()["tier"] == "free"
    assert login(door).status_code == 200
    assert change(password=ANOTHER, tier="premium") == 200
    assert login(door).status_code == 401
    assert login(door, password=ANOTHER).status_code == 200


def test_nobody_is_locked_out_by_somebody_elsewhere(door: Doorman) -> None:
    register(door)
    stranger = Doorman(door.ops, "203.0.113.9")
    assert [login(stranger, password=ANOTHER).status_code for _ in range(12)] == [401] * 10 + [429] * 2
    assert login(door).status_code == 200
    # Of IPv6, a network is one.
    codes = [login(Doorman(door.ops, f"2001:db8::{n}"), password=ANOTHER).status_code for n in range(1, 13)]
    assert codes == [401] * 10 + [429] * 2


def test_who_only_knows_which_login_it_is_cannot_end_it(door: Doorman) -> None:
    register(door)
    good = login(door).json()["refresh_token"]
    session = good[4:36]
    for forged in (f"alr_{session}_{'a' * 43}", f"alr_{session}_{'a' * 43}.{'b' * 43}", good[:-1] + "!", good[:-44]):
        assert refresh(door, forged).status_code == 401
    assert refresh(door, good).status_code == 200


def test_an_account_has_so_many_keys_and_logins_and_no_more(door: Doorman, admin: psycopg.Connection) -> None:
    ada = enter(door)
    account = accounts.find(admin, name="ada")
    for _ in range(100):
        keys.create(admin, "x", ["jobs:run"], account=account.id)
    refused = door.ask("POST", "/auth/keys", ada, json={"name": "one more", "scopes": ["jobs:run"]})
    assert refused.status_code == 400
    assert "100 keys" in refused.json()["detail"]
    for number in range(60):
        assert accounts.open_session(admin, account, "page", bytes([number]) * 32, timedelta(days=1), "", "")
    assert len(accounts.logins(admin, account.id)) == 50
