"""stac-geoparquet: what was written is read back exactly, and other readers find what the standard promises."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from almagest.catalogue.exchange import Record, Unreadable, open_source, writer
from almagest.catalogue.exchange.tables import EXACT
from support import data


def written(items: Iterable[Any], target: Path) -> Path:
    with writer("geoparquet", target) as out:
        for item in items:
            out.write(item)
    return target


def read(path: Path) -> list[Any]:
    readings = list(open_source(path).items())
    assert all(isinstance(reading, Record) for reading in readings), readings[:1]
    return [json.loads(reading.data) for reading in readings if isinstance(reading, Record)]


def exactly(value: Any) -> str:
    """Equal for equal JSON: true is not 1, but 1.0 is."""

    def plain(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: plain(part) for key, part in inner.items()}
        if isinstance(inner, list):
            return [plain(part) for part in inner]
        return int(inner) if isinstance(inner, float) and inner.is_integer() else inner

    return json.dumps(plain(value), sort_keys=True)


def item(identifier: str = "a", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "geometry": {"type": "Point", "coordinates": [1.5, 2]},
        "bbox": [1.5, 2, 1.5, 2],
        "properties": {"datetime": "2024-01-02T03:04:05.678Z"},
        "links": [],
        "assets": {},
    }
    made.update(changes)
    return made


def names() -> list[str]:
    folder = data.DATA / "stac"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.ndjson.gz")) or [""]


@pytest.mark.parametrize("name", names())
def test_all_real_items_come_back_as_they_were(name: str, shared_data: Path, tmp_path: Path) -> None:
    items = data.items(name.removesuffix(".ndjson.gz"))[:1500]
    items = [item for item in items if item.get("type") == "Feature"]
    assert [exactly(found) for found in read(written(items, tmp_path / "x.parquet"))] == [exactly(one) for one in items]


def test_real_items_of_all_kinds_in_one_file_come_back_as_they_were(shared_data: Path, tmp_path: Path) -> None:
    items = [one for name in names() for one in data.items(name.removesuffix(".ndjson.gz"))[:15]]
    items = [one for one in items if one.get("type") == "Feature"]
    assert [exactly(found) for found in read(written(items, tmp_path / "x.parquet"))] == [exactly(one) for one in items]


def test_items_that_agree_on_nothing_come_back_as_they_were(tmp_path: Path) -> None:
    values: list[Any] = [
        1,
        1.5,
        "1",
        True,
        None,
        [],
        {},
        [1, "a", None],
        {"a": {"b": 1}},
        {"a": 2},
        2**53 + 1,
        2**70,
        -0.5,
    ]
    items = [item(f"p{n}", properties={"datetime": None, "x": value}) for n, value in enumerate(values)]
    items += [item(f"l{n}", properties={"datetime": None, "y": [value]}) for n, value in enumerate(values)]
    items += [item(f"a{n}", assets={"data": {"href": "x", "z": value}}) for n, value in enumerate(values)]
    times = ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000000Z", "2024-01-01T00:00:00.5+00:00", "2024", "", 3]
    times += ["2024-01-01T00:00:00.123456789Z", "2024-06-30T23:59:60Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
    items += [item(f"t{n}", properties={"datetime": time, "created": time}) for n, time in enumerate(times)]
    items += [
        item("3d", bbox=[1, 2, 3, 4, 5, 6], geometry={"type": "Point", "coordinates": [1, 2, 3]}),
        item("nowhere", geometry=None),
        item("open", geometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0]]]}),
        item("foreign", geometry={"type": "Point", "coordinates": [1, 2], "crs": "x"}, foreign={"a": 1}),
        item("collides", properties={"datetime": None, "id": 1, "links": 2, "geometry": 3, EXACT: 4, "properties": {}}),
        item("names", properties={"datetime": None, "": 1, "a.b": 2, "\0": 3, "ü\n": 4}, assets={"": {"href": "x"}}),
        item("half \ud800 pair", properties={"datetime": None, "s": "\udfff"}),
        item("proj", properties={"datetime": None, "proj:geometry": {"type": "Point", "coordinates": [1, 2]}}),
        {"id": "bare"},
        {key: value for key, value in item("without").items() if key not in {"bbox", "links", "assets"}},
    ]
    assert [exactly(found) for found in read(written(items, tmp_path / "x.parquet"))] == [exactly(one) for one in items]


def test_dated_asset_keys_do_not_make_a_column_each_for_ever(tmp_path: Path) -> None:
    items = [item(f"i{n}", assets={f"comparison:{n}": {"href": "a", "roles": ["data"]}}) for n in range(3000)]
    path = written(items, tmp_path / "x.parquet")
    assert pq.ParquetFile(path).metadata.num_columns < 4000
    assert read(path) == items


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.120Z"])
)
some_json = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
names_of_properties = st.sampled_from(["datetime", "created", "a", "b", "c", "type", "proj:geometry"])
some_items = st.lists(
    st.builds(
        item,
        st.text(max_size=4),
        properties=st.dictionaries(names_of_properties, some_json, max_size=4),
        assets=st.dictionaries(
            st.sampled_from(["x", "y", ""]), st.dictionaries(st.sampled_from("ab"), some_json), max_size=2
        ),
        links=st.lists(st.dictionaries(st.sampled_from(["rel", "href"]), some_json, max_size=2), max_size=2),
        bbox=st.lists(st.floats(-180, 180), min_size=3, max_size=6),
    ),
    min_size=1,
    max_size=5,
)


@given(some_items)
@budget(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_items_come_back_as_they_were(tmp_path: Path, items: list[Any]) -> None:
    assert [exactly(found) for found in read(written(items, tmp_path / "x.parquet"))] == [exactly(one) for one in items]


def test_collections_travel_in_the_metadata_and_nothing_makes_an_empty_table(tmp_path: Path) -> None:
    collection = {"type": "Collection", "id": "c", "none": None}
    with writer("geoparquet", tmp_path / "x.parquet") as out:
        out.write_collection(collection)
    source = open_source(tmp_path / "x.parquet")
    assert [json.loads(reading.data) for reading in source.collections() if isinstance(reading, Record)] == [collection]
    assert read(tmp_path / "x.parquet") == []


def test_a_file_that_others_wrote_is_read(shared_data: Path, tmp_path: Path) -> None:
    from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

    items = data.items("colorado/landsat-c2-l2")[:50]
    to_parquet(parse_stac_items_to_arrow(items), tmp_path / "theirs.parquet")
    found = read(tmp_path / "theirs.parquet")
    assert [one["id"] for one in found] == [one["id"] for one in items]
    assert [one["geometry"] for one in found] == [one["geometry"] for one in items]
    assert [set(one["assets"]) for one in found] == [set(one["assets"]) for one in items]
    assert all(one["properties"]["datetime"].endswith("Z") and one["links"] for one in found)


def test_others_read_what_was_written(shared_data: Path, tmp_path: Path) -> None:
    import geopandas
    from stac_geoparquet.arrow import stac_table_to_items

    items = data.items("colorado/sentinel-2-l2a")[:200]
    path = written(items, tmp_path / "ours.parquet")
    table = pq.read_table(path)
    assert EXACT not in table.column_names, "plain items need no notes"
    for ours, theirs in zip(items, stac_table_to_items(table), strict=True):
        assert theirs["id"] == ours["id"]
        assert theirs["geometry"] == ours["geometry"]
        assert theirs["bbox"] == ours["bbox"]
        assert theirs["properties"]["eo:cloud_cover"] == ours["properties"]["eo:cloud_cover"]
        assert theirs["assets"]["B04"]["href"] == ours["assets"]["B04"]["href"]
    frame = geopandas.read_parquet(path)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.iloc[0].bounds == pytest.approx(items[0]["bbox"])
    assert str(frame["datetime"].dt.tz) == "UTC"


def test_what_is_no_table_of_items_is_unreadable_and_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    import pyarrow as pa

    (tmp_path / "noise.parquet").write_bytes(b"PAR1 noise")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    for name in ("noise", "other"):
        assert [type(reading) for reading in open_source(tmp_path / f"{name}.parquet").items()] == [Unreadable]

    def items() -> Iterator[Any]:
        yield item()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        written(items(), tmp_path / "new.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"noise.parquet", "other.parquet"}


#: Columns that say nothing of an item, by what is odd about them: rows of three items, of which the second is hit.
ODD: dict[str, Any] = {
    "thumb": [None, b"\xff\xd8hello", None],
    "price": [None, Decimal("1.5"), None],
    "took": [None, timedelta(1), None],
    "geometry": [None, b"no WKB", None],
    EXACT: [None, "5", None],
    **{
        f"{EXACT} {note[:30]}": [None, note, None]
        for note in ('[[["a","b"],1]]', '[[["properties","zz"]]]', '[[[["x"]],1]]', "[" * 100_000)
    },
}


@pytest.mark.parametrize("name", ODD)
def test_a_row_that_says_what_json_cannot_is_unreadable_and_the_others_are_not(name: str, tmp_path: Path) -> None:
    import pyarrow as pa

    column = name.split(" ")[0]
    pq.write_table(pa.table({"id": ["a", "b", "c"], column: ODD[name]}), tmp_path / "x.parquet")
    first, second, third = open_source(tmp_path / "x.parquet").items()
    assert [json.loads(one.data)["id"] for one in (first, third) if isinstance(one, Record)] == ["a", "c"]
    assert isinstance(second, Unreadable)
    assert second.where == "x.parquet (row 2)"
    assert f"`{column}`" in second.reason


@pytest.mark.parametrize(
    ("columns", "metadata", "kinds"),
    [
        ([("id", ["a"]), ("x", ["1"]), ("x", ["2"])], None, [Unreadable]),
        ([("id", ["a"]), (EXACT, [5])], None, [Unreadable]),
        ([("id", ["a"])], '{"times": {"datetime": 5}}', [Unreadable]),
        ([("id", ["a"]), ("datetime", [datetime(2024, 1, 1)])], '{"times":{"datetime":["a","Z"]}}', [Unreadable]),  # noqa: DTZ001
        ([("id", ["a"])], "[" * 100_000, [Record]),
    ],
)
def test_a_table_that_was_made_to_do_harm_is_one_that_cannot_be_read(
    columns: list[tuple[str, list[Any]]], metadata: str | None, kinds: list[type], tmp_path: Path
) -> None:
    import pyarrow as pa

    table = pa.Table.from_arrays([pa.array(values) for _, values in columns], [name for name, _ in columns])
    pq.write_table(table.replace_schema_metadata({"almagest": metadata} if metadata else None), tmp_path / "x.parquet")
    source = open_source(tmp_path / "x.parquet")
    assert list(source.collections()) == []
    assert [type(reading) for reading in source.items()] == kinds


def test_columns_of_geometries_are_those_that_the_table_declares(tmp_path: Path) -> None:
    import pyarrow as pa
    import shapely

    wkb = shapely.to_wkb(shapely.Point(1, 2))
    table = pa.table({"id": ["a"], "middle": [wkb], "geometry": [wkb]})
    geo = {"columns": {"middle": {"encoding": "WKB"}}}
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), tmp_path / "x.parquet")
    [found] = read(tmp_path / "x.parquet")
    assert found["geometry"] == found["properties"]["middle"] == {"type": "Point", "coordinates": [1.0, 2.0]}
