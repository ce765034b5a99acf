"""Items that wait on disk for the end of their job."""

from __future__ import annotations

import itertools
import tempfile
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almagest.core.errors import StorageFullError
from almagest.pipelines import spool
from almagest.pipelines.spool import Spool

NAMES = st.tuples(st.sampled_from(["a", "b", "ä/"]), st.sampled_from(["1", "2", "3", "4"]))


def item(collection: str, identifier: str, **more: Any) -> dict[str, Any]:
    return {"collection": collection, "id": identifier, **more}


@given(st.lists(st.tuples(NAMES, st.text(), st.booleans())), st.integers(1, 3))
def test_all_come_back_as_they_were_added_last(
    tmp_path_factory: Any, added: list[tuple[tuple[str, str], str, bool]], at_once: int
) -> None:
    """However they are added while others are read, and however few are read at once."""
    held = Spool(tmp_path_factory.getbasetemp())
    expected = {}
    spool._DOCUMENTS, before = at_once, spool._DOCUMENTS
    try:
        for name, text, is_read in added:
            expected[name] = item(*name, text=text)
            held.add(expected[name])
            if is_read:
                next(held.parts())
        parts = list(held.parts())
    finally:
        spool._DOCUMENTS = before
        held.close()
    assert [each for part in parts for each in part] == [expected[name] for name in sorted(expected)]
    assert all(0 < len(part) <= at_once and len({each["collection"] for each in part}) == 1 for part in parts)
    assert (len(held), list(held.names)) == (len(expected), list(expected))


def test_what_is_added_while_all_are_read_counts_the_next_time(tmp_path: Path) -> None:
    held = Spool(tmp_path)
    for number in range(5000):
        held.add(item("a", f"{number:04}", number=number))
    for part in held.parts():
        for each in part:
            held.add({**each, "number": -each["number"]})
    assert [each["number"] for part in held.parts() for each in part] == [-number for number in range(5000)]
    held.close()


def test_it_holds_little_in_memory_and_leaves_nothing_behind(tmp_path: Path) -> None:
    held = Spool(tmp_path)
    tracemalloc.start()
    for number in range(3000):
        held.add(item("a", str(number), text="x" * 10_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3_000_000, "a tenth of what was added"
    assert not list(tmp_path.iterdir())
    held.close()
    Spool(tmp_path).close()


def test_few_of_what_is_large_are_read_at_once(tmp_path: Path) -> None:
    held = Spool(tmp_path)
    for number in range(5):
        held.add(item("a", str(number), text="x" * (6 << 20)))
    held.add(item("a", "5", text="x" * (40 << 20)))
    assert [len(part) for part in held.parts()] == [2, 2, 1, 1]
    held.close()


def test_a_full_disk_says_so_and_can_be_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("w+b"))  # noqa: SIM115
    held = Spool(tmp_path)
    held.add(item("a", "0", text="what fits into a buffer"))
    with pytest.raises(StorageFullError, match="No space is left for the results"):
        held.add(item("a", "1", text="x" * 1_000_000))
    held.close()


def test_it_is_added_to_while_it_is_read(tmp_path: Path) -> None:
    held = Spool(tmp_path)
    for number in range(500):
        held.add(item("a", str(number), number=number))

    def add() -> None:
        for number in range(500, 3000):
            held.add(item("b", str(number), number=number))

    with ThreadPoolExecutor() as beside:
        adding = beside.submit(add)
        while not adding.done():
            for part in itertools.islice(held.parts(), 1):
                assert all(str(each["number"]) == each["id"] for each in part)
        adding.result()
    held.close()
