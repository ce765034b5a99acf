"""Writing documents to files. A file or folder has its name only once it is complete."""

from __future__ import annotations

import gzip
import os
import secrets
import stat
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
    if name.endswith((".parquet", ".geoparquet")):
        return "geoparquet"
    return "ndjson" if is_stream(target) else "stac"


def is_stream(target: str | Path) -> bool:
    """Whether a target is a device, a pipe or a socket, which takes what it is given and must never be replaced."""
    try:
        mode = Path(target).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


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
        target: the file or folder, which is replaced only when all is written, at the end of links if it is one; for
            `ndjson` also `-`, standard output, or a device or pipe.
        identifier: the id of a new catalogue.
        origin: public address of the catalogue that the items come from: links between items below it are made
            relative in a `stac` catalogue that holds them; if empty, below any address.

    Raises:
        BadRequestError: the format is none of these, or the target is something else that must not be overwritten.
    """
    if form == "ndjson":
        return LinesWriter(target)
    if is_stream(target):
        raise BadRequestError(f"{target} is a device or a pipe: it takes `ndjson` alone.")
    target = os.path.realpath(target)
    match form:
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
        self._target: Path | None = None
        self._partial: Path | None = None
        self._raw: IO[bytes]
        if str(target) == "-":
            if sys.stdout is None:
                raise BadRequestError("Standard output is closed.")
            self._raw = sys.stdout.buffer
        elif is_stream(target):
            self._raw = Path(target).open("wb")  # noqa: SIM115 (closed on leaving the context)
        else:
            self._target = Path(os.path.realpath(target))
            self._partial = partial(self._target)
            self._raw = self._partial.open("wb")
        self._out: IO[bytes] | gzip.GzipFile = self._raw
        if str(target).endswith(".gz"):
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
            if self._raw is not sys.stdout.buffer:
                self._out.close()
                self._raw.close()
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
