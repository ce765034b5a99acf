"""The pages below `/ops/ui`, without a browser: who is let in, what forms take, and what nobody can make them do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from almagest.catalogue import accounts, jobs, passwords
from almagest.pipelines import registry
from almagest.services.ops.ui import forms
from support.doorman import Doorman

ORIGIN = "http://127.0.0.1:8080"
PASSWORD = "correct horse battery staple"
ECHO = registry.find("echo")


@dataclass
class Browser:
    """Somebody at a page, with the cookie of his login."""

    door: Doorman
    cookie: str = ""

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.door.ask("GET", f"/ui{path}", cookie=self.cookie, **options)

    def post(self, path: str, *, origin: str | None = ORIGIN, csrf: str | None = None, **form: str) -> httpx.Response:
        token = self.token() if csrf is None else csrf
        headers = {"Origin": origin} if origin else {}
        data = {**form, **({"csrf": token} if token else {})}
        answer = self.door.ask(
            "POST", f"/ui{path}", cookie=self.cookie, data=data, headers=headers, follow_redirects=False
        )
        if given := answer.headers.get("set-cookie", ""):
            self.cookie = given.partition(";")[0]
        return answer

    def token(self) -> str:
        """What the forms of this login hold."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("/").text) if self.cookie else None
        return found[1] if found else ""


@pytest.fixture
def ada(door: Doorman) -> Browser:
    found = Browser(door)
    assert found.post("/register", name="ada", password=PASSWORD).status_code == 303
    return found


@pytest.fixture
def root(door: Doorman, admin: psycopg.Connection) -> Browser:
    accounts.create(admin, "root", passwords.hashed(PASSWORD), role="ADMIN")
    found = Browser(door)
    assert found.post("/login", name="root", password=PASSWORD).status_code == 303
    return found


@pytest.fixture
def nobody(door: Doorman) -> Iterator[Browser]:
    return Browser(door)


def test_the_cookie_is_for_the_pages_alone_and_for_no_script(door: Doorman) -> None:
    answer = Browser(door).post("/register", name="ada", password=PASSWORD)
    given = answer.headers["set-cookie"]
    for attribute in ("HttpOnly", "Path=/ops/ui", "SameSite=strict"):
        assert attribute in given
    assert "Domain" not in given
    assert answer.headers["cache-control"] == "no-store"
    cookie = given.partition(";")[0]
    asked = {"X-Required-Scope": "jobs:run", "Cookie": cookie}
    assert door.ops.get("/authorize", headers=asked).status_code == 204
    # nginx passes it on for the pages alone; an API that were sent it all the same would not look at it.
    assert door.ask("GET", "/jobs", cookie=cookie).status_code == 401


def test_who_is_not_logged_in_sees_nothing(nobody: Browser) -> None:
    for path in ("/", "/jobs", "/account", "/admin", "/processes/echo"):
        assert nobody.get(path).status_code == 401
    assert nobody.get("/login").status_code == 200
    nobody.cookie = "almagest_session=" + "0" * 32 + "." + "a" * 43
    assert nobody.get("/").status_code == 401


@pytest.mark.parametrize(
    ("origin", "csrf"),
    [(ORIGIN, "forged"), (ORIGIN, ""), ("https://evil.example", None), (None, None), ("null", None)],
)
def test_a_form_of_somebody_else_does_nothing(
    ada: Browser, admin: psycopg.Connection, origin: str | None, csrf: str | None
) -> None:
    answer = ada.post("/processes/echo", origin=origin, csrf=csrf, message="Hello")
    assert answer.status_code == 403
    assert "form" in answer.text
    assert jobs.listed(admin, None, {}, None, 10) == []
    assert ada.post("/logout", origin=origin, csrf=csrf).status_code == 403
    assert ada.get("/").status_code == 200


def test_the_token_of_another_login_is_no_good(door: Doorman, ada: Browser, root: Browser) -> None:
    assert ada.post("/processes/echo", csrf=root.token(), message="Hello").status_code == 403


