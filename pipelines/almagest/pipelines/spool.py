"""Items that wait on disk for the end of their job: there may be more of them than fit into the memory of a worker."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import orjson

from almagest.core import disk
from almagest.core.errors import StorageFullError

Document = dict[str, Any]
#: Collection and id.
Name = tuple[str, str]

#: What is in memory at once, at most: documents, and bytes of them.
_DOCUMENTS, _BYTES = 2000, 16 << 20


class Spool:
    """Items by their names. Of one that is added twice, the last one counts."""

    def __init__(self, folder: Path) -> None:
        """In a file in that folder without a name: it is gone with the spool, or with the process."""
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        #: Where each item begins, and how long it is [bytes].
        self._places: dict[Name, tuple[int, int]] = {}
        self._end = 0

    def __len__(self) -> int:
        return len(self._places)

    @property
    def names(self) -> Sequence[Name]:
        """Of all items, in the order in which they were first added."""
        return list(self._places)

    def add(self, item: Document) -> None:
        """Takes an item.

        Raises:
            StorageFullError: the disk is full.
        """
        text = orjson.dumps(item)
        with self._lock, _told_when_full():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (see close)
            self._file.seek(self._end)
            self._file.write(text)
            self._places[item["collection"], item["id"]] = self._end, len(text)
            self._end += len(text)

    def parts(self) -> Iterator[list[Document]]:
        """All that is there now, in the order of names, some items of one collection at a time."""
        for _, group in groupby(sorted(self._places.items()), lambda place: place[0][0]):
            part: list[tuple[int, int]] = []
            size = 0
            for _, (begin, length) in group:
                if part and (len(part) >= _DOCUMENTS or size + length > _BYTES):
                    yield [self._read(*place) for place in part]
                    part, size = [], 0
                part.append((begin, length))
                size += length
            yield [self._read(*place) for place in part]

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            with suppress(OSError):  # what was not written to a full disk is not missed
                self._file.close()

    def _read(self, begin: int, length: int) -> Document:
        assert self._file is not None
        with self._lock, _told_when_full():  # what was added last is written before others are read
            self._file.seek(begin)
            item: Document = orjson.loads(self._file.read(length))
        return item


@contextmanager
def _told_when_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in disk.FULL:
            raise StorageFullError("No space is left for the results of this job.") from error
        raise
