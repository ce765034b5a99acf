"""Tables of STAC items (stac-geoparquet) as documents: one row, one item.

https://github.com/radiantearth/stac-geoparquet-spec: properties are columns beside the members of the item, the
geometry is WKB, the bounding box a struct. Nulls are what is absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from almagest.catalogue.exchange.corrections import apply
from almagest.catalogue.exchange.records import Document

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

#: Members of an item that are columns; every other column is a property.
MEMBERS = ("type", "stac_version", "stac_extensions", "id", "links", "assets", "collection")
#: Properties that are columns of time.
TIMES = frozenset(
    {"datetime", "start_datetime", "end_datetime", "created", "updated", "expires", "published", "unpublished"}
)
#: Changes to make to a row's document, as JSON; ours alone, and only where a table needs it.
EXACT = "almagest:exact"
#: The key of our metadata.
METADATA = b"almagest"
PROJECTED = "proj:geometry"
#: Columns of WKB; whatever else is binary is nothing that JSON could hold.
_GEOMETRIES = frozenset({"geometry", PROJECTED})
_BOXES = (("xmin", "ymin", "zmin", "xmax", "ymax", "zmax"), ("xmin", "ymin", "xmax", "ymax"))

#: How a time was written: digits after the point (None for as many as it needs), and what stands for UTC.
Spelling = tuple[int | None, str]
_PLAIN: Spelling = (None, "Z")


def documents(batch: pa.RecordBatch, spellings: Mapping[str, Spelling]) -> list[Document]:
    """The items of a batch, without the changes of :func:`notes`. A value that JSON has none for is left as it is.

    Args:
        batch: rows.
        spellings: of the columns of time, where they are known.
    """
    names = [name for name in batch.schema.names if name != EXACT]
    shapes = _GEOMETRIES | _declared(batch.schema)
    held = {
        name: _geometries(batch.column(name)) if name in shapes else _values(batch.column(name), name, spellings)
        for name in names
    }
    count = batch.num_rows
    members = {name: held.pop(name, [None] * count) for name in (*MEMBERS, "geometry", "bbox")}
    boxes = _boxes(members["bbox"])
    names, columns = list(held), list(held.values())
    rows = zip(*columns, strict=True) if columns else ((),) * count
    made: list[Document] = []
    for at, row in enumerate(rows):
        properties = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        # A table cannot tell null from nothing; STAC wants this one.
        properties.setdefault("datetime", None)
        document = {
            "type": members["type"][at] or "Feature",
            "stac_version": members["stac_version"][at],
            "stac_extensions": members["stac_extensions"][at],
            "id": members["id"][at],
            "geometry": members["geometry"][at],
            "bbox": boxes[at],
            "properties": properties,
            "links": members["links"][at] or [],
            "assets": members["assets"][at] or {},
            "collection": members["collection"][at],
        }
        made.append({name: value for name, value in document.items() if value is not None or name == "geometry"})
    return made


def notes(batch: pa.RecordBatch) -> list[Any]:
    """What is noted beside each item of a batch, for :func:`corrected`."""
    return batch.column(EXACT).to_pylist() if EXACT in batch.schema.names else [None] * batch.num_rows


def corrected(item: Document, note: Any) -> Document:
    """An item with the changes that are noted beside it.

    Raises:
        ValueError: whoever wrote the note was not us.
    """
    if not note:
        return item
    try:
        made: Document = apply(item, json.loads(note))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise ValueError(f"column `{EXACT}` holds no changes to this item") from None
    return made


def _values(array: pa.Array | pa.ChunkedArray, name: str, spellings: Mapping[str, Spelling]) -> list[Any]:
    """A column as JSON values. Made for columns as wholes: row by row is several times slower."""
    import pyarrow as pa

    array = _plain(array)
    kind = array.type
    if pa.types.is_struct(kind):
        return _objects(array, spellings)
    if pa.types.is_timestamp(kind):
        return _times(array, spellings.get(name, _PLAIN))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(array, name, spellings)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind):
        return array.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]
    if pa.types.is_integer(kind) or pa.types.is_float64(kind):
        return _numbers(array)
    return array.to_pylist()  # type: ignore[no-any-return]


def _numbers(array: pa.Array) -> list[Any]:
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]
    if array.null_count == len(array):
        return [None] * len(array)
    filled = array.fill_null(0).to_numpy(zero_copy_only=False).tolist()
    there = array.is_valid().to_numpy(zero_copy_only=False).tolist()
    return [value if is_there else None for value, is_there in zip(filled, there, strict=True)]


def _objects(array: pa.Array, spellings: Mapping[str, Spelling]) -> list[Any]:
    kind = array.type
    names = [kind.field(at).name for at in range(kind.num_fields)]
    columns = [_values(part, name, spellings) for name, part in zip(names, array.flatten(), strict=True)]
    rows = zip(*columns, strict=True) if columns else ((),) * len(array)
    made: list[Any] = [
        {name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows
    ]
    return _without_nulls(array, made)


def _lists(array: pa.Array, name: str, spellings: Mapping[str, Spelling]) -> list[Any]:
    import pyarrow.compute as pc

    inner = _values(array.flatten(), name, spellings)
    lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    ends = [0, *lengths.cumsum().tolist()]
    return _without_nulls(array, [inner[start:end] for start, end in pairwise(ends)])


def _without_nulls(array: pa.Array, values: list[Any]) -> list[Any]:
    if array.null_count:
        for at in array.is_null().to_numpy(zero_copy_only=False).nonzero()[0].tolist():
            values[at] = None
    return values


def _plain(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    if isinstance(array.type, pa.BaseExtensionType):
        return _plain(array.storage)
    return _plain(array.dictionary_decode()) if pa.types.is_dictionary(array.type) else array


def _declared(schema: pa.Schema) -> frozenset[str]:
    """The columns of geometries as GeoParquet names them."""
    try:
        return frozenset(json.loads((schema.metadata or {})[b"geo"])["columns"])
    except (KeyError, RecursionError, TypeError, ValueError):
        return frozenset()


def _geometries(array: pa.Array) -> list[Any]:
    import orjson
    import pyarrow as pa
    import shapely

    array = _plain(array)
    if not any(
        is_kind(array.type) for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    ):
        return _values(array, "", {})
    held = array.to_numpy(zero_copy_only=False)
    texts = shapely.to_geojson(shapely.from_wkb(held, on_invalid="ignore")).tolist()
    # What is no WKB stays what it is, and so the item is refused.
    return [wkb if text is None else orjson.loads(text) for text, wkb in zip(texts, held.tolist(), strict=True)]


def _times(array: pa.Array, spelling: Spelling) -> list[Any]:
    import numpy as np
    import pyarrow as pa

    digits, suffix = spelling
    moments = array.cast(pa.timestamp("us", tz=array.type.tz), safe=False).cast(pa.int64())
    texts: Iterable[str] = np.datetime_as_string(_moments(moments), unit="us").tolist()
    if digits is None:
        made: list[Any] = [text.rstrip("0").rstrip(".") + suffix for text in texts]
    elif digits == 0:
        made = [text[:-7] + suffix for text in texts]
    else:
        made = [text[: len(text) - 6 + digits] + suffix for text in texts]
    return _without_nulls(array, made)


def _moments(microseconds: pa.Array) -> np.ndarray[Any, Any]:
    return microseconds.fill_null(0).to_numpy(zero_copy_only=False).view("datetime64[us]")  # type: ignore[no-any-return]


def _boxes(column: list[Any]) -> list[Any]:
    """Structs as the arrays they stand for."""
    return [
        next(([box[name] for name in names] for names in _BOXES if all(name in box for name in names)), None)
        if isinstance(box, dict)
        else box
        for box in column
    ]
