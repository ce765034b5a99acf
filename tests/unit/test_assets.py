"""How assets are handed out: what a browser is told of them, and where nginx finds them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from almagest.catalogue import validation
from almagest.catalogue.assets import Selection
from almagest.core.errors import ConfigurationError
from almagest.core.hrefs import HrefRefusedError, s3_href, s3_key
from almagest.core.settings import S3, Settings, Site
from almagest.services.assets.files import OCTETS, Shelf, disposition, harmless
from almagest.services.assets.presign import Presigner


@pytest.mark.parametrize(
    "media_type",
    [
        "image/tiff; application=geotiff; profile=cloud-optimized",
        "image/webp",
        "application/json",
        "application/vnd.laszip+copc",
        'text/plain; charset="utf-8"',
        "model/gltf+json",
    ],
)
def test_a_media_type_is_passed_on(media_type: str) -> None:
    assert harmless(media_type) == media_type


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "",
        "tiff",
        "image/",
        "image/tiff\r\nSet-Cookie: a=b",
        "image/tiff;",
        "image/tiff; ö=1",
        "im age/tiff",
        "x-anything/html",
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
        "application/xml",
        "text/xml",
        "text/javascript",
        "application/ecmascript",
        "text/css",
        "multipart/x-mixed-replace",
        "message/rfc822",
    ],
)
def test_what_a_browser_would_run_is_plain_bytes(media_type: str | None) -> None:
    assert harmless(media_type) == OCTETS


def test_a_file_is_not_called_as_it_is_called_here() -> None:
    assert disposition("S2A", "visual", "/srv/secret/name.TIF") == "inline; filename*=UTF-8''S2A-visual.TIF"
    assert disposition("S2A", "a.tif", "/srv/x.tif") == "inline; filename*=UTF-8''S2A-a.tif"
    assert disposition("S2A", "a", "/srv/x.weird name") == "inline; filename*=UTF-8''S2A-a"
    odd = disposition('a"b/ü\r\n', "k;/..", "/srv/x")
    assert odd.isascii()
    assert odd.isprintable()
    assert not {'"', "/", " "} & set(odd.removeprefix("inline; filename*="))


def test_nginx_knows_the_folders_by_number(tmp_path: Path) -> None:
    for name in ("real", "b", "ba"):
        (tmp_path / name).mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    shelf = Shelf((tmp_path / "alias", tmp_path / "b"))
    assert shelf.address(f"{tmp_path}/real/x/y z%?#ü.tif") == "/_store/0/x/y%20z%25%3F%23%C3%BC.tif"
    assert shelf.address(f"{tmp_path}/b/x") == "/_store/1/x"
    for outside in (f"{tmp_path}/ba/x", f"{tmp_path}/x", "/etc/passwd"):
        with pytest.raises(HrefRefusedError):
            shelf.address(outside)


def test_objects_of_the_bucket() -> None:
    assert s3_key("s3://bucket/a/b c.tif", "bucket") == "a/b c.tif"
    assert s3_key("s3://bucket/a/b%20c%25+%C3%BCü.tif", "bucket") == "a/b c%+üü.tif"
    assert s3_key("s3://bucket/100%.tif", "bucket") == "100%.tif"
    for href in (
        *("s3://bucket/a%2Fb", "s3://bucket/%2e%2e/a", "s3://bucket/a%00", "s3://bucket/a%0A", "s3://bucket/a%E9"),
        *("s3://bucket", "s3://bucket/", "s3://bucket//a", "s3://bucket/a/", "s3://bucket/a//b", "s3://bucket/./a"),
        *("s3://bucket/../other/a", "s3://bucket2/a", "s3://other/a", "S3://bucket/a", "file:///bucket/a", None, 7),
        *("s3://bucket/a\nb", "s3://bucket/a\x00", "s3://bucket/" + "a" * 5000),
    ):
        assert s3_key(href, "bucket") is None, href
    assert s3_key("s3:///a", "") is None


@pytest.mark.parametrize(
    "key", ["a b", "a+b", "100%", "a%20b", "a%2Fb", "ü 日本/x", "a?b#c", 'a"<>|{}^`b', "~-._:@!$&'()*,;="]
)
def test_every_key_has_an_href(key: str) -> None:
    href = s3_href("bucket", key)
    assert s3_key(href, "bucket") == key
    validation.check_asset({"href": href})


def test_a_link_says_nothing_that_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "stranger"), ("AWS_SESSION_TOKEN", "stranger"), ("AWS_REGION", "mars")):
        monkeypatch.setenv(name, value)
    s3 = S3(bucket="b", endpoint="http://store.example.org:9000", region="here", link_seconds=7)
    settings = dataclasses.replace(Settings(site=Site(home=tmp_path)), s3=s3)
    with pytest.raises(ConfigurationError, match=r"s3\.access"):
        Presigner(settings)
    settings.secrets.mkdir()
    (settings.secrets / "s3.access").write_text("me")
    (settings.secrets / "s3.secret").write_text("secret")
    link = urlsplit(Presigner(settings).link("s3://b/x/a b%41ü.tif", "GET"))
    assert link.netloc == "store.example.org:9000"
    assert unquote(link.path) == "/b/x/a b%41ü.tif"
    assert "X-Amz-Expires=7&" in link.query
    assert "X-Amz-Credential=me%2F" in link.query
    assert "%2Fhere%2Fs3%2F" in link.query
    assert "stranger" not in link.query
    with pytest.raises(HrefRefusedError):
        Presigner(settings).link("s3://c/a.tif", "GET")


def test_globs_mean_the_same_in_python_and_in_sql() -> None:
    chosen = Selection("c", keys=("B*", "a?c", "x_%", "[ab]", "back\\slash"))
    assert chosen.like == ["B%", "a_c", r"x\_\%", "[ab]", r"back\\slash"]
    assert [key for key in ("B", "B01", "abc", "a\nc", "x_%", "[ab]", "back\\slash") if not chosen.holds(key)] == []
    assert [key for key in ("b01", "ac", "xy%", "a", "xB1") if chosen.holds(key)] == []
    assert Selection("c").like is None
    assert Selection("c").holds("anything")
