"""What a client would rather have."""

from __future__ import annotations

import pytest

from almagest.services.web.accept import preferred

JSON, LINES, TABLE = "application/geo+json", "application/x-ndjson", "application/vnd.apache.parquet"


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
        (LINES, LINES),
        (f"{TABLE}", TABLE),
        (f"{LINES}, */*", LINES),
        (f"{LINES};q=0.5, */*", JSON),
        (f"{LINES};q=0.5, {TABLE};q=0.7", TABLE),
        (f"{LINES}, {JSON}", JSON),
        (f"{LINES};q=0.9,{JSON};q=1.0", JSON),
        ("application/*", JSON),
        (f"application/*;q=0.1, {TABLE};q=0.2", TABLE),
        (f"*/*, {JSON};q=0", LINES),
        (f"{JSON};q=0, {LINES};q=0, */*;q=0.3", TABLE),
        (f" {LINES.upper()} ; Q=1 ", LINES),
        (f"{LINES};charset=utf-8", LINES),
        (f"{LINES};q=wrong", JSON),
        (f"{LINES};q=2", JSON),
        ("application/msword", JSON),
        (";;,,;q=1", JSON),
    ],
)
def test_the_media_type_that_a_client_likes_best_is_chosen(header: str, chosen: str) -> None:
    assert preferred(header, (JSON, LINES, TABLE)) == chosen
