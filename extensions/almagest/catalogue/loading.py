"""Putting documents that are known to be good into the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from itertools import islice
from pathlib import Path
from typing import Any

from almagest.catalogue import assets, database
from almagest.catalogue.acceptance import Rules, accept_collection, accept_item
from almagest.catalogue.reserved import CANARY
from almagest.catalogue.storing import Store
from almagest.core.errors import ConfigurationError
from almagest.core.settings import Settings

Document = Mapping[str, Any]

#: Items of one transaction.
_BATCH = 5000


def load_documents(
    settings: Settings,
    collections: Iterable[Document],
    items: Iterable[Document],
    report: Callable[[str], None] = lambda _: None,
) -> tuple[int, int]:
    """Creates or updates collections, then items.

    Returns:
        How many collections and items were sent.
    """
    numbers = []
    with database.translated(), database.connect(settings, "almagest_writer") as connection:
        store = Store(connection)
        with connection.transaction():
            numbers.append(store.collections(dict(collection) for collection in collections).total)
        report(f"stored {numbers[0]} collections")
        remaining = (dict(item) for item in items)
        sent = 0
        while batch := list(islice(remaining, _BATCH)):
            prepared = store.prepare(batch)
            with connection.transaction():
                store.put(prepared)
            sent += len(batch)
            report(f"stored {sent:,} items")
        store.refresh()
    return numbers[0], sent


def load_sample(settings: Settings, choice: str, report: Callable[[str], None] = lambda _: None) -> None:
    """Fills a catalogue that holds nothing but (some of) the sample, and leaves any other as it is.

    Outsiders may read the files of collections that are new; what an operator said about others holds.

    Args:
        choice: ``generate`` for the sample that the project makes itself, ``none``, or the folder of real data.

    Raises:
        ConfigurationError: the folder is not one that holds the real data.
    """
    from almagest.catalogue import sample

    if choice == "none":
        return
    present = _collections(settings)
    shown: set[str] = set()

    def progress(label: str, done: int, total: int) -> None:
        # A line when a step begins and at every quarter of it: enough to see that it moves.
        quarter = f"{label} {4 * done // max(total, 1)}"
        if quarter not in shown:
            shown.add(quarter)
            report(f"{label}: {done:,} of {total:,}")

    if choice == "generate":
        # Asked before it is rendered, which takes a minute.
        if _holds_others(present, sample.generated_ids(), report):
            return
        chosen = sample.generate(settings.store_path / "sample", progress=progress)
    else:
        folder = Path(choice)
        if not (folder / "stac").is_dir():
            raise ConfigurationError(f"SAMPLE={choice}: this folder has no `stac/`; is it the data folder?")
        chosen = sample.real(folder.resolve(), progress=progress)
        if _holds_others(present, {collection["id"] for collection in chosen.collections}, report):
            return
    # Before they are loaded: afterwards nobody could tell a load that broke off from a collection that was hidden.
    new = [item for item in chosen.items if item["collection"] not in present]
    keys = {key for item in new for key in item["assets"]} - chosen.internal_keys
    exposed = assets.expose_documents(settings, new, tuple(sorted(keys)))
    # Through the door that all documents take: what is taken out can be put in again and is the same.
    rules = Rules(settings.site.origin)
    collections, items = load_documents(
        settings,
        (accept_collection(collection, rules).document for collection in chosen.collections),
        (accept_item(item, rules).document for item in chosen.items),
        report,
    )
    report(f"loaded {items:,} items in {collections} collections, {exposed.changed:,} assets for outsiders to read")


def _holds_others(present: Set[str], own: Set[str], report: Callable[[str], None]) -> bool:
    others = present - own
    if others:
        report(f"the catalogue holds {', '.join(sorted(others)[:3])} already: no sample is loaded")
        report("`almagest ingest` adds documents to it, `make clean` deletes it")
    elif present:
        report("the catalogue holds this sample already: what is missing of it is added")
    return bool(others)


def _collections(settings: Settings) -> set[str]:
    with database.connect(settings, "almagest_reader") as connection:
        rows = connection.execute("SELECT collection_ids()").fetchall()
    return {identifier for (identifier,) in rows} - {CANARY}
