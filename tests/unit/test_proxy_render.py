from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from almagest.core import secrets
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings, Site
from almagest.services.proxy import policy, render


def configured(home: Path, **site: object) -> Settings:
    return Settings(site=Site(home=home, **site))  # type: ignore[arg-type]


def text(home: Path, **site: object) -> str:
    return render.configuration(configured(home, **site), Path("/module.so"))


def test_every_process_is_an_upstream(home: Path) -> None:
    rendered = text(home, workers=3, tile_workers=1)
    assert re.findall(r"stac-\d\.sock", rendered) == ["stac-0.sock", "stac-1.sock", "stac-2.sock"]
    assert re.findall(r"tiles-\d\.sock", rendered) == ["tiles-0.sock"]


def test_links_name_the_configured_host(home: Path) -> None:
    rendered = text(home, public_url="https://stac.example.org:8443")
    assert 'proxy_set_header Host "stac.example.org:8443";' in rendered
    assert "proxy_set_header X-Forwarded-Proto https;" in rendered


@pytest.mark.parametrize(
    ("bind", "listen"), [("127.0.0.1", "127.0.0.1:8080"), ("::1", "[::1]:8080"), ("localhost", "localhost:8080")]
)
def test_where_it_listens(home: Path, bind: str, listen: str) -> None:
    assert f"listen {listen};" in text(home, bind=bind)


@pytest.mark.parametrize(
    "site", [{"bind": "127.0.0.1; return 200"}, {"public_url": 'http://a";evil'}, {"browser": '/srv/a"b'}]
)
def test_no_setting_can_write_configuration(home: Path, site: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        text(home, **site)


@pytest.mark.parametrize("path", ["/a/$uri", "/a\\b", '/a"b', "/a\nb"])
def test_what_nginx_cannot_quote_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot stand in"):
        render.quote(path)


def test_the_key_is_known_by_its_hash_alone(home: Path) -> None:
    settings = configured(home)
    key = secrets.ensure(settings.secrets, secrets.WRITE_KEY, "alm_12345678_secret")
    folder = render.write(settings).parent
    assert (folder / "keys.map").read_text() == f"{hashlib.sha256(key.encode()).hexdigest()} 0;\n"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert not any(key in path.read_text() for path in folder.iterdir())


def test_without_a_key_nobody_writes(home: Path) -> None:
    assert render.key_map(configured(home)) == ""


def test_nginx_takes_it(home: Path) -> None:
    settings = configured(home / "with a space", browser=home / "the browser", port=18099)
    render.write(settings)
    render.check(settings)


def test_what_nginx_refuses_is_quoted(home: Path) -> None:
    settings = configured(home, port=18099)
    target = render.write(settings)
    target.write_text(target.read_text().replace("sendfile on;", "sendfile perhaps;"))
    with pytest.raises(ConfigurationError, match=r"nginx refuses its configuration: .*sendfile"):
        render.check(settings)


def test_no_client_names_himself() -> None:
    passed = {name.lower() for name in policy.PASSED_HEADERS}
    forged = {"host", "forwarded", "authorization", "cookie", "accept-encoding", "connection", "x-request-id"}
    assert not passed & forged
    assert not [name for name in passed if name.startswith("x-")]


def test_longer_routes_come_first() -> None:
    """A route is found by its prefix, and the last of an audience answers for all others."""
    for audience in policy.AUDIENCES:
        assert audience.routes[-1].path == ""
        assert all(path.startswith(f"{audience.prefix}/") for path in audience.open_posts)


def test_every_refusal_can_stand_in_json() -> None:
    for refusal in policy.REFUSALS:
        assert not re.search(r'["\\$\n]', refusal.title + refusal.detail + refusal.slug)
