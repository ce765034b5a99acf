"""The parts of an ingest that need no database."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import re
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almagest.catalogue import storing
from almagest.catalogue.acceptance import Rules, accept_collection
from almagest.catalogue.exchange import Record, Unreadable, open_source
from almagest.catalogue.extents import Extent, around, bare_collection, is_bare
from almagest.catalogue.ingest.batches import PART, WHOLE, Batch, cut, digest
from almagest.catalogue.ingest.checking import Terms, check, judged
from almagest.catalogue.ingest.options import Sources
from almagest.catalogue.ingest.seen import Seen, content_of, key_of
from almagest.catalogue.ingest.tally import SHOWN, Entry, Tally
from almagest.catalogue.rows import Base, RowMaker

RULES = Rules("http://127.0.0.1:8080")


def item(identifier: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": "scenes",
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "bbox": [1, 2, 1, 2],
        "properties": {"datetime": "2024-05-01T12:00:00Z"},
        "links": [],
        "assets": {},
        **changes,
    }


def line(document: Any) -> bytes:
    return json.dumps(document).encode()


@given(st.lists(st.binary(max_size=40)), st.integers(1, 7), st.integers(1, 100))
def test_batches_hold_every_document_once_and_in_order(data: list[bytes], size: int, most: int) -> None:
    batches = list(cut([Record(str(n), text) for n, text in enumerate(data)], size, most))
    assert [text for batch in batches for text in batch.data] == data
    assert [place for batch in batches for place in batch.places] == [str(n) for n in range(len(data))]
    assert [batch.number for batch in batches] == list(range(len(batches)))
    for batch in batches:
        assert 1 <= len(batch.data) <= size
        assert sum(map(len, batch.data[:-1])) < most


@pytest.mark.parametrize(("count", "sizes"), [(5000, [5000]), (5001, [1000] * 5 + [1])])
def test_a_source_that_is_not_long_is_one_batch(count: int, sizes: list[int]) -> None:
    batches = cut(Record(str(n), b"{}") for n in range(count))
    assert [len(batch.data) for batch in batches] == sizes


def test_no_more_is_read_ahead_than_a_batch_may_hold() -> None:
    source = (Record(str(n), bytes(10)) for n in range(WHOLE))
    first = next(cut(source, most=95))
    assert len(first.data) == 10
    assert next(source).where == "10"


class _Watched(Record):
    """One that can be seen to be let go of."""


def test_what_was_handed_out_is_not_kept() -> None:
    known = weakref.WeakSet[Record]()

    def source() -> Iterator[Record]:
        for n in range(WHOLE + 1):
            record = _Watched(str(n), b"{}")
            known.add(record)
            yield record

    batches = cut(source())
    next(batches)
    assert len(known) <= WHOLE + 1 - PART + 2  # the one at hand, and the last that was read


def test_what_cannot_be_read_keeps_its_place() -> None:
    (batch,) = cut([Record("a", b"{}"), Unreadable("b", "it is torn"), Record("c", b"{}")])
    assert batch == Batch(0, ["a", "b", "c"], [b"{}", b"", b"{}"], [(1, "it is torn")])


@given(st.lists(st.binary(max_size=8)), st.lists(st.binary(max_size=8)))
def test_only_equal_batches_have_one_digest(one: list[bytes], other: list[bytes]) -> None:
    assert (digest(one) == digest(other)) == (one == other)
    assert digest(one, "a") != digest(one, "b")


def test_of_one_name_the_first_document_counts() -> None:
    key, other = key_of("scenes", "a"), key_of("scenes", "b")
    with Seen() as seen:
        assert seen.meet(key, content_of(b"1"), "x:1") is None
        assert seen.meet(other, content_of(b"1"), "x:2") is None
        assert seen.meet(key, content_of(b"1"), "x:3") == (True, "x:1")
        assert seen.meet(key, content_of(b"2"), "x:4") == (False, "x:1")
    assert key_of("a", "bc") != key_of("ab", "c")


def test_names_that_do_not_fit_into_memory_go_to_a_file_that_nobody_finds() -> None:
    with Seen() as seen:
        for n in range(50):
            seen.meet(key_of("scenes", str(n)), content_of(b""), "x" * 1_000_000)
        assert sum(_sizes_without_a_name()) > 10_000_000
        assert seen.meet(key_of("scenes", "0"), content_of(b""), "y") == (True, "x" * 1_000_000)


def _sizes_without_a_name() -> Iterator[int]:
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one by which the folder is listed
            if (found := file.stat()).st_nlink == 0:
                yield found.st_size


BOXES = st.tuples(st.floats(-180, 180), st.floats(-90, 0), st.floats(-180, 180), st.floats(0, 90)).map(list)
MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda moment: moment.year > 1).map(datetime.isoformat)


@given(st.lists(st.tuples(BOXES, MOMENTS), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_an_extent_does_not_depend_on_the_order_of_the_items(parts: list[Any], chance: Any) -> None:
    items = [item(bbox=box, properties={"datetime": moment}) for box, moment in parts]
    shuffled = chance.sample(items, len(items))
    assert around(items) == around(shuffled)
    found = around(items)
    for box, moment in parts:
        if box[0] <= box[2]:
            assert found.west <= box[0] <= box[2] <= found.east
        else:
            assert (found.west, found.east) == (-180, 180)
        when = datetime.fromisoformat(moment)
        assert datetime.fromisoformat(found.start) <= when <= datetime.fromisoformat(found.end)


def test_times_are_compared_as_times() -> None:
    early = item(properties={"datetime": "2024-01-01T01:00:00+02:00"})
    late = item(properties={"datetime": "2024-01-01T00:30:00Z"})
    leap = item(properties={"datetime": "2016-12-31T23:59:60Z"})
    found = around([late, early, leap])
    assert (found.start, found.end) == ("2016-12-31T23:59:60Z", "2024-01-01T00:30:00Z")
    span = item(
        properties={"datetime": None, "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2021-01-01T00:00:00Z"}
    )
    assert around([span]).end == "2021-01-01T00:00:00Z"


def test_a_bbox_with_heights_is_a_bbox() -> None:
    assert Extent.of(item(bbox=[1, 2, 100, 3, 4, 200])).as_json()["spatial"] == {"bbox": [[1, 2, 3, 4]]}


def test_a_bare_collection_is_valid_and_known_again_from_the_database() -> None:
    bare = bare_collection("scenes", around([item()]))
    accept_collection(bare, RULES)
    assert is_bare(json.loads(json.dumps(bare)))
    assert not is_bare({**bare, "title": "Scenes"})
    assert not is_bare(
        {**bare, "extent": {**bare["extent"], "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}}}
    )


@pytest.mark.parametrize(
    "extent",
    [
        None,
        {},
        {"spatial": {"bbox": []}, "temporal": {"interval": [["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]]}},
        {"spatial": {"bbox": [[]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]]}},
        {"spatial": {"bbox": [[None] * 4]}, "temporal": {"interval": [["2020-01-01T00:00:00Z"] * 2]}},
        {"spatial": {"bbox": [[1, 2, 3, 4]]}},
        {"spatial": {"bbox": [[1, 2, 3, 4]]}, "temporal": {"interval": []}},
    ],
)
def test_a_collection_of_another_tool_may_lack_its_extent(extent: Any) -> None:
    assert Extent.of_collection({"id": "scenes", "extent": extent}) is None
    assert Extent.of_collection({"id": "scenes"}) is None
    assert not is_bare({**bare_collection("scenes", around([item()])), "extent": extent})


def test_a_batch_is_judged_item_by_item() -> None:
    bad_time = item("late", properties={"datetime": "yesterday"})
    homeless, foreign = item("homeless"), item("foreign", collection="elsewhere")
    del homeless["collection"]
    data = [line(item("a")), b"{", b"", line([1]), line(bad_time), line(homeless), line(foreign), line(item("b"))]
    checked = check(data, Terms(RULES, known=frozenset({"scenes"})))
    assert checked.names == [("scenes", "a"), ("scenes", "b")]
    assert checked.positions == [0, 7]
    refused = {finding.position: finding.reason for finding in checked.findings}
    assert refused.keys() == {1, 3, 4, 5, 6}
    assert "not JSON" in refused[1]
    assert "/properties/datetime" in refused[4]
    assert "--collection ID" in refused[5]
    assert "--create-collections" in refused[6]
    assert [finding.id for finding in checked.findings] == [None, None, "late", "homeless", "foreign"]


def test_rows_are_made_of_items_whose_collections_are_known_well_enough() -> None:
    base = Base(1, 7, {"assets": {"red": {"title": "Red"}}})
    data = [line(item("a", assets={"red": {"href": "red.tif", "title": "Red"}})), line(item("b", collection="new"))]
    terms = Terms(RULES, create=True, known=frozenset({"scenes"}))
    row, none = check(data, terms, {"scenes": base}).rows
    assert row == RowMaker({"scenes": base}).row(json.loads(data[0]))
    assert none is None
    assert check(data, terms).rows == [None, None]


def test_items_without_a_collection_go_where_one_says() -> None:
    homeless = item("homeless")
    del homeless["collection"]
    terms = Terms(RULES, collection="scenes", known=frozenset({"scenes", "other"}))
    checked = check([line(homeless), line(item("settled", collection="other"))], terms)
    assert checked.names == [("scenes", "homeless"), ("other", "settled")]
    assert [finding[:4] for finding in checked.findings] == [(0, "mended", "scenes", "homeless")]
    assert "named no collection" in checked.findings[0].reason


@pytest.mark.parametrize("name", ["a/b", "", "x" * 2000, "almagest-canary"])
def test_no_collection_is_made_under_a_name_that_none_can_have(name: str) -> None:
    from almagest.catalogue.reserved import CANARY

    name = CANARY if name == "almagest-canary" else name
    checked = check([line(item(collection=name))], Terms(RULES, create=True))
    assert not checked.names
    assert not checked.extents
    assert checked.findings[0].kind == "refused"


def test_extents_are_of_collections_that_are_made_from_their_items() -> None:
    terms = Terms(RULES, create=True, known=frozenset({"old", "bare"}), settled=frozenset({"old"}))
    data = [line(item("a", collection=name)) for name in ("old", "bare", "new")]
    assert check(data, terms).extents.keys() == {"bare", "new"}


def test_equal_documents_count_as_equal_whatever_the_order_of_their_keys() -> None:
    turned = dict(reversed(item().items()))
    one, other = check([line(item())], Terms(RULES, create=True)), check([line(turned)], Terms(RULES, create=True))
    assert one.contents == other.contents
    assert one.digest != other.digest


def test_what_was_read_before_is_passed_over_or_refused_with_both_places() -> None:
    boxless = item("boxless")
    del boxless["bbox"]
    checked = check([line(item("a")), line(item("b")), line(boxless)], Terms(RULES, known=frozenset({"scenes"})))
    assert [finding.kind for finding in judged(checked, {})] == ["mended"]
    found = judged(checked, {0: (True, "x:1"), 1: (False, "x:2"), 2: (True, "x:3")})
    assert [(finding.position, finding.kind) for finding in found] == [(1, "refused")]
    assert "x:2" in found[0].reason


def test_the_report_has_every_line_and_people_see_the_first_ones() -> None:
    report, said = io.StringIO(), list[str]()
    tally = Tally(report, said.append)
    tally.note(Entry("refused", f"f:{n}", "scenes", "ü", "it is bad") for n in range(SHOWN + 5))
    tally.note([Entry("mended", "g", "scenes", "b", "its bbox is computed")])
    lines = [json.loads(text) for text in report.getvalue().splitlines()]
    assert len(lines) == SHOWN + 6
    assert lines[0] == {"kind": "refused", "file": "f:0", "collection": "scenes", "id": "ü", "reason": "it is bad"}
    assert lines[-1] == {
        "kind": "mended",
        "file": "g",
        "collection": "scenes",
        "id": "b",
        "remark": "its bbox is computed",
    }
    assert len(said) == SHOWN + 1
    assert "--report" in said[-1]


def test_the_summary_is_one_line() -> None:
    tally = Tally()
    tally.add(items=100_000, created=99_000, updated=900, unchanged=98, collections_created=1)
    tally.note(Entry("refused", "f", None, None, "bad") for _ in range(2))
    assert str(tally.totals) == (
        "1 collection: 1 created; 100,000 items: 99,000 created, 900 updated, 98 unchanged; 2 refused"
    )
    assert str(Tally().totals) == "0 items"


def test_several_sources_are_one(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.ndjson").write_bytes(line(item(name)) + b"\n")
    sources = Sources([open_source(tmp_path / f"{name}.ndjson") for name in "ab"])
    assert [json.loads(record.data)["id"] for record in sources.items() if isinstance(record, Record)] == ["a", "b"]
    assert sources.fraction() == 1
    assert sources.name.splitlines() == [str(tmp_path / "a.ndjson"), str(tmp_path / "b.ndjson")]


def test_a_password_is_not_shown_and_reaches_the_workers() -> None:
    from almagest.catalogue.ingest.line import Access

    access = Access("db", 5432, "almagest", password="hush")
    assert "hush" not in repr(access)
    assert pickle.loads(pickle.dumps(access)) == access


def test_what_a_line_cannot_reach_at_first_is_not_waited_for() -> None:
    from almagest.catalogue.ingest.line import Access, Line
    from almagest.core.errors import DatabaseUnavailableError

    said: list[str] = []
    with pytest.raises(DatabaseUnavailableError, match="port 1,"):
        Line(Access("127.0.0.1", 1, "x"), said.append).run(lambda connection: connection.execute("SELECT 1"))
    assert not said


def test_python_and_sql_take_as_many_items_for_few() -> None:
    """Else a transaction shares the lock of a collection, as the one counts, that it wants alone, as the other does."""
    put_items = Path(storing.__file__).parent / "sql" / "writes" / "functions" / "10_items.sql"
    assert re.findall(r"few CONSTANT int := (\d+);", put_items.read_text()) == [str(storing.FEW)]
