"""Follows the feed of changes as a client does."""

from __future__ import annotations

import time
from typing import Any

import httpx
import psycopg

Document = dict[str, Any]


def page(client: httpx.Client, prefix: str, **parameters: Any) -> Document:
    """One answer of the feed."""
    answer = client.get(f"{prefix}/changes", params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def settle(admin: psycopg.Connection[Any]) -> None:
    """Waits until all that is committed by now is final: others in the cluster may still write."""
    (reached,) = admin.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone() or ("0",)
    until = time.monotonic() + 60
    while True:
        (oldest,) = admin.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text").fetchone() or ("0",)
        if int(oldest) >= int(reached):
            return
        assert time.monotonic() < until, "somebody writes for a minute"
        time.sleep(0.02)


def rest(client: httpx.Client, prefix: str, cursor: str | None, **parameters: Any) -> tuple[list[Document], str]:
    """All changes behind a cursor, and the cursor behind them."""
    changes: list[Document] = []
    while True:
        since = {} if cursor is None else {"since": cursor}
        found = page(client, prefix, **since, **parameters)
        changes += found["changes"]
        is_end = not found["changes"]
        cursor = found["cursor"]
        if is_end:
            return changes, cursor


def apply(catalogue: dict[tuple[str, str | None], Document], changes: list[Document]) -> None:
    """Does to a catalogue, documents by collection and item, what the feed tells."""
    for change in changes:
        key = change["collection"], change.get("item")
        if change["type"] == "deleted":
            catalogue.pop(key, None)
        else:
            catalogue[key] = change["document"]
