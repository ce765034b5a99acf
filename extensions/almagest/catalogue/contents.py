"""What a file is, by its first bytes. Its name only tells apart what begins alike, or what is text in any case."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from almagest.catalogue.registering.files import BEGINNINGS, ENDINGS, OCTETS, SHARED

#: As much of a file is looked at.
HEAD_BYTES = 4096

_TEXT = "text/plain; charset=utf-8"
_GEOPACKAGE = ENDINGS[".gpkg"]
_SQLITE = "application/vnd.sqlite3"
_MORE: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (0, b"\xff\x4f\xff\x51", "image/jp2"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"fgb\x03fgb", ENDINGS[".fgb"]),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (257, b"ustar", "application/x-tar"),
)
#: Where SQLite notes whose file it is.
_APPLICATION_ID = slice(68, 72)
#: Texts of other kinds that names may tell of. None that a browser would run.
_TEXTS = {".csv": "text/csv", ".md": "text/markdown"}
_JSON = re.compile(r'\s*(\{\s*("|\}|$)|\[\s*([\[{"\d\]-]|$|true|false|null))')
_GEOJSON = re.compile(
    r'"type"\s*:\s*"(FeatureCollection|Feature|GeometryCollection|(Multi)?(Point|LineString|Polygon))"'
)
_NOT_TEXT = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def media_type(name: str, head: bytes) -> str:
    """The media type of a file, whatever its sender says.

    Args:
        name: of the file.
        head: its first :data:`HEAD_BYTES`.
    """
    ending = PurePosixPath(name.lower()).suffix
    if (binary := _by_beginning(head)) is not None:
        if binary == _SQLITE:
            return _GEOPACKAGE if head[_APPLICATION_ID] in {b"GPKG", b"GP10", b"GP11"} else _SQLITE
        named = ENDINGS.get(ending)
        return named if named is not None and named in SHARED.get(binary, ()) else binary
    return _of_text(ending, head)


def _by_beginning(head: bytes) -> str | None:
    found = next((kind for begin, kind in BEGINNINGS if head.startswith(begin)), None)
    return found or next((kind for at, mark, kind in _MORE if head.startswith(mark, at)), None)


def _of_text(ending: str, head: bytes) -> str:
    text = _decoded(head)
    if text is None:
        return OCTETS
    if _JSON.match(text):
        if ending == ".ndjson":
            return ENDINGS[ending]
        return ENDINGS[".geojson"] if _GEOJSON.search(text) else ENDINGS[".json"]
    return _TEXTS.get(ending, _TEXT)


def _decoded(head: bytes) -> str | None:
    """A text in UTF-8, of which the last character may be cut in two; None where it is none."""
    for end in range(len(head), max(len(head) - 4, -1), -1):
        try:
            text = head[:end].decode("utf-8-sig")
        except UnicodeDecodeError:
            if len(head) < HEAD_BYTES:
                return None
            continue
        return None if _NOT_TEXT.search(text) or not text else text
    return None
