"""Follows what changes in a catalogue that runs elsewhere.

    with Http("https://example.org/external") as http:
        for page in follow(http, documents=True):
            for change in page.changes:
                ...
            remember(page.cursor)

Apply the changes one after the other, the later one over the earlier one; remember the cursor once a page is applied,
and go on behind it whenever you like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from almagest.client.http import Http, not_stac

#: As long as one request may wait [s].
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Page:
    """A page of changes.

    Attributes:
        changes: in their order, as `/changes` tells them.
        cursor: goes on behind them.
    """

    changes: list[dict[str, Any]]
    cursor: str


def follow(
    http: Http,
    since: str | None = None,
    *,
    collections: Sequence[str] = (),
    documents: bool = False,
    limit: int = 1000,
    wait_s: float = 20.0,
    until_end: bool = False,
) -> Iterator[Page]:
    """Pages of changes behind a cursor, empty ones too, without end.

    Args:
        http: asks the API; a path of its own stands before `/changes`.
        since: a cursor; None: what is there comes first; `now`: only what comes.
        collections: only of these.
        documents: with what each was then.
        limit: so many changes in a page at most.
        wait_s: waits so long for something to come, then hands out an empty page.
        until_end: ends where nothing more is there.

    Raises:
        AlmagestError: the service refuses, as a cursor that is too old (begin anew without one), or does not answer.
    """
    while True:
        asked = {
            "since": since,
            "limit": str(limit),
            "collections": ",".join(collections) or None,
            "documents": "true" if documents else None,
            "wait": None if until_end else f"{min(wait_s, LONGEST_WAIT_S):g}",
        }
        answer = http("GET", "changes", params={name: value for name, value in asked.items() if value is not None})
        changes, cursor = answer.get("changes"), answer.get("cursor")
        if not isinstance(changes, list) or not isinstance(cursor, str):
            not_stac("/changes", "there are no changes or no cursor in it")
        yield Page(changes, cursor)
        if until_end and not changes:
            return
        since = cursor
