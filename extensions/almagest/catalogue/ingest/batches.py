"""Cutting what is read into batches, and telling one batch from another."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from almagest.catalogue.exchange import Record, Unreadable

#: So many documents, or fewer, go in all at once or not at all; ...
WHOLE = 5000
#: ... of more, so many: larger batches take longer for each document, for they do not fit into the processor's caches.
PART = 1000
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


def cut(records: Iterable[Record | Unreadable], size: int | None = None, most: int = MAX_BYTES) -> Iterator[Batch]:
    """The documents as batches, each of them one transaction.

    Args:
        records: what was read.
        size: documents of one batch at most. Unless it is given, ``WHOLE`` of them or fewer are one batch, and more, or
            more bytes, are cut into smaller ones.
        most: a batch that holds so many bytes ends there.
    """
    records = iter(records)
    ahead: deque[Record | Unreadable] = deque()
    if size is None:
        size, held = WHOLE, 0
        for record in records:
            ahead.append(record)
            held += len(record.data) if isinstance(record, Record) else 0
            if len(ahead) > WHOLE or held >= most:
                size = PART
                break
    batch, held = Batch(0), 0
    for record in _onward(ahead, records):
        held += batch.add(record)
        if len(batch.data) >= size or held >= most:
            yield batch
            batch, held = Batch(batch.number + 1), 0
    if batch.data:
        yield batch


def _onward(ahead: deque[Record | Unreadable], records: Iterator[Record | Unreadable]) -> Iterator[Record | Unreadable]:
    while ahead:
        yield ahead.popleft()  # and nobody holds it any longer
    yield from records


def digest(data: Iterable[bytes], *context: str) -> bytes:
    """What only an equal batch has, read under equal circumstances."""
    found = hashlib.sha256()
    for part in (*(text.encode() for text in context), b"", *data):
        # With its length: else the same bytes, cut at other places, would be another batch of the same name.
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.digest()
