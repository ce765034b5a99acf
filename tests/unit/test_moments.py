"""How moments and spans are written."""

from __future__ import annotations

import pytest

from almagest.catalogue.moments import whole_days


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("2025-06-21", "2025-06-21T00:00:00Z/2025-06-21T23:59:59.999999Z"),
        ("2025-06-21/2025-06-30", "2025-06-21T00:00:00Z/2025-06-30T23:59:59.999999Z"),
        ("2025-06-21/..", "2025-06-21T00:00:00Z/.."),
        ("../2025-06-21", "../2025-06-21T23:59:59.999999Z"),
        ("2025-06-21T12:00:00Z", "2025-06-21T12:00:00Z"),
        ("2025-06-21T12:00:00Z/2025-06-21", "2025-06-21T12:00:00Z/2025-06-21T23:59:59.999999Z"),
        ("yesterday", "yesterday"),
        ("", ""),
        ("/", "/"),
    ],
)
def test_a_day_stands_for_all_of_it(asked: str, meant: str) -> None:
    assert whole_days(asked) == meant
