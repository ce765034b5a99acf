"""Items that wait on disk for the end of their job: there may be more of them than fit into the memory of a worker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import orjson

Document = dict[str, Any]
#: Collection and id.
Name = tuple[str, str]

#: Documents that are in memory at once.
_AT_ONCE = 2000


class Spool:
    """Items by their names. Of one that is added twice, the last one counts."""

    def __init__(self, folder: Path) -> None:
        """In a file in that folder without a name: it is gone with the spool, or with the process."""
        self._folder = folder
        self._file: IO[bytes] | None = None
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
            OSError: the disk is full.
        """
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (see close)
        text = orjson.dumps(item)
        self._file.seek(self._end)
        self._file.write(text)
        self._places[item["collection"], item["id"]] = self._end, len(text)
        self._end += len(text)

    def parts(self) -> Iterator[list[Document]]:
        """All that is there now, in the order of names, a few items of one collection at a time."""
        for _, group in groupby(sorted(self._places.items()), lambda place: place[0][0]):
            places = list(map(itemgetter(1), group))
            for start in range(0, len(places), _AT_ONCE):
                yield [self._read(*place) for place in places[start : start + _AT_ONCE]]

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            self._file.close()

    def _read(self, begin: int, length: int) -> Document:
        assert self._file is not None
        self._file.seek(begin)
        item: Document = orjson.loads(self._file.read(length))
        return item
