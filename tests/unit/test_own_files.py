"""Names, kinds and ways in of files that callers keep."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request

from almagest.catalogue.contents import HEAD_BYTES, media_type
from almagest.catalogue.uploads import attachment
from almagest.client.files import operations
from almagest.core.errors import BadRequestError
from almagest.core.filenames import file_name
from almagest.services.ops import bodies
from almagest.services.ops.bodies import Form, expected_sha256

NAMES = st.text(min_size=1, max_size=80)


@given(NAMES)
@example("a\u0301.tif")
@example("..")
@example("a/b")
@example("a\\b")
@example("\u202egpj.exe")
@example("\ud800")
@example("x" * 256)
@example("ü" * 128)
def test_a_name_is_one_step_of_a_path_or_refused(given_name: str) -> None:
    try:
        name = file_name(given_name)
    except BadRequestError:
        return
    assert name == unicodedata.normalize("NFC", given_name)
    assert file_name(name) == name
    assert 0 < len(name.encode()) <= 255
    assert name not in {".", ".."}
    assert name == name.strip()
    assert not set("/\\\0\r\n\t\x7f\x85") & set(name)
    assert name.isprintable() or " " in name or any(unicodedata.category(c) in {"Co", "Cn", "Zs"} for c in name)


@pytest.mark.parametrize("name", ["scene.tif", "ü 1%.tif", "a:b?c#d&e", "...", ".hidden", "日本.nc", "a b", "x" * 255])
def test_usual_names_are_taken(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/", "a\\b", " a", "a ", "a\0", "a\n", "a\x1b[2J", "\ud800", "a\ufffd", "ü" * 128]
)
def test_names_that_would_harm_are_refused(name: str) -> None:
    with pytest.raises(BadRequestError, match="name of a file"):
        file_name(name)


@given(NAMES)
def test_a_name_survives_the_header_that_tells_it(name: str) -> None:
    try:
        name = file_name(name)
    except BadRequestError:
        return
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    parsed = EmailMessage()
    parsed["Content-Disposition"] = header
    assert httpx.URL(f"http://a/{header.rpartition(chr(39))[2]}").path == f"/{name}"
    assert parsed["Content-Disposition"].content_disposition == "attachment"


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.txt"), "a")  # which bears no time: it is part of a test's name
    return made.getvalue()


SQLITE = b"SQLite format 3\0" + bytes(52)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.html", b"II*\0rest", "image/tiff; application=geotiff"),
        ("a", b"MM\0+rest", "image/tiff; application=geotiff"),
        ("a.nc", b"CDF\x02rest", "application/x-netcdf"),
        ("a.nc", b"\x89HDF\r\n\x1a\nrest", "application/x-netcdf"),
        ("a.png", b"\x89HDF\r\n\x1a\nrest", "application/x-hdf5"),
        ("a.gpkg", SQLITE + b"GPKG", "application/geopackage+sqlite3"),
        ("a.gpkg", SQLITE + bytes(4), "application/vnd.sqlite3"),
        ("a.jpg", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("a", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a", b"\x00\x00\x00\x0cjP  \r\n\x87\nrest", "image/jp2"),
        ("a.parquet", b"PAR1rest", "application/vnd.apache.parquet"),
        ("a", zipped(), "application/zip"),
        ("a.csv", b"\x1f\x8b\x08rest", "application/gzip"),
        ("a", b"%PDF-1.7", "application/pdf"),
        ("a.fgb", b"fgb\x03fgb\x00rest", "application/vnd.flatgeobuf"),
        ("a", b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        ("a", bytes(257) + b"ustar", "application/x-tar"),
        ("a", b'{"type": "FeatureCollection", "features": []}', "application/geo+json"),
        ("a.geojson", b'{"a": 1}', "application/json"),
        ("a.json", b"[1, 2]", "application/json"),
        ("a.ndjson", b'{"a": 1}\n{"a": 2}\n', "application/x-ndjson"),
        ("a.csv", b"a,b\n1,2\n", "text/csv"),
        ("a.md", b"[a link](b)", "text/markdown"),
        ("a.html", b"<script>alert(1)</script>", "text/plain; charset=utf-8"),
        ("a.svg", b"<svg xmlns='x'/>", "text/plain; charset=utf-8"),
        ("a.txt", "ü".encode() * HEAD_BYTES, "text/plain; charset=utf-8"),
        ("a.tif", b"", "application/octet-stream"),
        ("a.tif", b"\x00\x01\x02", "application/octet-stream"),
        ("a.txt", b"\xff\xfe\x00a", "application/octet-stream"),
        ("a.csv", b"a,b\0", "application/octet-stream"),
    ],
)
def test_what_a_file_is_is_told_by_its_content(name: str, content: bytes, kind: str) -> None:
    assert media_type(name, content[:HEAD_BYTES]) == kind


@given(NAMES, st.binary(max_size=600))
def test_nothing_that_a_browser_would_run_is_announced(name: str, content: bytes) -> None:
    assert not {"html", "xml", "svg", "script"} & set(media_type(name, content).replace("+", "/").split("/"))


def request(headers: dict[str, str], body: bytes = b"", piece: int = 1, query: str = "") -> Request:
    pieces: Iterator[bytes] = (body[at : at + piece] for at in range(0, len(body), piece))

    async def receive() -> dict[str, Any]:
        chunk = next(pieces, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    given_headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": given_headers}
    return Request(scope, receive)


async def gathered(chunks: AsyncIterator[bytes] | Form) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(1, 50), st.sampled_from(["a", "a b.tif", "ü\"'%.nc"]))
def test_a_form_gives_the_bytes_of_its_file_however_it_comes(content: bytes, piece: int, chunk: int, name: str) -> None:
    made = httpx.Request("POST", "http://a/", files={"file": (name, content)}, data={"note": "x"})
    with patch.object(bodies, "_CHUNK", chunk):
        form = Form(request(dict(made.headers), made.read(), piece))
        assert asyncio.run(gathered(form)) == content
    assert form.name == name


@given(st.binary(max_size=200), st.integers(1, 40))
def test_a_form_that_is_cut_off_is_no_file(content: bytes, lost: int) -> None:
    made = httpx.Request("POST", "http://a/", files={"file": ("a", content)})
    body = made.read()
    # Two hyphens and a line end close it: without the latter it is whole.
    form = Form(request(dict(made.headers), body[: -lost - 2], 7))
    with pytest.raises(BadRequestError):
        asyncio.run(gathered(form))


def test_hashes_are_read_in_all_their_spellings() -> None:
    digest = hashlib.sha256(b"a").digest()
    encoded = base64.b64encode(digest).decode()
    for headers, query in (
        ({"Content-Digest": f"sha-256=:{encoded}:"}, ""),
        ({"Content-Digest": f"sha-512=:AAAA:, sha-256=:{encoded}:"}, ""),
        ({"Repr-Digest": f"sha-256=:{encoded}:;q=1"}, ""),
        ({"Digest": f"SHA-256={encoded}"}, f"checksum={digest.hex()}"),
        ({}, f"checksum=1220{digest.hex().upper()}"),
    ):
        assert expected_sha256(request(headers, query=query)) == digest
    assert expected_sha256(request({"Content-Digest": "sha-512=:AAAA:"})) is None
    with pytest.raises(BadRequestError, match="two different"):
        expected_sha256(request({"Digest": f"SHA-256={encoded}"}, query=f"checksum={'0' * 64}"))


@given(st.text(max_size=60))
def test_a_hash_that_is_none_is_refused_and_no_accident(text: str) -> None:
    try:
        found = expected_sha256(request({"Content-Digest": "sha-256=" + text.encode("ascii", "replace").decode()}))
    except BadRequestError:
        return
    assert found is not None
    assert len(found) == 32


@pytest.mark.parametrize(
    ("url", "beside"),
    [
        ("https://host/api", "https://host/ops"),
        ("https://host/external/", "https://host/ops"),
        ("https://host/ops", "https://host/ops"),
        ("https://host/deep/api", "https://host/deep/ops"),
        ("https://host", "https://host/ops"),
    ],
)
def test_files_are_kept_beside_the_api(url: str, beside: str) -> None:
    assert operations(url) == beside