def test_a_login_from_elsewhere_is_refused(nobody: Browser, ada: Browser) -> None:
    answer = nobody.post("/login", origin="https://evil.example", name="ada", password=PASSWORD)
    assert answer.status_code == 403
    assert not nobody.cookie


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/ops/ui/jobs?all", "/ops/ui/jobs?all"),
        ("/ops/ui/processes/echo", "/ops/ui/processes/echo"),
        ("https://evil.example/", "/ops/ui/"),
        ("//evil.example/ops/ui/", "/ops/ui/"),
        ("/ops/ui//evil.example", "/ops/ui/"),
        ("/ops/ui/../../evil", "/ops/ui/"),
        ("/ops/ui/x\\evil", "/ops/ui/"),
        ("/ops/ui/%2e%2e/%2e%2e/api/x", "/ops/ui/"),
        ("/ops/ui/%0d%0aSet-Cookie:%20a=b", "/ops/ui/"),
    ],
)
def test_after_the_login_one_is_where_one_wanted_to_be_but_never_elsewhere(
    nobody: Browser, ada: Browser, wanted: str, path: str
) -> None:
    answer = nobody.door.ask(
        "POST",
        "/ui/login",
        params=f"next={wanted}",
        data={"name": "ada", "password": PASSWORD},
        headers={"Origin": ORIGIN},
        follow_redirects=False,
    )
    assert answer.headers["location"] == path


def test_a_wrong_password_leaves_the_name_in_the_form(nobody: Browser, ada: Browser) -> None:
    answer = nobody.post("/login", name="ada", password="wrong wrong wrong")
    assert answer.status_code == 401
    assert 'value="ada"' in answer.text
    assert "name or the password is wrong" in answer.text
    assert not nobody.cookie


def test_a_form_says_beside_the_field_what_is_wrong(ada: Browser, admin: psycopg.Connection) -> None:
    answer = ada.post("/processes/echo", message="<b>Hello</b>", pause_s="100")
    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.text
    assert "less than or equal to 60" in answer.text
    assert "&lt;b&gt;Hello&lt;/b&gt;" in answer.text  # what was written is not lost, nor does it do anything
    assert jobs.listed(admin, None, {}, None, 10) == []


def test_a_job_is_taken_in_and_shown_to_its_owner_alone(ada: Browser, root: Browser, door: Doorman) -> None:
    answer = ada.post("/processes/echo", message="<script>alert(1)</script>", pause_s="0", fail="")
    assert answer.status_code == 303
    path = answer.headers["location"].removeprefix("/ops/ui")
    page = ada.get(path)
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "alert(1)" in unescape(page.text)
    assert ada.get(f"{path}/state").json()["status"] == "accepted"
    bob = Browser(door)
    bob.post("/register", name="bob", password=PASSWORD)
    assert bob.get(path).status_code == bob.get(f"{path}/state").status_code == 404
    assert bob.post(f"{path}/dismiss").status_code == 404
    assert path.rpartition("/")[2][:8] not in bob.get("/jobs").text
    assert root.get(path).status_code == 200
    assert path.rpartition("/")[2][:8] in root.get("/jobs", params={"all": ""}).text
    assert ada.post(f"{path}/dismiss").status_code == 303
    assert "dismissed" in ada.get(path).text


def test_what_needs_more_than_a_role_says_so(ada: Browser) -> None:
    page = ada.post("/processes/register-analysis", collection="a", item="b", href="file:///x")
    assert page.status_code == 403
    assert "catalogue:write" in page.text
    assert 'value="file:///x"' in page.text


def test_a_key_is_made_shown_once_and_revoked(ada: Browser) -> None:
    page = ada.post("/account/keys", name="nightly", days="30", **{"scope jobs:run": "on", "scope admin": "on"})
    found = re.search(r"alm_([0-9A-Za-z]{8})_[0-9A-Za-z]{43}", page.text)
    assert found is not None
    assert ada.door.ask("GET", "/jobs", found[0]).status_code == 200
    assert found[0] not in ada.get("/account").text
    assert ada.post("/account/keys", name="", days="x").status_code == 400
    assert ada.post(f"/account/keys/{found[1]}/revoke").status_code == 303
    assert ada.door.ask("GET", "/jobs", found[0]).status_code == 401


