from __future__ import annotations

import re
from pathlib import Path

import pytest

from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings, Site, Store
from almagest.services.proxy import policy, render


def configured(home: Path, **site: object) -> Settings:
    return Settings(site=Site(home=home, **site))  # type: ignore[arg-type]


def text(home: Path, **site: object) -> str:
    return render.configuration(configured(home, **site))


def test_every_process_is_an_upstream(home: Path) -> None:
    rendered = text(home, workers=3, tile_workers=1)
    for name, count in [("stac", 3), ("external-stac", 3), ("tiles", 1), ("external-tiles", 1), ("ops", 2)]:
        sockets = [f"{name}-{number}.sock" for number in range(count)]
        assert re.findall(rf"/({name}-\d\.sock)", rendered) == sockets


def test_services_elsewhere_are_asked_at_every_address_of_their_host(home: Path) -> None:
    settings = configured(home, services="stac=localhost:8001,tiles=nowhere.invalid:8002,external-tiles=a..b:80")
    found = {upstream.name: upstream for upstream in render.upstreams(settings)}
    assert "127.0.0.1:8001" in found["stac"].servers
    assert set(found["stac"].servers) <= {"127.0.0.1:8001", "[::1]:8001"}
    assert (found["tiles"].servers, found["tiles"].sockets) == ((), ())
    assert len(found["ops"].sockets) == 2
    assert 'server "127.0.0.1:8001" max_fails=0;' in render.configuration(settings)
    render.write(settings)
    render.check(settings)  # one whose name nobody has at the moment keeps nothing from starting


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


def test_the_configuration_is_ours_alone_and_holds_no_secret(home: Path) -> None:
    folder = render.write(configured(home)).parent
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {"nginx.conf": 0o600}


@pytest.mark.parametrize(
    "site",
    [
        {"public_port": 18098, "public_bind": "::1"},
        {"internal_networks": "", "trusted_proxies": "10.0.0.0/8,fd00::/8", "anonymous_burst": 0},
        {"internal_read": "key"},
    ],
)
def test_nginx_takes_every_setting(home: Path, site: dict[str, object]) -> None:
    settings = configured(home, port=18099, **site)
    render.write(settings)
    render.check(settings)


def test_only_roots_of_the_store_are_sent(home: Path) -> None:
    store = Store(store=home / "a b", store_roots=(home / "second",))
    rendered = render.configuration(Settings(site=Site(home=home), store=store))
    assert re.findall(r'location \^~ /_store/(\d)/ \{\s+internal;\s+alias "(.*)/";', rendered) == [
        ("0", str(home / "a b")),
        ("1", str(home / "second")),
    ]


def test_a_public_listener_is_there_if_it_is_wanted(home: Path) -> None:
    assert text(home).count("listen ") == 1
    rendered = text(home, public_port=8081, public_bind="192.0.2.1")
    assert re.findall(r"listen (.*);", rendered) == ["127.0.0.1:8080", "192.0.2.1:8081"]
    with pytest.raises(ConfigurationError, match="ALMAGEST_PUBLIC_BIND"):
        text(home, public_port=8081, public_bind="a;b")
    with pytest.raises(ConfigurationError, match="a port of its own"):
        text(home, public_port=8080)


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


def test_longer_prefixes_come_first() -> None:
    prefixes = [mount.prefix for mount in policy.MOUNTS]
    for place, prefix in enumerate(prefixes):
        assert not any(later.startswith(f"{prefix}/") for later in prefixes[place:])


def test_every_mount_has_its_processes(home: Path) -> None:
    names = {upstream.name for upstream in render.upstreams(configured(home))}
    assert {mount.upstream for mount in policy.MOUNTS} == names


def test_every_expression_can_stand_in_quotes() -> None:
    for mount in policy.MOUNTS:
        for expression, _ in (*mount.rules(), *mount.addresses()):
            assert not re.search(r'["$\s]|\\[tnr"\\]', expression.partition(" ")[2] or expression)
            assert len(expression) < 1000


def test_every_refusal_can_stand_in_json() -> None:
    for refusal in policy.REFUSALS:
        assert not re.search(r'["\\$\n]', refusal.title + refusal.detail + refusal.slug)
