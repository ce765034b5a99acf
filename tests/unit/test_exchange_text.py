"""Documents from JSON text, however it is wrapped, and out to it."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almagest.catalogue.exchange import Reading, Record, Unreadable, open_source, writer
from almagest.catalogue.exchange.streams import values
from almagest.core.errors import BadRequestError, NotFoundError

ITEMS = [{"type": "Feature", "id": f"i{n}", "note": 'ü "]},{" \\'} for n in range(30)]
COLLECTION = {"type": "Collection", "id": "c", "stac_version": "1.1.0"}


def parsed(readings: Any) -> list[Any]:
    return [json.loads(reading.data) for reading in readings if isinstance(reading, Record)]


def unreadable(readings: Any) -> list[Reading]:
    return [reading for reading in readings if isinstance(reading, Unreadable)]


def lines(documents: list[Any]) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.ndjson", lines([COLLECTION, *ITEMS])),
        ("a.jsonl", "\ufeff" + lines([*ITEMS, COLLECTION]).replace("\n", "\r\n\r\n")),
        ("a.json", lines([*ITEMS, COLLECTION])),
        ("a.json", json.dumps({"features": [*ITEMS, COLLECTION], "links": [], "type": "FeatureCollection"}, indent=2)),
        ("a.geojson", json.dumps([*ITEMS, COLLECTION])),
        ("a.json", "\n\n".join(json.dumps(document, indent=1) for document in [*ITEMS, COLLECTION])),
        ("a.ndjson", lines([{"type": "FeatureCollection", "features": [*ITEMS, COLLECTION]}])),
        ("a.json", json.dumps({"collections": [COLLECTION], "links": []}) + json.dumps(ITEMS)),
    ],
)
@pytest.mark.parametrize("is_gzipped", [False, True])
def test_items_and_collections_are_found_however_they_are_wrapped(
    name: str, text: str, is_gzipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / (f"{name}.gz" if is_gzipped else name)
    path.write_bytes(gzip.compress(text.encode()) if is_gzipped else text.encode())
    source = open_source(path)
    assert source.name == str(path)
    assert parsed(source.collections()) == [COLLECTION]
    assert parsed(source.items()) == ITEMS
    assert source.fraction() == 1.0


def test_one_item_alone_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(ITEMS[0], indent=2))
    assert [reading.where for reading in open_source(tmp_path / "one.json").items()] == ["one.json"]
    (tmp_path / "two.ndjson").write_text("\n" + lines(ITEMS[:2]))
    assert [reading.where for reading in open_source(tmp_path / "two.ndjson").items()] == [
        "two.ndjson:2",
        "two.ndjson:3",
    ]


def test_lines_are_bytes_as_they_came_even_broken_ones(tmp_path: Path) -> None:
    odd = [b'{"id": "a",  "n": 1.50, "n": 2e400}', b"{broken", b"\xff\xfe", b"null"]
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(odd))
    assert [
        reading.data for reading in open_source(tmp_path / "a.ndjson").items() if isinstance(reading, Record)
    ] == odd


def test_what_is_damaged_stands_in_the_place_of_what_was_lost(tmp_path: Path) -> None:
    array = json.dumps(ITEMS)
    cut = tmp_path / "cut.json"
    cut.write_text(array[: len(array) // 2])
    found = list(open_source(cut).items())
    assert parsed(found) == ITEMS[: len(found) - 1]
    assert "is not JSON" in unreadable(found)[0].reason  # type: ignore[union-attr]
    zipped = tmp_path / "cut.ndjson.gz"
    zipped.write_bytes(gzip.compress(lines(ITEMS).encode())[:-20])
    assert "breaks off" in unreadable(open_source(zipped).items())[-1].reason  # type: ignore[union-attr]
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    assert unreadable(open_source(deep).items())


def test_a_folder_is_all_its_documents_by_name(tmp_path: Path) -> None:
    for name, documents in {"b/2.json": [ITEMS[1]], "a.ndjson": [COLLECTION, ITEMS[0]], ".hidden/x.json": [{}]}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(lines(documents))
    (tmp_path / "picture.tif").write_bytes(b"II*")
    source = open_source(tmp_path)
    assert parsed(source.items()) == ITEMS[:2]
    assert [reading.where for reading in source.items()] == ["a.ndjson:2", "b/2.json:1"]
    assert parsed(source.collections()) == [COLLECTION]


def test_what_is_not_there_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_source(tmp_path / "nothing")
    with pytest.raises(BadRequestError):
        open_source(tmp_path)


@pytest.mark.parametrize("is_gzipped", [False, True])
def test_standard_input_gives_collections_first_as_files_do(is_gzipped: bool) -> None:
    text = lines([*ITEMS, COLLECTION]).encode()
    script = (
        "from almagest.catalogue.exchange import open_source; s = open_source('-');"
        "print(len(list(s.collections())), len(list(s.items())), s.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=gzip.compress(text) if is_gzipped else text,
        capture_output=True,
        check=True,
    )
    assert done.stdout.split() == [b"1", b"30", b"-"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=6), st.sampled_from([None, 1]))
def test_any_documents_come_out_of_an_array_as_they_went_in(documents: list[Any], indent: int | None) -> None:
    text = json.dumps(documents, indent=indent).encode()
    assert parsed(values(io.BytesIO(text), "x")) == documents


@pytest.mark.parametrize("name", ["out.ndjson", "out.ndjson.gz"])
def test_what_is_written_as_lines_is_read_back_and_is_there_only_when_complete(name: str, tmp_path: Path) -> None:
    target = tmp_path / name
    strange = {"type": "Feature", "id": "\ud800", "big": 2**80, "none": None, "float": 1.0}
    with writer("ndjson", target) as out:
        out.write_collection(COLLECTION)
        for item in [*ITEMS, strange]:
            out.write(item)
        assert not target.exists()
    source = open_source(target)
    assert parsed(source.items()) == [*ITEMS, strange]
    assert parsed(source.collections()) == [COLLECTION]
    before = target.read_bytes()

    def broken_off() -> None:
        with writer("ndjson", target) as out:
            out.write(ITEMS[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_name_that_is_no_text_breaks_off_its_object(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text("{\n[1]:[2]}")
    [found] = open_source(tmp_path / "k.json").items()
    assert "Expecting a name" in found.reason  # type: ignore[union-attr]


def test_names_of_files_are_text_whatever_bytes_they_are(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xfe")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.ndjson")).write_text(lines(ITEMS[:1]))
    source = open_source(folder)
    assert source.name == f"{tmp_path}/\\udcfe"
    assert [reading.where for reading in source.items()] == ["\\udcff.ndjson:1"]
    assert parsed(source.items()) == ITEMS[:1]


def test_what_of_a_folder_cannot_be_opened_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.ndjson").write_text(lines(ITEMS[:1]))
    (tmp_path / "dangling.json").symlink_to(tmp_path / "gone")
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    os.mkfifo(tmp_path / "pipe.ndjson")
    (tmp_path / "closed").mkdir()
    listed = os.scandir

    def scandir(path: Any) -> Any:  # root may look into every folder
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = list(open_source(tmp_path).items())
    assert parsed(found) == ITEMS[:1]
    assert [reading.where for reading in unreadable(found)] == ["dangling.json", "loop.json", "pipe.ndjson", "closed"]


def test_a_location_that_leads_nowhere_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "loop1").symlink_to(tmp_path / "loop2")
    (tmp_path / "loop2").symlink_to(tmp_path / "loop1")
    for location in (tmp_path / "loop1", "a\0b", "~nobody-of-this-name/x"):
        with pytest.raises(BadRequestError, match="cannot be read"):
            open_source(location)
    script = "from almagest.catalogue.exchange import open_source; open_source('-')"
    done = subprocess.run(
        ["bash", "-c", 'exec "$0" -c "$1" <&-', sys.executable, script],
        capture_output=True,
        check=False,
    )
    assert done.stderr.endswith(b"BadRequestError: Standard input is closed.\n")


@pytest.mark.parametrize("is_named", [True, False])
def test_a_pipe_is_read_as_standard_input_is(is_named: bool, tmp_path: Path) -> None:
    text = lines([*ITEMS, COLLECTION])
    if is_named:
        path = tmp_path / "p.ndjson"
        os.mkfifo(path)
        threading.Thread(target=path.write_text, args=[text]).start()
    else:
        back, front = os.pipe()
        path = Path(f"/dev/fd/{back}")
        with os.fdopen(front, "w") as pipe:
            pipe.write(text)
    source = open_source(path)
    assert source.name == str(path)
    assert parsed(source.collections()) == [COLLECTION]
    assert parsed(source.items()) == ITEMS
