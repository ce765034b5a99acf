"""Files that an application names and nginx sends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.door import INSIDE, OUTSIDE, Door, opened

CONTENT = bytes(range(256)) * 16
ASSET = "/external/assets/c/i/k"
HEADERS = {
    "X-Accel-Redirect": "/_store/0/a%20b/%C3%BC%251.tif",
    "Content-Type": "image/tiff; application=geotiff",
    "Content-Disposition": "inline; filename*=UTF-8''x.tif",
    "Cache-Control": "no-cache",
}


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with opened() as running:
        yield running


@pytest.fixture(autouse=True)
def stored(door: Door) -> None:
    door.answers.clear()
    door.answers |= {ASSET: HEADERS, "/api/assets/c/i/k": HEADERS}


def get(door: Door, path: str, more: str = "", method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    request = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n"
    return door.raw(request.encode(), method, source=OUTSIDE)


def test_nginx_sends_the_file_with_the_applications_headers(door: Door) -> None:
    status, headers, content = get(door, ASSET, "Accept-Encoding: gzip\r\n")
    assert (status, content) == (200, CONTENT)
    assert headers["content-type"] == "image/tiff; application=geotiff"
    assert headers["content-disposition"] == "inline; filename*=UTF-8''x.tif"
    assert headers["cache-control"] == "no-cache"
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["access-control-allow-origin"] == "*"
    assert "content-encoding" not in headers
    assert "x-accel-redirect" not in headers


def test_a_reader_of_parts_gets_parts(door: Door) -> None:
    status, headers, content = get(door, ASSET, "Range: bytes=10-19\r\n")
    assert (status, content, headers["content-range"]) == (206, CONTENT[10:20], "bytes 10-19/4096")
    assert get(door, ASSET, "Range: bytes=5000-\r\n")[0] == 416
    status, headers, content = get(door, ASSET, method="HEAD")
    assert (status, content, headers["content-length"], headers["accept-ranges"]) == (200, b"", "4096", "bytes")


def test_who_has_it_already_is_told_so(door: Door) -> None:
    etag = get(door, ASSET)[1]["etag"]
    assert get(door, ASSET, f"If-None-Match: {etag}\r\n")[0] == 304
    assert get(door, ASSET, 'If-None-Match: "other"\r\n')[0] == 200
    assert get(door, ASSET, f"Range: bytes=0-1\r\nIf-Range: {etag}\r\n")[0] == 206
    assert get(door, ASSET, 'Range: bytes=0-1\r\nIf-Range: "other"\r\n')[0] == 200


def test_inside_it_works_the_same_and_asks_for_the_same_key(door: Door) -> None:
    assert get(door, "/api/assets/c/i/k")[0] == 401
    status, headers, content = get(door, "/api/assets/c/i/k", "Authorization: Bearer reads\r\n")
    assert (status, content) == (200, CONTENT)
    assert "access-control-allow-origin" not in headers
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    "address",
    [
        "/_store/0/gone.tif",
        "/_store/0/",
        "/_store/0/a%20b",
        "/_store/1/a%20b/%C3%BC%251.tif",
        "/_store/0/../secrets/write.key",
        "/_store/0/%2e%2e/secrets/write.key",
        "/_store/0/..%2fsecrets/write.key",
        "/_store/0/a%20b/../../secrets/write.key",
        "/_store/0/link.tif",
        "/_store/0/a%20b/%C3%BC%251.tif%00.png",
    ],
)
def test_no_address_leads_out_of_the_store(door: Door, address: str) -> None:
    secrets = door.settings.site.home / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / "write.key").write_text("hush")
    secrets.chmod(0o755)
    door.answers[ASSET] = {**HEADERS, "X-Accel-Redirect": address}
    status, headers, content = get(door, ASSET)
    assert status in {403, 404, 500}
    assert headers["content-type"] == "application/problem+json"
    assert b"hush" not in content
    assert b"root:" not in content


@pytest.mark.parametrize("path", ["/api/tiles/colorMaps", "/external/tiles/colorMaps", "/ops/health"])
def test_only_who_serves_files_may_name_one(door: Door, path: str) -> None:
    door.answers[path] = {"X-Accel-Redirect": HEADERS["X-Accel-Redirect"]}
    status, _, told = door.ask("GET", path, source=INSIDE)
    assert (status, told["path"]) == (200, path)


def test_files_of_callers_stream_in_and_have_the_tag_that_the_application_told(door: Door) -> None:
    folder = door.settings.store_path / "own-files" / "0f"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ab.bin").write_bytes(CONTENT)
    path = "/ops/files/a b"
    door.answers[path] = {"X-Accel-Redirect": "/_own_files/0f/ab.bin", "ETag": '"of its bytes"'}
    governs = {"Authorization": "Bearer governs"}
    status, headers, content = get(door, "/ops/files/a%20b", "Authorization: Bearer governs\r\n")
    assert (status, content, headers["etag"]) == (200, CONTENT, '"of its bytes"')
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    # The site lets 1 MiB through, and more than that only here.
    large = bytes(3 << 20)
    del door.answers[path]
    answer = door.ask("PUT", "/ops/files/a", body=large, **governs)
    assert answer[0] == 200, answer
    assert len(answer[2]["body"]) == len(large)
    assert door.ask("POST", "/ops/files", body=large, **governs)[0] == 200
    assert door.ask("POST", "/ops/processes/echo/execution", body=large, **governs)[0] == 413
    assert door.ask("PUT", "/ops/files/a", body=b"x", Authorization="Bearer reads")[0] == 403
    assert door.ask("GET", "/ops/files/a/b", **governs)[0] == 404
    assert door.ask("GET", "/_own_files/0f/ab.bin", **governs)[0] == 404


def test_the_store_has_no_address_of_its_own(door: Door) -> None:
    door.reached.clear()
    for path in (
        "/_store/0/a%20b/%C3%BC%251.tif",
        "/_store/0/",
        "/_store",
        "/external/../_store/0/a%20b/%C3%BC%251.tif",
    ):
        assert get(door, path, "X-Accel-Redirect: /_store/0/a%20b/%C3%BC%251.tif\r\n")[0] == 404
    assert not door.reached
