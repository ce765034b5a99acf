"""Reading stac-geoparquet, whoever wrote it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from almagest.catalogue.exchange.records import Document, Kind, Reading, Record, Unreadable, dump
from almagest.catalogue.exchange.tables import METADATA, Spelling, corrected, documents, notes
from almagest.core.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_ROWS = 2000
#: What comes of tables that hold anything but what they should.
_ODD = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class Table:
    """A file of items, and of collections in its metadata."""

    def __init__(self, path: Path, shown: str) -> None:
        self.path = path
        self.shown = shown
        self.size = path.stat().st_size
        self._share = 0.0

    def position(self) -> int:
        """How much of the file has been read, in bytes."""
        return int(self.size * self._share)

    def readings(self, wanted: Kind) -> Iterator[Reading]:
        """The items by batches of rows, or the collections."""
        needs_parquet()
        import pyarrow as pa
        import pyarrow.parquet as pq
        import shapely.errors

        try:
            with pq.ParquetFile(self.path) as file:
                metadata = file.schema_arrow.metadata or {}
                if wanted == "item":
                    yield from self._items(file, spellings(metadata))
                elif wanted == "collection":
                    for collection in _collections(metadata):
                        yield Record(self.shown, dump(collection))
        except (pa.ArrowException, shapely.errors.ShapelyError, OSError, *_ODD) as error:
            said = str(error).splitlines()
            yield Unreadable(self.shown, f"cannot be read: {said[0] if said else type(error).__name__}")

    def _items(self, file: pq.ParquetFile, known: Mapping[str, Spelling]) -> Iterator[Reading]:
        self._share = 0.0
        if "id" not in file.schema_arrow.names:
            yield Unreadable(self.shown, "is no table of STAC items: it has no column `id`")
            return
        number = 0
        for batch in file.iter_batches(_ROWS):
            for document, note in zip(documents(batch, known), notes(batch), strict=True):
                number += 1
                self._share = number / file.metadata.num_rows
                yield _reading(f"{self.shown} (row {number})", document, note)


def _reading(where: str, document: Document, note: Any) -> Reading:
    try:
        return Record(where, _quickly(corrected(document, note)))
    except TypeError:
        return Unreadable(where, _unspeakable(document))
    except ValueError as error:
        return Unreadable(where, str(error))


def _unspeakable(document: Document) -> str:
    """Which value of a row JSON has none for."""
    for held in (document.get("properties"), document):
        for name, value in held.items() if isinstance(held, dict) else ():
            try:
                _quickly(value)
            except TypeError as error:
                return f"column `{name}` holds what is no value of JSON: {error}"
    return "holds what is no value of JSON"


def _quickly(document: Any) -> bytes:
    import orjson

    try:
        return orjson.dumps(document)
    except TypeError:  # a whole number of more than 64 bits, half a surrogate pair
        return dump(document)


def needs_parquet() -> None:
    """Fails with a remedy where the libraries for tables are not installed.

    Raises:
        ConfigurationError: they are not.
    """
    missing = [name for name in ("orjson", "pyarrow", "shapely") if importlib.util.find_spec(name) is None]
    if missing:
        # Not by its name alone: on the public index that is another project.
        raise ConfigurationError(
            f"Tables need {' and '.join(missing)}: install Almagest from its clone with the extra `parquet`, "
            "as with `pip install './almagest[parquet]'`."
        )


def spellings(metadata: Mapping[bytes, bytes]) -> dict[str, Spelling]:
    """How our own files say that times are written."""
    said = _parsed(metadata, METADATA).get("times")
    return {name: (digits, suffix) for name, (digits, suffix) in said.items()} if isinstance(said, dict) else {}


def _collections(metadata: Mapping[bytes, bytes]) -> list[dict[str, Any]]:
    said = _parsed(metadata, b"stac-geoparquet")
    many = said.get("collections")
    found = [*(many.values() if isinstance(many, dict) else ()), said.get("collection")]
    return [collection for collection in found if isinstance(collection, dict)]


def _parsed(metadata: Mapping[bytes, bytes], key: bytes) -> dict[str, Any]:
    try:
        said = json.loads(metadata.get(key, b"{}"))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
