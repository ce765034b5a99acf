"""What a cron expression means in a time zone, also where its clock is put forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almagest.catalogue.schedules import Times
from almagest.core.errors import BadRequestError

ZONES = ("UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
CRONS = ("* * * * *", "*/7 * * * *", "30 2 * * *", "0 */3 * * *", "15 1,2,3 * * *", "0 0 L * *", "0 12 * * MON#2")


def moments(cron: str, zone: str, begin: str, number: int) -> list[str]:
    found = islice(Times(cron, zone).after(datetime.fromisoformat(begin)), number)
    return [f"{moment:%m-%dT%H:%M}" for moment in found]


def test_hours_are_those_of_the_zone() -> None:
    assert moments("30 6 * * *", "Europe/Zurich", "2025-01-01T00:00Z", 2) == ["01-01T05:30", "01-02T05:30"]
    assert moments("30 6 * * *", "Europe/Zurich", "2025-07-01T00:00Z", 1) == ["07-01T04:30"]
    assert moments("0 0 1 1 *", "Asia/Kathmandu", "2025-06-01T00:00Z", 1) == ["12-31T18:15"]


def test_what_falls_into_the_hour_that_is_left_out_comes_once() -> None:
    # On 30 March 2025 it is 3:00 after 1:59.
    assert moments("30 2 * * *", "Europe/Zurich", "2025-03-29T00:00Z", 3) == [
        "03-29T01:30",
        "03-30T01:00",
        "03-31T00:30",
    ]


def test_what_falls_into_the_hour_that_comes_twice_comes_once() -> None:
    # On 26 October 2025 it is 2:00 after 2:59.
    assert moments("30 2 * * *", "Europe/Zurich", "2025-10-25T12:00Z", 2) == ["10-26T00:30", "10-27T01:30"]
    # Asked in the second of these hours, the first is over.
    assert moments("30 2 * * *", "Europe/Zurich", "2025-10-26T01:10Z", 1) == ["10-27T01:30"]


def test_what_comes_every_half_hour_comes_in_both() -> None:
    found = ["10-26T00:00", "10-26T00:30", "10-26T01:00", "10-26T01:30", "10-26T02:00"]
    assert moments("*/30 * * * *", "Europe/Zurich", "2025-10-25T23:59Z", 5) == found


@given(
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    st.floats(1.3e9, 1.9e9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.integers(1, 8),
)
def test_the_latest_of_what_was_missed_is_the_last_that_came(
    cron: str, zone: str, begin: datetime, number: int
) -> None:
    times = Times(cron, zone)
    found = list(islice(times.after(begin), number + 1))
    assert found == sorted(set(found))
    assert found[0] > begin
    *_, last, following = found
    latest = times.latest(following - timedelta(microseconds=1), found[0])
    assert latest in found[:-1]
    assert times.latest(last, last) == last
    # Of those near a change of the clock one may be taken for the other, and none is ever taken for later than it is.
    assert latest <= last


@given(st.text(max_size=30) | st.from_regex(r"([0-9*LW/,#-]{1,6} ){4}[0-9A-Z*L#/,-]{1,6}", fullmatch=True))
def test_what_is_no_expression_is_refused(text: str) -> None:
    try:
        times = Times(text, "Europe/Zurich")
    except BadRequestError:
        return
    assert next(times.after(datetime(2025, 1, 1, tzinfo=UTC)), None) is not None


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "60 * * * *", "0 0 31 2 *", "0 0 * 13 *", "@daily"])
def test_expressions_that_mean_nothing(cron: str) -> None:
    with pytest.raises(BadRequestError):
        Times(cron, "UTC")


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "a\0b", "x" * 500]
)
def test_zones_that_there_are_not(zone: str) -> None:
    with pytest.raises(BadRequestError, match="no time zone"):
        Times("* * * * *", zone)
