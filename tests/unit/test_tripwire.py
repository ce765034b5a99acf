"""The last look at external answers: what it finds, however the bytes are cut, and what becomes of the answer."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almagest.core.settings import S3, Audience, Settings, Site
from almagest.services.web.tripwire import HiddenHref, HiddenHrefError, Tripwire

SETTINGS = dataclasses.replace(
    Settings.load(),
    site=Site(public_url="https://stac.example.org"),
    audience=Audience(visible_buckets=("open", "ours")),
    s3=S3(bucket="ours"),
)
HIDDEN = HiddenHref.of(SETTINGS)

SHOWN = [
    "https://example.org/a.tif",
    "http://a",
    "https://stac.example.org/external/",
    "https://stac.example.org/external/collections/a",
    "https://stac.example.org.evil.test/",
    "s3://open/a.tif",
    "s3://open",
    "S3://open/a.tif",
    "HTTPS://example.org/a.tif",
    "",
]
CAUGHT = [
    "file:///a.tif",
    "FILE:///a.tif",
    "/a.tif",
    "a",
    "../a.tif",
    "s3://closed/a.tif",
    "s3://ours/a.tif",
    "s3://open-not/a.tif",
    "https:/example.org",
    "https://stac.example.org/api/collections/a",
    "https://stac.example.org/ops/",
]


def document(href: str) -> bytes:
    return b'{"links":[{"rel":"x","href":"https://example.org/"}],"a":{"href": "' + href.encode() + b'","type":"b"}}'


def answered(chunks: Sequence[bytes], content_type: str = "application/geo+json") -> tuple[int, bytes]:
    """Status and body as a client gets them."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type.encode())]}
        )
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/external/search", "method": "GET", "headers": []}
    try:
        asyncio.run(Tripwire(app, HIDDEN)(scope, receive, send))  # type: ignore[arg-type]
    except HiddenHrefError:
        assert sent, "before the first byte an answer can still be given"
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("href", SHOWN)
def test_what_may_be_seen_passes_unchanged(href: str) -> None:
    assert answered([document(href)]) == (200, document(href))


@pytest.mark.parametrize("href", CAUGHT)
def test_before_the_first_byte_it_is_a_500_with_an_id(href: str) -> None:
    status, body = answered([document(href)])
    assert status == 500
    assert b"urn:uuid:" in body
    assert href.encode() not in body or len(href) == 1


@given(
    st.sampled_from(CAUGHT),
    st.lists(st.integers(1, 400), max_size=8),
    st.integers(0, 400),
    st.sampled_from(['"href":"', '"href": "', '"href" : "', '"href"\n  :\t"']),
)
def test_however_it_is_cut_it_never_arrives_whole(href: str, cuts: list[int], before: int, member: str) -> None:
    text = b"[" + b" " * before + b"{" + member.encode() + href.encode() + b'"}' + b" " * 400 + b"]"
    edges = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    chunks = [text[a:b] for a, b in itertools.pairwise(edges)]
    status, body = answered(chunks)
    assert status == 500 or len(body) < len(text)
    assert f'{href}"'.encode() not in body


@given(st.sampled_from(SHOWN), st.lists(st.integers(1, 160), max_size=8))
def test_however_it_is_cut_what_may_be_seen_arrives(href: str, cuts: list[int]) -> None:
    text = document(href)
    edges = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    assert answered([text[a:b] for a, b in itertools.pairwise(edges)]) == (200, text)


@given(st.lists(st.integers(1, 160), max_size=8))
def test_a_longer_name_that_ends_so_is_another_name(cuts: list[int]) -> None:
    text = b'{"a":1,' + b" " * 60 + b'"x\\"href": "file:///a.tif"' + b" " * 60 + b"}"
    edges = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    assert answered([text[a:b] for a, b in itertools.pairwise(edges)]) == (200, text)


def test_pictures_are_not_read() -> None:
    assert answered([document("file:///a")], "image/png") == (200, document("file:///a"))
