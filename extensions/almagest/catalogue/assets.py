"""Which stored assets outsiders may read: exposing them and hiding them again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg

from almagest.catalogue import database
from almagest.catalogue.hydration import documents
from almagest.catalogue.rendering import renders
from almagest.catalogue.rendering.assets import roles
from almagest.core.errors import NotFoundError
from almagest.core.hrefs import HrefPolicy, HrefRefusedError, s3_key
from almagest.core.settings import Settings

Document = Mapping[str, Any]

#: Roles of what shows an item to people, made from other assets of it.
_PICTURES = frozenset({"thumbnail", "overview"})
#: Items of one transaction: locks and what is undone by a failure stay small.
BATCH = 200


#: How a pattern of SQL says what would else have a meaning.
_PLAIN = {"%": r"\%", "_": r"\_", "\\": r"\\"}


@dataclass(frozen=True)
class Selection:
    """Some assets of a collection.

    Attributes:
        collection: id.
        items: ids; empty for all.
        keys: globs in which ``*`` and ``?`` have a meaning; empty for all.
    """

    collection: str
    items: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def holds(self, key: str) -> bool:
        """Whether an asset of this key is meant."""
        return not self.keys or any(pattern.fullmatch(key) for pattern in self._patterns)

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        wild = {"*": ".*", "?": "."}
        return tuple(re.compile("".join(wild.get(c) or re.escape(c) for c in glob), re.DOTALL) for glob in self.keys)

    @property
    def like(self) -> list[str] | None:
        """The globs in SQL; None for all."""
        wild = {"*": "%", "?": "_", **_PLAIN}
        return ["".join(wild.get(c, c) for c in glob) for glob in self.keys] or None


@dataclass(frozen=True)
class Refusal:
    """An asset that is left as it is, or all of an item's, and why."""

    collection: str
    item: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{'/'.join(part for part in (self.collection, self.item, self.key) if part)}: {self.reason}"


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        changed: assets that are exposed now, and were not in this place before.
        unchanged: assets that were exposed already.
        elsewhere: assets that are not stored here and have a public address of their own.
        refused: assets that may not be handed out.
    """

    changed: int = 0
    unchanged: int = 0
    elsewhere: int = 0
    refused: int = 0


class Store:
    """The places whose bytes this catalogue hands out."""

    def __init__(self, settings: Settings) -> None:
        self._policy = HrefPolicy.of(settings)
        self._bucket = settings.s3.bucket

    def why_not(self, href: object) -> str | None:
        """Why what lies there cannot be exposed; None where it can."""
        if isinstance(href, str) and href.startswith("s3://"):
            if s3_key(href, self._bucket):
                return None
            return f"{href} is no object of the bucket of this catalogue (ALMAGEST_S3_BUCKET)"
        if not isinstance(href, str) or not href.startswith("file:///"):
            return f"{href!r} begins with neither `file:///` nor `s3://`"
        try:
            self._policy.stored(href)
        except HrefRefusedError:
            return f"{href} is no file below the store (ALMAGEST_STORE, ALMAGEST_STORE_ROOTS) that may be handed out"
        return None


def expose(
    settings: Settings,
    selection: Selection,
    *,
    dry_run: bool = False,
    refused: Callable[[Refusal], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Lets outsiders read stored assets. What may not be handed out is refused, all else goes on.

    Args:
        settings: whose catalogue.
        selection: which assets.
        dry_run: change nothing, but say what would be changed.
        refused: told about each asset that is refused.
        progress: told after each batch how many items it held.

    Raises:
        NotFoundError: there is no such collection.
        DatabaseUnavailableError: the database does not answer.
    """
    outcome, store = Outcome(), Store(settings)
    missing = set(selection.items)
    with database.translated(), database.connect(settings, "almagest_writer") as connection:
        if not _one(connection, "SELECT collection_document(%s) IS NOT NULL", selection.collection):
            raise NotFoundError(f"There is no collection {selection.collection!r}.")
        for batch in batches(connection, selection.collection, selection.items):
            missing.difference_update(item["id"] for item in batch)
            _expose(connection, store, selection, batch, outcome, refused, dry_run=dry_run)
            progress(len(batch))
    for identifier in sorted(missing):
        outcome.refused += 1
        refused(Refusal(selection.collection, identifier, "", "there is no such item"))
    return outcome


def expose_documents(settings: Settings, items: Iterable[Document], keys: tuple[str, ...] = ()) -> Outcome:
    """Lets outsiders read assets of items that are about to be stored.

    Args:
        settings: whose catalogue.
        items: as they will be stored.
        keys: globs; empty for all.
    """
    by_collection: dict[str, list[Document]] = {}
    for item in items:
        by_collection.setdefault(item["collection"], []).append(item)
    outcome, store = Outcome(), Store(settings)
    with database.translated(), database.connect(settings, "almagest_writer") as connection:
        for identifier, documents in by_collection.items():
            selection = Selection(identifier, keys=keys)
            for start in range(0, len(documents), BATCH):
                batch = documents[start : start + BATCH]
                _expose(connection, store, selection, batch, outcome)
    return outcome


