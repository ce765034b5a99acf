"""Cutting what is read into batches, and telling one batch from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from almagest.catalogue.exchange import Record, Unreadable

#: Documents of one batch, at most and unless less is asked for: each batch is one transaction.
MAX_RECORDS = 5000
#: A batch of long documents is cut earlier, so that memory stays the same whatever comes.
MAX_BYTES = 128 * 1024 * 1024


@dataclass
class Batch:
    """Some documents in the order they came.

    Attributes:
        number: counts from 0.
        places: where each was found.
        data: each as it came; empty where it could not be read.
        troubles: position and reason of each that could not be read.
    """

    number: int
    places: list[str] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    troubles: list[tuple[int, str]] = field(default_factory=list)

    def add(self, record: Record | Unreadable) -> int:
        """Takes one more; returns its size."""
        if isinstance(record, Unreadable):
            self.troubles.append((len(self.places), record.reason))
        data = record.data if isinstance(record, Record) else b""
        self.places.append(record.where)
        self.data.append(data)
        return len(data)


def cut(records: Iterable[Record | Unreadable], size: int = MAX_RECORDS, most: int = MAX_BYTES) -> Iterator[Batch]:
    """Batches of at most ``size`` documents; one ends when it holds ``most`` bytes or more."""
    batch, held = Batch(0), 0
    for record in records:
        held += batch.add(record)
        if len(batch.data) >= size or held >= most:
            yield batch
            batch, held = Batch(batch.number + 1), 0
    if batch.data:
        yield batch


def digest(data: Iterable[bytes], *context: str) -> bytes:
    """What only an equal batch has, read under equal circumstances."""
    found = hashlib.sha256()
    for part in (*(text.encode() for text in context), b"", *data):
        # With its length: else the same bytes, cut at other places, would be another batch of the same name.
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.digest()
