"""Moving the bytes of assets elsewhere, without hiding those that outsiders may read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from almagest.catalogue import database, storing
from almagest.catalogue.assets import Refusal, Store, batches, stored_assets
from almagest.core.errors import BadRequestError
from almagest.core.hrefs import candidates
from almagest.core.settings import Settings

_PREFIX = re.compile(r"file:///.*/|s3://[^/]+/(.*/)?")


@dataclass
class Moved:
    """What came of moving assets: how many items were rewritten, exposed assets moved with them, and assets refused."""

    items: int = 0
    exposed: int = 0
    refused: int = 0


def migrate_prefix(
    settings: Settings,
    old: str,
    new: str,
    *,
    dry_run: bool = False,
    refused: Callable[[Refusal], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> Moved:
    """Rewrites the beginning of asset hrefs in all items, exposed or not, once the bytes lie in the new place.

    Each batch is one transaction, so that an exposed asset is never hidden. An item with an exposed asset whose new
    place cannot be handed out is refused and stays as it is. A second call goes on where a first one ended.

    Args:
        settings: whose catalogue.
        old: what hrefs begin with, ``file:///folder/`` or ``s3://bucket/folder/``.
        new: what they will begin with.
        dry_run: change nothing, but say what would be changed.
        refused: told about each asset that is refused.
        progress: told after each batch how many items it held.

    Raises:
        BadRequestError: ``old`` or ``new`` is not the address of a folder.
        DatabaseUnavailableError: the database does not answer.
    """
    for prefix in (old, new):
        if not _PREFIX.fullmatch(prefix):
            raise BadRequestError(
                f"{prefix} is not a folder: `file:///…/` or `s3://bucket/…/`, with a slash at its end."
            )
    moved, store = Moved(), Store(settings)
    with database.translated(), database.connect(settings, "almagest_writer") as connection:
        items = storing.Store(connection)
        for (collection,) in connection.execute("SELECT collection_ids()").fetchall():
            for batch in batches(connection, collection):
                ids = [item["id"] for item in batch if _is_below(item, old)]
                refusals = _cannot_move(connection, store, collection, ids, (old, new))
                for refusal in refusals:
                    moved.refused += 1
                    refused(refusal)
                ids = sorted(set(ids) - {refusal.item for refusal in refusals})
                with connection.transaction(force_rollback=dry_run):
                    moved.items += _rewrite(connection, items, collection, ids, (old, new))
                    row = connection.execute(
                        "SELECT move_exposed(%s, %s, %s, %s)", (collection, ids, old, new)
                    ).fetchone()
                    moved.exposed += row[0] if row else 0
                progress(len(batch))
    return moved


def _rewrite(
    connection: psycopg.Connection,
    store: storing.Store,
    collection: str,
    ids: list[str],
    prefixes: tuple[str, str],
) -> int:
    # Before they are read, or what somebody else writes in between would be lost.
    connection.execute("SELECT lock_collection(%s)", (collection,))
    present = [item for batch in batches(connection, collection, ids) for item in batch] if ids else []
    return store.put(
        {**item, "assets": {key: _moved(asset, *prefixes) for key, asset in item["assets"].items()}}
        for item in present
        if isinstance(item.get("assets"), dict)
    ).updated


def _moved(asset: Any, old: str, new: str) -> Any:
    """An asset whose hrefs, those of its alternates included, begin with ``new`` where they began with ``old``."""
    if not isinstance(asset, dict):
        return asset
    moved = dict(asset)
    href, alternates = asset.get("href"), asset.get("alternate")
    if isinstance(href, str) and href.startswith(old):
        moved["href"] = new + href.removeprefix(old)
    if isinstance(alternates, dict):
        moved["alternate"] = {name: _moved(place, old, new) for name, place in alternates.items()}
    return moved


def _cannot_move(
    connection: psycopg.Connection, store: Store, collection: str, ids: Sequence[str], prefixes: tuple[str, str]
) -> list[Refusal]:
    old, new = prefixes
    rows = connection.execute(
        "SELECT item, key, location FROM exposed "
        "WHERE collection = %s AND item = ANY (%s) AND starts_with(location, %s)",
        (collection, ids, old),
    ).fetchall()
    return [
        Refusal(collection, item, key, reason)
        for item, key, location in rows
        if (reason := store.why_not(new + location.removeprefix(old)))
    ]


def _is_below(item: Mapping[str, Any], prefix: str) -> bool:
    return any(href.startswith(prefix) for _, asset in stored_assets(item) for href in candidates(asset))
