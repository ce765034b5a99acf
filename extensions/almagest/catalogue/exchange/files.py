"""Files and folders of documents, and standard input."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from almagest.catalogue.exchange.records import Kind, Reading, Record
from almagest.catalogue.exchange.streams import Stream
from almagest.core.errors import BadRequestError

_LINES = (".ndjson", ".jsonl")
_TEXT = (".json", ".geojson", *_LINES)
_TABLE = ".parquet"


class _File(Protocol):
    size: int

    def position(self) -> int: ...

    def readings(self, wanted: Kind) -> Iterator[Reading]: ...


def _open(path: Path, shown: str) -> _File:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(_TABLE):
        from almagest.catalogue.exchange.parquet import Table

        return Table(path, shown)
    return Stream(path, shown, lines=True if name.endswith(_LINES) else None)


class _Files:
    """Files read one after the other."""

    def __init__(self, name: str, files: list[_File]) -> None:
        self.name = name
        self._files = files
        self._total = sum(file.size for file in files)
        self._done = 0
        self._current: _File | None = None

    def collections(self) -> Iterator[Reading]:
        """The collections of all files."""
        return self._of("collection")

    def items(self) -> Iterator[Reading]:
        """The items of all files, with what cannot be read."""
        return self._of("item")

    def fraction(self) -> float | None:
        """By bytes."""
        if not self._total:
            return None
        return min(1.0, (self._done + (self._current.position() if self._current else 0)) / self._total)

    def _of(self, wanted: Kind) -> Iterator[Reading]:
        self._done, self._current = 0, None
        for file in self._files:
            self._current = file
            for reading in file.readings(wanted):
                # What cannot be read is told once.
                if isinstance(reading, Record) or wanted == "item":
                    yield reading
            self._done, self._current = self._done + file.size, None


class FileSource(_Files):
    """One file."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), [_open(path, path.name)])


class FolderSource(_Files):
    """All files of a folder and below that can hold documents, by name."""

    def __init__(self, folder: Path) -> None:
        """Fails with BadRequestError if there are none."""
        paths = sorted(
            path for path in folder.rglob("*") if _holds_documents(path.relative_to(folder)) and path.is_file()
        )
        if not paths:
            raise BadRequestError(f"{folder} holds no .json, .geojson, .ndjson, .jsonl or .parquet file.")
        super().__init__(str(folder), [_open(path, str(path.relative_to(folder))) for path in paths])


def _holds_documents(path: Path) -> bool:
    if any(part.startswith(".") for part in path.parts):
        return False
    name = path.name.lower()
    return name.endswith(_TABLE) or name.removesuffix(".gz").endswith(_TEXT)


class InputSource(_Files):
    """Standard input, kept in a temporary file, since collections are wanted before the items that come first."""

    def __init__(self) -> None:
        # Closed, and so deleted, with the source.
        self._kept = tempfile.NamedTemporaryFile(prefix="almagest-input-")  # noqa: SIM115
        shutil.copyfileobj(sys.stdin.buffer, self._kept)
        self._kept.flush()
        super().__init__("-", [Stream(Path(self._kept.name), "standard input")])
