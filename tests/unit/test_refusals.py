"""Refusals in the audit: few rows, however many there are, and never more than is known."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.responses import Response

from almagest.services.ops import refusals
from almagest.services.web import denials
from almagest.services.web.denials import Denials, network
from almagest.services.web.recording import Entry, Recorder, printable


def test_the_first_of_an_address_are_told_and_the_others_counted_by_the_minute() -> None:
    counting = Denials()
    assert [counting.is_told("192.0.2.1", 1.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert counting.is_told("192.0.2.2", 2.0)
    assert counting.over(60.0) == []
    assert counting.over(61.0) == [("192.0.2.1", 2)]
    assert counting.over(200.0) == []
    assert counting.is_told("192.0.2.1", 201.0)


def test_many_addresses_do_not_write_many_rows_either() -> None:
    counting = Denials()
    told = sum(counting.is_told(f"192.0.{number >> 8}.{number & 255}", 1.0) for number in range(5000))
    over = counting.over(1e9)
    assert told == denials.OF_ALL
    assert len(over) == denials.ADDRESSES + 1
    assert dict(over)[denials.OTHERS] == 5000 - denials.OF_ALL - denials.ADDRESSES


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 30)), max_size=200))
def test_each_refusal_is_told_or_counted_once(given_: list[tuple[int, float]]) -> None:
    counting, now, told, counted = Denials(), 0.0, 0, 0
    for address, pause_s in given_:
        now += pause_s
        told += counting.is_told(str(address), now)
        counted += sum(times for _, times in counting.over(now))
    counted += sum(times for _, times in counting.over(float("inf")))
    assert told + counted == len(given_)


@pytest.mark.parametrize(
    ("address", "subscriber"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_who_is_one_subscriber(address: str, subscriber: str) -> None:
    assert network(address) == subscriber


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("PUT", "/api/collections/a/items/b", "/api/collections/{collection_id}/items/{item_id}"),
        ("HEAD", "/api/collections/a", "/api/collections/{collection_id}"),
        ("POST", "/api/tiles/searches/register", "/api/tiles/searches/register"),
        ("GET", "/ops/metrics", "/ops/metrics"),
        ("DELETE", "/ops/metrics", ""),
        ("GET", "/apix/collections", ""),
        ("", "", ""),
    ],
)
def test_the_route_is_that_which_would_have_answered(method: str, path: str, route: str) -> None:
    assert refusals.route_of(method, path) == route


def test_what_ops_refuses_is_noted_with_what_is_known() -> None:
    noted: list[Entry] = []

    class Noting(Recorder):
        def deny(self, entry: Entry) -> None:
            noted.append(entry)

    question = Headers(
        {
            "authorization": "Bearer alm_secret",
            "x-client-address": "192.0.2.1",
            "x-original-method": "DELETE",
            "x-original-path": "/api/collections/\xc3\xbc",
        }
    )
    recorder = Noting(None)
    refusals.note(recorder, question, Response(status_code=204))
    assert noted == []
    answer = Response(status_code=403, headers=refusals.named({"subject": "key:k", "name": None}, "k"))
    refusals.note(recorder, question, answer)
    assert list(answer.headers) == ["content-length"], "nobody else is told who was refused"
    (entry,) = noted
    assert (entry.subject, entry.key_id, entry.status, entry.path) == ("key:k", "k", 403, "/api/collections/ü")
    assert (entry.address, entry.route) == ("192.0.2.1", "/api/collections/{collection_id}")
    assert "secret" not in str(entry)
    refusals.note(recorder, question, Response(status_code=403, headers={"X-Refusal": "quota"}))
    assert noted[-1].status == 429


@given(st.text(st.characters(exclude_categories=[]), max_size=2000))
def test_any_text_can_be_stored(text: str) -> None:
    stored = Entry(path=text, name=text).document()
    assert orjson.loads(orjson.dumps(stored))["path"] == printable(text[:1000])
    assert "\0" not in str(stored["path"])
