"""The columns of a table that is to hold given items, and their rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from almagest.catalogue.exchange.corrections import changes
from almagest.catalogue.exchange.records import Document
from almagest.catalogue.exchange.shapes import Budget, Shape
from almagest.catalogue.exchange.tables import EXACT, MEMBERS, METADATA, PROJECTED, TIMES, Spelling, documents

if TYPE_CHECKING:
    import pyarrow as pa

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|\+00:00)")
_RESERVED = frozenset({*MEMBERS, "geometry", "bbox", "properties", EXACT})
#: Columns that every reader expects, whatever the items have.
_ALWAYS = ("type", "stac_version", "id", "collection")
_BOX = ("xmin", "ymin", "xmax", "ymax")
_BOX_3D = ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")
#: So many rows go together at most, and so many cells.
ROWS = 1000
_CELLS = 1_000_000


class Layout:
    """Which columns there are, and rows for them."""

    def __init__(self) -> None:
        budget = Budget()
        self._members = {name: Shape(budget) for name in MEMBERS}
        self._properties = Shape(budget)
        self._spellings: dict[str, Counter[Spelling]] = {}
        self._count = 0
        self._flat_boxes = 0
        self._high_boxes = 0
        self._kinds: set[str] = set()

    def learn(self, item: Document) -> None:
        """Takes note of an item."""
        self._count += 1
        for name, shape in self._members.items():
            shape.learn(item.get(name))
        box = item.get("bbox")
        self._high_boxes += isinstance(box, list) and len(box) == 6
        self._flat_boxes += isinstance(box, list) and len(box) != 6
        properties = item.get("properties")
        if not isinstance(properties, dict):
            return
        self._properties.learn(properties)
        for name in TIMES.intersection(properties):
            if isinstance(value := properties[name], str) and (spelled := _TIME.fullmatch(value)):
                spelling = (len(spelled[2] or ""), spelled[3])
                self._spellings.setdefault(name, Counter())[spelling] += 1

    def settle(self) -> pa.Schema:
        """The columns, once all is learned."""
        import pyarrow as pa

        fields = self._properties.fields
        for asset in self._members["assets"].fields.values():
            # Where not every asset has one, other readers fail on it, be it a struct or WKB.
            asset.fields.pop(PROJECTED, None)
        projected = fields.pop(PROJECTED, None)
        self._projects = projected is not None and projected.counts == {"object": self._count}
        for name in _RESERVED.intersection(fields):
            del fields[name]
        self._properties.settle()
        for shape in self._members.values():
            shape.settle()
        self._box_names = _BOX if self._flat_boxes or not self._high_boxes else _BOX_3D
        self._types: dict[str, pa.DataType] = {}
        for name, shape in self._members.items():
            kind = shape.type() or (pa.string() if name in _ALWAYS else None)
            if name == "links" and (kind is None or not self._members["links"].holds_objects):
                kind = pa.list_(pa.struct([("href", pa.string()), ("rel", pa.string())]))
            if kind is not None:
                self._types[name] = kind
        self._property_types: dict[str, pa.DataType] = {"datetime": pa.timestamp("us", "UTC")}
        for name, shape in fields.items():
            kind = pa.timestamp("us", "UTC") if name in TIMES else shape.type()
            if kind is not None:
                self._property_types[name] = kind
        self.spellings = {name: seen.most_common(1)[0][0] for name, seen in self._spellings.items()}
        described = [
            *self._types.items(),
            ("geometry", pa.binary()),
            ("bbox", pa.struct([(name, pa.float64()) for name in self._box_names])),
            *self._property_types.items(),
            *([(PROJECTED, pa.binary())] if self._projects else []),
            (EXACT, pa.string()),
        ]
        self._schema = pa.schema([pa.field(name, kind) for name, kind in described])
        return self._schema

    def batch_size(self) -> int:
        """How many rows go together: fewer, the more columns there are."""
        leaves = sum(_leaves(kind) for kind in self._schema.types)
        return max(64, min(ROWS, _CELLS // leaves))

    def rows(self, items: list[Document]) -> tuple[pa.RecordBatch, list[str | None]]:
        """Rows without their notes, and the notes."""
        import pyarrow as pa

        try:
            batch = self._batch(items)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            # What no column can hold, half a surrogate pair for one, stands in the notes as a whole.
            items_held = [item if self._holds(item) else {} for item in items]
            batch = self._batch(items_held)
        read = documents(batch, self.spellings)
        lost = [changes(item, got) for item, got in zip(items, read, strict=True)]
        return batch, [json.dumps(found, separators=(",", ":")) if found else None for found in lost]

    def _holds(self, item: Document) -> bool:
        import pyarrow as pa

        try:
            self._batch([item])
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            return False
        return True

    def _batch(self, items: list[Document]) -> pa.RecordBatch:
        import pyarrow as pa

        properties = [found if isinstance(found := item.get("properties"), dict) else {} for item in items]
        shapes = self._properties.fields
        columns = [
            pa.array([self._members[name].fit(item.get(name)) for item in items], kind)
            for name, kind in self._types.items()
        ]
        columns.append(self._geometries([item.get("geometry") for item in items]))
        columns.append(
            pa.array([_box(item.get("bbox"), self._box_names) for item in items], self._schema.field("bbox").type)
        )
        for name, kind in self._property_types.items():
            values = [held.get(name) for held in properties]
            fit = _moment if name in TIMES else shapes[name].fit
            columns.append(pa.array([fit(value) for value in values], kind))
        if self._projects:
            columns.append(self._geometries([held.get(PROJECTED) for held in properties], projected=True))
        return pa.record_batch(columns, names=[name for name in self._schema.names if name != EXACT])

    def _geometries(self, geometries: list[Any], *, projected: bool = False) -> pa.Array:
        import pyarrow as pa
        import shapely

        texts = [json.dumps(found) if isinstance(found, dict) else None for found in geometries]
        shapes = shapely.from_geojson(texts, on_invalid="ignore")
        if not projected:
            self._kinds.update(found["type"] for found, shape in zip(geometries, shapes, strict=True) if shape)
        return pa.array(shapely.to_wkb(shapes, flavor="iso"), pa.binary())

    def metadata(self, collections: dict[str, Document]) -> dict[str, str]:
        """What readers of GeoParquet, of stac-geoparquet, and we look for."""
        covering = {name: ["bbox", name] for name in _BOX}
        geometry = {"encoding": "WKB", "geometry_types": sorted(self._kinds), "covering": {"bbox": covering}}
        columns: dict[str, Any] = {"geometry": geometry}
        if self._projects:
            # Each item is in a reference system of its own.
            columns[PROJECTED] = {"encoding": "WKB", "geometry_types": [], "crs": None}
        return {
            "geo": json.dumps({"version": "1.1.0", "primary_column": "geometry", "columns": columns}),
            "stac-geoparquet": json.dumps({"version": "1.0.0", "collections": collections}),
            METADATA.decode(): json.dumps({"times": self.spellings}),
        }


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _box(box: Any, names: tuple[str, ...]) -> dict[str, float] | None:
    """A bounding box as a struct, without heights where not all have them."""
    if not isinstance(box, list) or not all(type(value) in {int, float} for value in box):
        return None
    if len(box) == 6 and len(names) == 4:
        box = [*box[:2], *box[3:5]]
    return dict(zip(names, map(float, box), strict=True)) if len(box) == len(names) else None


def _leaves(kind: pa.DataType) -> int:
    return max(1, sum(_leaves(kind.field(at).type) for at in range(kind.num_fields)))