def hide(settings: Settings, selection: Selection, *, dry_run: bool = False) -> int:
    """Lets outsiders no longer read assets, from their next request on. The collection need not exist any more.

    Where one goes that an item is shown by, its thumbnails go along: they are pictures of it.

    Returns:
        How many assets were exposed.
    """
    with (
        database.translated(),
        database.connect(settings, "almagest_writer") as connection,
        connection.transaction(force_rollback=dry_run),
    ):
        chosen = (selection.collection, list(selection.items) or None, selection.like)
        pictures = [*_pictures(connection, HrefPolicy.of(settings), *chosen)] if selection.keys else []
        hidden = int(_one(connection, "SELECT hide_assets(%s, %s, %s)", *chosen))
        for item, keys in pictures:
            like = ["".join(_PLAIN.get(c, c) for c in key) for key in keys]
            hidden += int(_one(connection, "SELECT hide_assets(%s, %s, %s)", selection.collection, [item], like))
        return hidden


def _pictures(
    connection: psycopg.Connection, policy: HrefPolicy, collection: str, items: list[str] | None, like: list[str] | None
) -> Iterator[tuple[str, list[str]]]:
    """Items that are shown by one of these assets, and the keys of their thumbnails."""
    rows = connection.execute(
        "SELECT item, array_agg(key) FROM exposed WHERE collection = %s AND (%s::text[] IS NULL OR item = ANY (%s))"
        " AND key LIKE ANY (%s) GROUP BY item ORDER BY item",
        (collection, items, items, like),
    ).fetchall()
    chosen: dict[str, list[str]] = dict(rows)
    whole = _one(connection, "SELECT collection_document(%s)", collection)
    for start in range(0, len(rows), BATCH):
        for batch in batches(connection, collection, [item for item, _ in rows[start : start + BATCH]]):
            for item in batch:
                shown = {key.partition("|")[0] for way in renders(item, policy, whole) for key in way.assets}
                thumbnails = [key for key, asset in stored_assets(item) if roles(asset) & _PICTURES]
                if thumbnails and not shown.isdisjoint(chosen[item["id"]]):
                    yield item["id"], thumbnails


def exposed(settings: Settings) -> list[tuple[str, str, str, str]]:
    """Collection, item, key and place of every exposed asset, in order."""
    with database.translated(), database.connect(settings, "almagest_writer") as connection:
        return connection.execute("SELECT collection, item, key, location FROM exposed ORDER BY 1, 2, 3").fetchall()


def _expose(
    connection: psycopg.Connection,
    store: Store,
    selection: Selection,
    batch: Iterable[Document],
    outcome: Outcome,
    refused: Callable[[Refusal], None] = lambda _: None,
    *,
    dry_run: bool = False,
) -> None:
    rows: list[tuple[str, str, str]] = []
    for item in batch:
        for key, asset in stored_assets(item):
            href = asset.get("href")
            if not selection.holds(key):
                continue
            if isinstance(href, str) and href.lower().startswith(("http://", "https://")):
                outcome.elsewhere += 1
            elif reason := store.why_not(href):
                outcome.refused += 1
                refused(Refusal(selection.collection, item["id"], key, reason))
            else:
                rows.append((item["id"], key, str(href)))
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        with connection.transaction(force_rollback=dry_run):
            changed = _one(connection, "SELECT expose_assets(%s, %s, %s, %s)", selection.collection, *columns)
        outcome.changed += changed
        outcome.unchanged += len(rows) - changed


def batches(connection: psycopg.Connection, collection: str, ids: Sequence[str] = ()) -> Iterator[list[dict[str, Any]]]:
    """Items of a collection, hydrated, page by page; those that are written meanwhile do not disturb the order."""
    search = json.dumps({"collections": [collection], **({"ids": list(ids)} if ids else {})})
    anchor = None
    while True:
        rows = connection.execute(
            "SELECT * FROM search_page(%s::jsonb, %s::jsonb, false, %s)",
            (search, anchor, BATCH),
        ).fetchall()
        batch = [*documents(rows)]
        if batch:
            yield batch
        if len(rows) < BATCH:
            return
        anchor = json.dumps(rows[-1][2])


def stored_assets(item: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Keys and assets of an item, without what is none."""
    assets = item.get("assets")
    for key, asset in assets.items() if isinstance(assets, Mapping) else ():
        if isinstance(asset, Mapping):
            yield key, asset


def _one(connection: psycopg.Connection, statement: str, *values: object) -> Any:
    row = connection.execute(statement.encode(), values).fetchone()
    return row[0] if row else None
