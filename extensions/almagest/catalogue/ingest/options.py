"""What can be asked of an ingest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from almagest.catalogue.exchange import Record, Source, Unreadable


def default_workers() -> int:
    """One for each processor that we may use, four at most: beyond that the database is what takes the time."""
    return min(len(os.sched_getaffinity(0)), 4)


@dataclass(frozen=True)
class Options:
    """What can be asked of an ingest.

    Attributes:
        collection: where items go that name no collection.
        create_collections: make the collections that are not there, from their items.
        batch_size: documents of one batch at most; None for what ``batches.cut`` finds best.
        workers: batches that are worked on at the same time.
        dry_run: only look whether everything could go in.
        fresh: forget what an earlier run, broken off, has stored, and send everything.
    """

    collection: str | None = None
    create_collections: bool = False
    batch_size: int | None = None
    workers: int = 1
    dry_run: bool = False
    fresh: bool = False


class Sources:
    """Several sources as one."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._at = 0

    @property
    def name(self) -> str:
        """All names; the same sources in the same order have the same name."""
        return "\n".join(source.name for source in self._sources)

    def collections(self) -> Iterator[Record | Unreadable]:
        """The collections of all, one source after the other."""
        for at, source in enumerate(self._sources):
            self._at = at
            yield from source.collections()

    def items(self) -> Iterator[Record | Unreadable]:
        """The items of all, one source after the other."""
        for at, source in enumerate(self._sources):
            self._at = at
            yield from source.items()

    def fraction(self) -> float | None:
        """Which part is read, counting each source alike; None where a source does not know."""
        part = self._sources[self._at].fraction() if self._sources else 1.0
        return None if part is None else (self._at + part) / len(self._sources)
