"""Follows the feed of changes as a client does."""

from __future__ import annotations

import time
from typing import Any

import httpx
import psycopg

Document = dict[str, Any]
#: Documents by collection and item; None: the collection itself.
Catalogue = dict[tuple[str, str | None], Document]


def page(client: httpx.Client, prefix: str, **parameters: Any) -> Document:
    """One answer of the feed; where it cannot be had at this moment, a little later."""
    until = time.monotonic() + 30
    while (answer := client.get(f"{prefix}/changes", params=parameters)).status_code == 503:
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)
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


def apply(catalogue: Catalogue, changes: list[Document]) -> None:
    """Does to a catalogue what the feed tells."""
    for change in changes:
        key = change["collection"], change.get("item")
        if change["type"] == "deleted":
            catalogue.pop(key, None)
        else:
            catalogue[key] = change["document"]


def there(client: httpx.Client, prefix: str) -> Catalogue:
    """The catalogue as it is read by itself, links aside: those of pages lead to pictures, too."""
    found: Catalogue = {}
    for collection in client.get(f"{prefix}/collections", params={"limit": 100}).json()["collections"]:
        if collection["id"] == "almagest-canary":
            continue
        found[collection["id"], None] = collection
        page = client.get(f"{prefix}/collections/{collection['id']}/items", params={"limit": 100}).json()
        for document in page["features"]:
            found[collection["id"], document["id"]] = document
    return without_links(found)


def without_links(catalogue: Catalogue) -> Catalogue:
    return {
        key: {name: value for name, value in document.items() if name != "links"} for key, document in catalogue.items()
    }
