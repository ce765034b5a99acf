"""Writing documents to files. A file or folder has its name only once it is complete."""

from __future__ import annotations

import gzip
import os
import secrets
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Protocol, Self, get_args

from almagest.catalogue.exchange.records import Document, dump
from almagest.core.errors import BadRequestError

Format = Literal["stac", "ndjson", "geoparquet"]
FORMATS: tuple[Format, ...] = get_args(Format)


def form_of(target: str) -> Format:
    """The format that a name stands for."""
    name = target.lower()
    if name == "-" or name.removesuffix(".gz").endswith((".ndjson", ".jsonl")):
        return "ndjson"
    return "geoparquet" if name.endswith((".parquet", ".geoparquet")) else "stac"


class Writer(Protocol):
    """Takes documents, in any order. On leaving its context the target is complete; after an error there is none."""

    def write(self, item: Document) -> None:
        """Adds an item."""
        ...

    def write_collection(self, collection: Document) -> None:
        """Adds a collection."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def writer(form: Format, target: str | Path, *, identifier: str = "almagest", origin: str = "") -> Writer:
    """A writer of one format, to be used as a context manager.

    Args:
        form: `stac` is a self-contained catalogue in a folder; if the folder holds one already, it is added to.
            `ndjson` is one document a line, gzipped if the name ends with `.gz`; `geoparquet` is stac-geoparquet.
        target: the file or folder, which is replaced only when all is written; for `ndjson` also `-`, standard output.
        identifier: the id of a new catalogue.
        origin: public address of the catalogue that the items come from: links between items below it are made
            relative in a `stac` catalogue that holds them; if empty, below any address.

    Raises:
        BadRequestError: the format is none of these, or the target is something else that must not be overwritten.
    """
    match form:
        case "ndjson":
            return LinesWriter(target)
        case "geoparquet":
            from almagest.catalogue.exchange.geoparquet import ParquetWriter

            return ParquetWriter(Path(target))
        case "stac":
            from almagest.catalogue.exchange.folders import StacWriter

            return StacWriter(Path(target), identifier=identifier, origin=origin)
    raise BadRequestError(f"`{form}` is none of the formats {', '.join(FORMATS)}.")


class LinesWriter:
    """One document a line."""

    def __init__(self, target: str | Path) -> None:
        self._target = None if str(target) == "-" else Path(target)
        self._partial = partial(self._target) if self._target else None
        self._raw: IO[bytes] = self._partial.open("wb") if self._partial else sys.stdout.buffer
        self._out: IO[bytes] | gzip.GzipFile = self._raw
        if self._target and self._target.name.endswith(".gz"):
            # Neither name nor time in its header: the same documents give the same file. Level 6 is a third the time.
            self._out = gzip.GzipFile("", "wb", 6, self._raw, mtime=0)

    def write(self, item: Document) -> None:
        """Adds an item."""
        self._out.write(dump(item) + b"\n")

    def write_collection(self, collection: Document) -> None:
        """Adds a collection."""
        self.write(collection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._target is None or self._partial is None:
            self._out.flush()
            return
        try:
            if self._out is not self._raw:
                self._out.close()
            complete(self._raw)
            if error is None:
                self._partial.replace(self._target)
        finally:
            self._partial.unlink(missing_ok=True)


def partial(target: Path) -> Path:
    """A new empty file beside a target, to be renamed to it.

    Raises:
        BadRequestError: the target is a folder.
    """
    if target.is_dir():
        raise BadRequestError(f"{target} is a folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    path = beside(target)
    path.touch(exist_ok=False)
    return path


def beside(target: Path) -> Path:
    """A name beside a target, for what is to be renamed to it.

    Nothing is there yet: whoever makes it makes it as public as the user's umask says. :mod:`tempfile` would make it
    private, and the umask, which belongs to all threads, cannot be read without being changed.
    """
    return target.with_name(f".{target.name[:50]}.{secrets.token_hex(8)}.partial")


def complete(file: IO[bytes]) -> None:
    """Closes a file once its content is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
