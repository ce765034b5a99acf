"""Moments that are asked for: how they are written."""

from __future__ import annotations

import re
from datetime import UTC, datetime

#: Conformance class of an API that answers `as-of`. Nobody has standardised it; this is ours.
CONFORMANCE = "https://almagest.dev/conformance/as-of"

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


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
