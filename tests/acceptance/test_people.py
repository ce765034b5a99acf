"""People at the door, in a real browser and through nginx: an account, a form, a job, its item; and tiers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from almagest.core import secrets
from support import browser
from support.browser import Watched
from support.stack import Stack

pytestmark = pytest.mark.xdist_group("site")

PASSWORD = "a few words make a good one"


@pytest.fixture
def watched(chromium: Any, site: Stack) -> Iterator[Watched]:
    with browser.watching(chromium, site.origin) as opened:
        yield opened


@pytest.fixture(scope="module")
def admin(site: Stack) -> str:
    """The access token of the admin that `make up` has made."""
    password = secrets.require(site.home / "secrets", secrets.ADMIN_PASSWORD)
    return login(site, "admin", password)


def login(site: Stack, name: str, password: str = PASSWORD) -> str:
    with site.client() as client:
        answer = client.post("/ops/auth/login", json={"name": name, "password": password})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def register(site: Stack, name: str) -> None:
    with site.client() as client:
        answer = client.post("/ops/auth/register", json={"name": name, "password": PASSWORD})
    assert answer.status_code == 201, answer.text


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def comparison(site: Stack) -> str:
    """Href of a NetCDF file in the store."""
    import numpy
    import xarray

    folder = site.settings.store_path / "comparisons"
    folder.mkdir(exist_ok=True)
    path = folder / "people.nc"
    xarray.Dataset({"difference": (("y", "x"), numpy.zeros((4, 4)))}, attrs={"title": "Two sensors"}).to_netcdf(path)
    path.chmod(0o644)
    folder.chmod(0o755)
    return path.as_uri()


def test_from_an_account_by_a_form_and_a_job_to_its_item_in_stac_browser(
    watched: Watched, site: Stack, admin: str
) -> None:
    page = watched.page
    page.goto(f"{site.origin}/ops/ui/processes/register-analysis")
    assert page.url == f"{site.origin}/ops/ui/login?next=/ops/ui/processes/register-analysis"
    watched.picture("login")
    page.get_by_role("link", name="Make one").click()
    page.get_by_label("Name").fill("Grace@Example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button").click()
    page.get_by_role("heading", name="Processes").wait_for()
    page.get_by_role("button", name="Log out").click()
    # What a USER may not, an admin grants.
    with site.client(headers=bearer(admin)) as client:
        assert client.get("/ops/admin/accounts/grace@example.org").json()["role"] == "USER"
        granted = client.patch("/ops/admin/accounts/grace@example.org", json={"scopes": ["catalogue:write"]})
        assert granted.status_code == 200, granted.text
        (item,) = client.get("/external/search?limit=1&collections=sample-oli-l1").json()["features"]
    page.goto(f"{site.origin}/ops/ui/processes/register-analysis")
    page.get_by_label("Name").fill("grace@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")  # all of it can be done by keyboard
    page.wait_for_url("**/processes/register-analysis")
    page.get_by_label("Collection").fill(item["collection"])
    page.get_by_label("Item", exact=True).fill(item["id"])
    page.get_by_label("Href").fill("https://example.org/not-in-the-store.nc")
    page.get_by_role("button", name="Run it").click()
    page.locator("#input-href[aria-invalid]").wait_for()
    watched.picture("form")
    page.get_by_label("Href").fill(comparison(site))
    page.get_by_role("button", name="Run it").click()
    page.wait_for_url("**/ops/ui/jobs/*")
    watched.picture("job")
    page.locator("#status .badge.successful").wait_for()
    page.get_by_role("heading", name="Published").wait_for()
    watched.picture("done")
    page.get_by_role("link", name=item["id"], exact=True).click()
    page.wait_for_url(f"**/collections/{item['collection']}/items/{item['id']}")
    page.locator("canvas").first.wait_for()
    page.wait_for_load_state("networkidle")
    watched.picture("item")
    complaints = [text for text in watched.complaints if "status of 400" not in text]  # the form that was sent back
    assert complaints == []


def test_a_job_is_watched_while_it_runs(watched: Watched, site: Stack) -> None:
    page = watched.page
    page.goto(f"{site.origin}/ops/ui/register")
    page.get_by_label("Name").fill("eve@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button").click()
    page.get_by_role("link", name="Echo").click()
    page.get_by_label("Message").fill("Hello")
    page.get_by_label("Pause").fill("15")
    page.get_by_role("button", name="Run it").click()
    page.locator("#status .badge.running").wait_for()
    page.locator("#main").evaluate("element => { element.dataset.seen = 'yes'; }")
    page.wait_for_timeout(200)
    seen = {page.locator("#message").inner_text()}
    deadline = time.monotonic() + 30
    while len(seen) < 3:
        assert time.monotonic() < deadline, f"the page stands still: {seen}"
        page.wait_for_timeout(100)
        seen.add(page.locator("#message").inner_text())
    # Told without loading the page anew.
    assert page.locator("#main").get_attribute("data-seen") == "yes"
    assert any("to go" in text for text in seen)
    page.locator("#status .badge.successful").wait_for()
    assert '"echo": "Hello"' in page.locator("pre").first.inner_text()
    assert watched.complaints == []


def test_admins_open_their_pages_and_flower_by_their_login(watched: Watched, site: Stack) -> None:
    page = watched.page
    page.goto(f"{site.origin}/ops/ui/flower/workers")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(secrets.require(site.home / "secrets", secrets.ADMIN_PASSWORD))
    page.get_by_role("button").click()
    page.wait_for_url("**/ops/ui/flower/workers")
    page.get_by_text("worker-0").first.wait_for()
    page.goto(f"{site.origin}/ops/ui/admin")
    page.get_by_role("heading", name="People").wait_for()
    watched.picture("admin")
    assert page.locator(".badge.failed").count() == 0
    assert watched.complaints == []


def test_the_door_says_what_a_tier_has_left_and_when_it_is_used_up(site: Stack, admin: str) -> None:
    register(site, "quota")
    token = login(site, "quota")
    with site.client(headers=bearer(token)) as client:
        answers = [client.get("/ops/jobs") for _ in range(100)]
        assert {answer.status_code for answer in answers} == {200}
        left = [int(answer.headers["ratelimit-remaining"]) for answer in answers]
        assert left == list(range(99, -1, -1))
        assert answers[0].headers["ratelimit-limit"] == "100"
        assert answers[0].headers["ratelimit-policy"] == "100;w=3600"
        refused = client.get("/ops/jobs")
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["status"] == 429
        assert "used up" in refused.json()["detail"]
        assert 3400 < int(refused.headers["retry-after"]) <= 3600
        # What does not count goes on: one's own job, tiles, health.
        missing = client.get("/ops/jobs/00000000-0000-0000-0000-000000000000")
        assert missing.status_code == 404
        assert client.get("/ops/health").status_code == 200
    with site.client(headers=bearer(admin)) as client:
        for _ in range(3):
            answer = client.get("/ops/admin/accounts/quota")
            assert answer.status_code == 200
            assert "ratelimit-limit" not in answer.headers  # an admin's tier has no such limit
        assert client.patch("/ops/admin/accounts/quota", json={"tier": "premium"}).status_code == 200
    with site.client(headers=bearer(token)) as client:
        assert client.get("/ops/jobs").headers["ratelimit-limit"] == "1000"


def test_from_outside_one_logs_in_and_reads_but_makes_no_account(site: Stack) -> None:
    register(site, "traveller")
    with httpx.Client(
        base_url=site.origin, transport=httpx.HTTPTransport(local_address="127.0.0.9"), timeout=30
    ) as outside:
        assert outside.get("/api/search?limit=1").status_code == 401
        answer = outside.post("/ops/auth/register", json={"name": "stranger", "password": PASSWORD})
        assert answer.status_code == 403
        assert "admin" in answer.json()["detail"]
        assert outside.get("/ops/auth/jwks.json").json()["keys"]
        tokens = outside.post("/ops/auth/login", json={"name": "traveller", "password": PASSWORD}).json()
        headers = bearer(tokens["access_token"])
        assert outside.get("/api/search?limit=1", headers=headers).status_code == 200
        assert outside.post("/ops/auth/logout", headers=headers, json={}).status_code == 204
        assert outside.get("/api/search?limit=1", headers=headers).status_code == 401


def test_what_people_do_stands_in_the_audit_and_no_secret_in_any_log(site: Stack, admin: str) -> None:
    register(site, "witness")
    token = login(site, "witness")
    with site.client(headers=bearer(token)) as client:
        assert client.get("/ops/admin/accounts").status_code == 403
        key = client.post("/ops/auth/keys", json={"name": "mine", "scopes": ["jobs:run"]}).json()["key"]
    exported = site.run("audit", "export").stdout
    rows = [line for line in exported.splitlines() if "witness" in line]
    told = {(re.search(r'"route": ?"([^"]*)"', row) or ["", ""])[1]: row for row in rows}
    assert {"/ops/auth/register", "/ops/auth/login", "/ops/auth/keys"} <= set(told), exported[-3000:]
    assert "are as they were sealed" in site.run("audit", "verify").stdout
    hidden = (PASSWORD, token, token.rsplit(".", 1)[1], key, key[13:])
    everywhere = exported + "".join(
        path.read_text(errors="replace") for path in sorted((site.home / "logs").glob("*.log"))
    )
    assert not [secret for secret in hidden if secret in everywhere]
