"""Moments and spans that are asked for: how they are written."""

from __future__ import annotations

import re
from datetime import UTC, datetime

#: Conformance class of an API that answers `as-of`. Nobody has standardised it; this is ours.
CONFORMANCE = "https://almagest.dev/conformance/as-of"

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def parsed(text: str) -> datetime:
    """The moment that RFC 3339 writes so; what is finer than a microsecond is cut off, as nothing begins in between.

    Raises:
        ValueError: it is none; the message says how it is written.
    """
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # of the years 1 and 9999, some hours are in other years where it is UTC
        raise ValueError("write a time as `2025-06-20T12:00:00Z` (RFC 3339)") from None


def printed(moment: datetime) -> str:
    """One way to write a moment, as RFC 3339 does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def whole_days(interval: str) -> str:
    """A moment or an interval, in which a day stands for all of it; what is none of these stays as it is."""
    begin, slash, end = interval.partition("/")
    if not slash and not _DAY.fullmatch(begin):
        return interval
    first, last = (
        f"{each}T{of_the_day}Z" if _DAY.fullmatch(each) else each
        for each, of_the_day in ((begin, "00:00:00"), (end if slash else begin, "23:59:59.999999"))
    )
    return f"{first}/{last}"
