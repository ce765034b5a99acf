"""Writing stac-geoparquet that gives back every document as it was.

Three passes, each flat in memory. Documents are put aside as they come, and what their values look like is noted;
then they become rows, are read back, and what a row has lost is noted beside it; then the rows become the file, with
those notes (the column ``almagest:exact``) only if there are any. Other readers find a plain table.
"""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from almagest.catalogue.exchange.layout import ROWS, Layout
from almagest.catalogue.exchange.parquet import needs_parquet
from almagest.catalogue.exchange.records import Document
from almagest.catalogue.exchange.tables import EXACT
from almagest.catalogue.exchange.writing import complete, partial

if TYPE_CHECKING:
    import pyarrow as pa

#: So many batches of rows make a row group.
_GROUPED = 8


class ParquetWriter:
    """A table of items; collections go into its metadata."""

    def __init__(self, target: Path) -> None:
        needs_parquet()
        self._target = target
        self._partial = partial(target)
        self._folder = tempfile.TemporaryDirectory(prefix="almagest-parquet-")
        self._aside = _Aside(Path(self._folder.name) / "items")
        self._layout = Layout()
        self._collections: dict[str, Document] = {}

    def write(self, item: Document) -> None:
        """Adds an item."""
        self._layout.learn(item)
        self._aside.add(item)

    def write_collection(self, collection: Document) -> None:
        """Adds a collection; a second one of the same id replaces the first."""
        self._collections[str(collection.get("id"))] = collection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
                self._partial.replace(self._target)
        finally:
            self._partial.unlink(missing_ok=True)
            self._folder.cleanup()

    def _finish(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = self._layout.settle()
        rows = Path(self._folder.name) / "rows.arrow"
        is_exact = True
        with pa.OSFile(str(rows), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
            for items in self._aside.batches(self._layout.batch_size()):
                batch, notes = self._layout.rows(items)
                is_exact = is_exact and not any(notes)
                out.write_batch(batch.append_column(pa.field(EXACT, pa.string()), pa.array(notes, pa.string())))
        metadata = self._layout.metadata(self._collections)
        kept = [field for field in schema if not (is_exact and field.name == EXACT)]
        with self._partial.open("wb") as file:
            with pa.memory_map(str(rows)) as source:
                table = pa.ipc.open_file(source)
                names = [field.name for field in kept]
                with pq.ParquetWriter(file, pa.schema(kept, metadata), compression="zstd") as out:
                    for first in range(0, table.num_record_batches, _GROUPED):
                        last = min(first + _GROUPED, table.num_record_batches)
                        group = [table.get_batch(at).select(names) for at in range(first, last)]
                        out.write_table(pa.Table.from_batches(group))
            complete(file)


class _Aside:
    """Documents in a file, until the columns are known. Marshal is several times faster than JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[Document] = []
        self._file: pa.NativeFile | None = None

    def add(self, item: Document) -> None:
        self._waiting.append(item)
        if len(self._waiting) == ROWS:
            import pyarrow as pa

            self._file = self._file or pa.output_stream(str(self._path), compression="lz4")
            marshal.dump(self._waiting, self._file)
            self._waiting = []

    def batches(self, size: int) -> Iterator[list[Document]]:
        """All documents in order, once."""
        items = self._all()
        while batch := list(islice(items, size)):
            yield batch

    def _all(self) -> Iterator[Document]:
        if self._file:
            import pyarrow as pa

            self._file.close()
            with pa.input_stream(str(self._path), compression="lz4") as kept, suppress(EOFError):
                while True:
                    yield from marshal.load(kept)  # noqa: S302 (written by us alone, in a private folder)
        yield from self._waiting
