"""The asset that a file becomes: what it is, how large, and a hash of its bytes, by which it is known again."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote

from almagest.core.errors import BadRequestError, ConflictError

#: sha2-256, 32 bytes, as multihashes say it.
_SHA256 = "1220"
_CHUNK = 4 << 20
_HEAD = 64
OCTETS = "application/octet-stream"
_NETCDF, _HDF5 = "application/x-netcdf", "application/x-hdf5"
_GEOTIFF = "image/tiff; application=geotiff"

#: What files begin with, and what they are then.
BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"CDF\x01", _NETCDF),
    (b"CDF\x02", _NETCDF),
    (b"CDF\x05", _NETCDF),
    (b"\x89HDF\r\n\x1a\n", _HDF5),
    (b"II*\0", _GEOTIFF),
    (b"MM\0*", _GEOTIFF),
    (b"II+\0", _GEOTIFF),
    (b"MM\0+", _GEOTIFF),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"%PDF-", "application/pdf"),
    (b"\x1f\x8b", "application/gzip"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
)
#: What names end with. Of a content that several kinds of files share, the name tells which one it is.
ENDINGS = {
    ".nc": _NETCDF,
    ".nc4": _NETCDF,
    ".cdf": _NETCDF,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".tif": _GEOTIFF,
    ".tiff": _GEOTIFF,
    ".parquet": "application/vnd.apache.parquet",
    ".geojson": "application/geo+json",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".fgb": "application/vnd.flatgeobuf",
    ".gpkg": "application/geopackage+sqlite3",
    ".kml": "application/vnd.google-earth.kml+xml",
    ".webp": "image/webp",
}
#: Contents that files of other kinds begin with as well.
SHARED = {_HDF5: {_NETCDF}, "application/vnd.sqlite3": {ENDINGS[".gpkg"]}}


@dataclass(frozen=True)
class Content:
    """What reading a file from its beginning to its end has told.

    Attributes:
        size: in bytes.
        checksum: a multihash of them, in hex digits.
        head: its first bytes.
        changed: when it was written.
    """

    size: int
    checksum: str
    head: bytes
    changed: datetime


def plain(path: str | Path) -> Path:
    """An absolute path without `..`; links in it stay."""
    return Path(os.path.normpath(Path(path).absolute()))


def read_file(path: str | Path) -> Content:
    """Reads a file, once and piece by piece.

    Raises:
        BadRequestError: it is a folder, or a pipe.
        ConflictError: somebody writes to it.
        OSError: it cannot be read.
    """
    # Not blocking, or a named pipe would hold us for ever.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise BadRequestError(f"{path} is no file.")
        content = read(_chunks(file), datetime.fromtimestamp(before.st_mtime, UTC))
        after = os.fstat(file.fileno())
    if (content.size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ConflictError(f"{path} changed while it was read: register it once it is complete.")
    return content


def read(chunks: Iterable[bytes], changed: datetime) -> Content:
    """As :func:`read_file`, of bytes from elsewhere."""
    digest, size, head = hashlib.sha256(), 0, b""
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        if len(head) < _HEAD:
            head = (head + chunk)[:_HEAD]
    return Content(size, _SHA256 + digest.hexdigest(), head, changed)


def media_type(name: str, head: bytes) -> str:
    """What a file is, by its first bytes and its name."""
    ending = PurePosixPath(name.lower()).suffix
    by_name = ENDINGS.get(ending) or mimetypes.guess_type(f"a{ending}")[0]
    by_content = next((kind for begin, kind in BEGINNINGS if head.startswith(begin)), None)
    if by_content is None or by_name in SHARED.get(by_content, ()):
        return by_name or OCTETS
    return by_content


def asset_of(
    content: Content,
    href: str,
    *,
    kind: str | None = None,
    title: str | None = None,
    roles: Sequence[str] = ("data",),
    software: Mapping[str, str] | None = None,
    lineage: str | None = None,
) -> dict[str, Any]:
    """A file as an asset.

    Args:
        content: what it holds.
        href: where it lies.
        kind: its media type, where somebody knows better than its content and name.
        title: for people; its name if nobody says.
        roles: what it is for.
        software: what made it, by name, and in which version.
        lineage: how it was made, in words.
    """
    name = PurePosixPath(unquote(href) if "://" in href else href).name
    return {
        "href": href,
        "type": kind or media_type(name, content.head),
        "title": title or name,
        "roles": list(roles),
        "created": content.changed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "file:checksum": content.checksum,
        "file:size": content.size,
        **({"processing:software": dict(software)} if software else {}),
        **({"processing:lineage": lineage} if lineage else {}),
    }


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