def test_another_password_logs_out(ada: Browser) -> None:
    assert ada.post("/account/password", current="wrong", new=PASSWORD * 2).status_code == 401
    assert ada.post("/account/password", current=PASSWORD, new="short").status_code == 400
    cookie = ada.cookie
    assert ada.post("/account/password", current=PASSWORD, new=PASSWORD * 2).status_code == 303
    ada.cookie = cookie
    assert ada.get("/").status_code == 401
    assert ada.post("/login", name="ada", password=PASSWORD * 2).status_code == 303


def test_who_logs_out_is_out_also_with_his_old_cookie(ada: Browser) -> None:
    cookie = ada.cookie
    assert ada.post("/logout").status_code == 303
    ada.cookie = cookie
    assert ada.get("/").status_code == 401


def test_admins_look_after_everybody(root: Browser, ada: Browser) -> None:
    assert ada.get("/admin").status_code == 403
    assert "ada" in root.get("/admin").text
    changed = root.post("/admin/accounts/ada", role="PREMIUM", tier="", **{"scope catalogue:write": "on"})
    assert "It is changed" in changed.text
    assert "catalogue:write" in ada.get("/account").text
    ada.post("/processes/echo", message="Hello")
    assert ">ada<" in root.get("/jobs", params={"all": ""}).text
    assert "last admin" in root.post("/admin/accounts/root", role="USER", tier="").text
    assert root.post("/admin/accounts", name="eve", password=PASSWORD, role="USER").status_code == 303
    assert root.post("/admin/accounts", name="eve", password=PASSWORD, role="USER").status_code == 409
    assert root.post("/admin/clean-up", days="x").status_code == 400
    assert "0 jobs are removed" in root.post("/admin/clean-up", days="30").text
    root.post("/admin/accounts/ada", role="USER", tier="", disabled="on")
    assert ada.get("/").status_code == 401


def test_a_form_that_is_sent_twice_is_one_job(ada: Browser, admin: psycopg.Connection) -> None:
    once = re.search(r'name="once" value="([^"]+)"', ada.get("/processes/echo").text)
    assert once is not None
    pages = {ada.post("/processes/echo", message="Hello", once=once[1]).headers["location"] for _ in range(2)}
    assert len(pages) == len(jobs.listed(admin, None, {}, None, 10)) == 1


def test_a_key_on_a_page_shows_it_and_sends_no_form(ada: Browser, door: Doorman) -> None:
    page = ada.post("/account/keys", name="x", days="", **{"scope jobs:run": "on"}).text
    key = (re.search(r"alm_\w{8}_\w{43}", page) or [""])[0]
    assert door.ask("GET", "/ui/jobs", key).status_code == 200
    sent = door.ask("POST", "/ui/processes/echo", key, data={"message": "x", "csrf": ""}, headers={"Origin": ORIGIN})
    assert sent.status_code == 403


def test_a_page_that_is_not_there_is_a_page(ada: Browser) -> None:
    for path in ("/jobs/zzz", "/processes/zzz"):
        answer = ada.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")
    assert ada.get("/static/style.css").headers["content-type"].startswith("text/css")
    assert ada.get("/static/..%2Fsite.py").status_code == 404


@given(
    message=st.text(st.characters(codec="utf-8"), min_size=1),
    pause=st.floats(0, 60).filter(lambda number: repr(number) == str(number)),
    fail=st.booleans(),
)
def test_a_form_brings_the_inputs_that_were_meant(message: str, pause: float, fail: bool) -> None:
    form = {"message": message, "pause_s": repr(pause), **({"fail": "on"} if fail else {})}
    assert forms.inputs(ECHO, form) == {"message": message, "pause_s": pause, "fail": fail}


def test_every_process_has_a_form() -> None:
    for process in registry.processes().values():
        shown = {field.name: field for field in forms.fields(process)}
        assert list(shown) == list(process.inputs.model_fields)
        assert all(field.description for field in shown.values())
