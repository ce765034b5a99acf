"""Files that we make, on their way into the store: complete and on disk before anything names them.

A file lies under the hash of its bytes. So what is made twice lies there once, what lies there never changes, and a job
that is done again after a crash finds what it had left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from almagest.catalogue.assets import Store
from almagest.catalogue.bucket import open_bucket
from almagest.catalogue.registering.files import Content, read, read_file
from almagest.core.disk import FULL, flush_folder
from almagest.core.errors import NotFoundError, StorageFullError
from almagest.core.hrefs import HrefPolicy, s3_href, s3_key
from almagest.core.settings import Settings

_FOLDER = "results"


def keep(settings: Settings, path: Path) -> tuple[str, Content]:
    """Puts a file into the store, where it stays.

    Args:
        settings: say where: in the bucket, if there is one, or in the folder.
        path: of a file that nobody writes to any more.

    Returns:
        Its href there, and what it holds.

    Raises:
        StorageFullError: the disk is full; nothing is left behind.
        ConflictError: somebody writes to it.
        OSError: it cannot be read, or the store cannot be written to.
    """
    content = read_file(path)
    digest = content.checksum[4:]  # without what says that it is SHA-256
    place = f"{_FOLDER}/{digest[:2]}/{digest}/{path.name}"
    if settings.s3.bucket:
        return _upload(settings, path, place), content
    target = settings.store_path / place
    if not (target.is_file() and target.stat().st_size == content.size):
        try:
            _copy(path, target)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise StorageFullError(f"No space is left in {settings.store_path} for {path.name}.") from None
    return target.as_uri(), content


def look(settings: Settings, href: str) -> Content:
    """What a file of the store holds.

    Raises:
        NotFoundError: there is no such file in the store.
    """
    path = _place(settings, href)
    if isinstance(path, Path):
        return read_file(path)
    with _asked(href):
        found = open_bucket(settings).get(path)
        return read(iter(found), found.meta["last_modified"])


def fetch(settings: Settings, href: str, folder: Path) -> Path:
    """Where a file of the store can be read: where it lies, or as a copy in ``folder``.

    Raises:
        NotFoundError: there is no such file in the store.
    """
    path = _place(settings, href)
    if isinstance(path, Path):
        return path
    copy = folder / PurePosixPath(path).name
    with _asked(href), copy.open("wb") as file:
        for chunk in open_bucket(settings).get(path):
            file.write(chunk)
    return copy


def _place(settings: Settings, href: str) -> Path | str:
    """The path of a stored file, or its key in the bucket."""
    if reason := Store(settings).why_not(href):
        raise NotFoundError(f"{reason}.")
    if key := s3_key(href, settings.s3.bucket):
        return key
    return Path(HrefPolicy.of(settings).stored(href))


@contextmanager
def _asked(href: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:  # what obstore raises, too
        raise NotFoundError(f"There is no {href}.") from None


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    descriptor, name = tempfile.mkstemp(prefix=".", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as copy, path.open("rb") as file:
            shutil.copyfileobj(file, copy, 4 << 20)
            copy.flush()
            os.fchmod(copy.fileno(), 0o644)
            os.fsync(copy.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    # The name, too, must be there after a power cut.
    for folder in (target.parent, target.parent.parent, target.parent.parent.parent):
        flush_folder(folder)


def _upload(settings: Settings, path: Path, place: str) -> str:
    # Complete or not there at all: that is what S3 promises.
    open_bucket(settings).put(place, path)
    return s3_href(settings.s3.bucket, place)
