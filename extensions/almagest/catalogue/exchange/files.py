"""Files and folders of documents, and standard input."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from almagest.catalogue.exchange import bounds
from almagest.catalogue.exchange.reading import UnavailableError
from almagest.catalogue.exchange.records import Kind, Reading, Record, Unreadable, printable
from almagest.catalogue.exchange.streams import Stream
from almagest.core.errors import BadRequestError

_LINES = (".ndjson", ".jsonl")
_TEXT = (".json", ".geojson", *_LINES)
_TABLE = ".parquet"


class _File(Protocol):
    size: int

    def position(self) -> int: ...

    def readings(self, wanted: Kind) -> Iterator[Reading]: ...


class _Lost:
    """Stands for a file that cannot be opened, or should not: a pipe might keep us for ever."""

    size = 0

    def __init__(self, shown: str, reason: str) -> None:
        self.shown, self.reason = shown, reason

    def position(self) -> int:
        return 0

    def readings(self, wanted: Kind) -> Iterator[Reading]:
        if wanted == "item":
            yield Unreadable(self.shown, self.reason)


def _open(path: Path, shown: str) -> _File:
    """A file; what it is follows from the name that is shown."""
    shown = printable(shown)
    try:
        bounds.check_file(path)
        if not stat.S_ISREG(path.stat().st_mode):
            return _Lost(shown, "is neither a file nor a folder")
    except UnavailableError as error:
        return _Lost(shown, str(error))
    except OSError as error:
        return _Lost(shown, _why(error))
    name = shown.lower().removesuffix(".gz")
    if name.endswith(_TABLE):
        from almagest.catalogue.exchange.parquet import Table

        return Table(path, shown)
    return Stream(path, shown, lines=True if name.endswith(_LINES) else None)


class _Files:
    """Files read one after the other."""

    def __init__(self, name: str, files: list[_File]) -> None:
        self.name = printable(name)
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
        lost: list[_File] = []
        files = [_open(path, str(path.relative_to(folder))) for path in sorted(_found(folder, lost))]
        if not files and not lost:
            raise BadRequestError(f"{folder} holds no .json, .geojson, .ndjson, .jsonl or .parquet file.")
        super().__init__(str(folder), [*files, *lost])


def _found(folder: Path, lost: list[_File]) -> Iterator[Path]:
    """The files of a folder and below, hidden ones left out; what cannot be looked into is added to a list."""

    def note(error: OSError) -> None:
        lost.append(_Lost(printable(os.path.relpath(error.filename, folder)), _why(error)))

    for base, folders, names in os.walk(folder, onerror=note):
        folders[:] = (name for name in folders if not name.startswith("."))
        for name in names:
            if _holds_documents(name):
                yield Path(base, name)


def _why(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"


def _holds_documents(name: str) -> bool:
    shown = name.lower()
    return not name.startswith(".") and (shown.endswith(_TABLE) or shown.removesuffix(".gz").endswith(_TEXT))


class InputSource(_Files):
    """What can be read but once, kept in a temporary file: collections are wanted before the items that come first."""

    def __init__(self, opened: IO[bytes], name: str) -> None:
        # Closed, and so deleted, with the source.
        self._kept = tempfile.NamedTemporaryFile(prefix="almagest-input-")  # noqa: SIM115
        shutil.copyfileobj(opened, self._kept)
        self._kept.flush()
        super().__init__(name, [_open(Path(self._kept.name), "standard input" if name == "-" else Path(name).name)])


def standard_input() -> InputSource:
    """Standard input.

    Raises:
        BadRequestError: it is closed.
    """
    if sys.stdin is None:
        raise BadRequestError("Standard input is closed.")
    return InputSource(sys.stdin.buffer, "-")
