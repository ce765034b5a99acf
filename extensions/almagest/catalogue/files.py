"""Files that we make, on their way into the store: complete and on disk before anything names them.

A file lies under the hash of its bytes. So what is made twice lies there once, what lies there never changes, and a job
that is done again after a crash finds what it had left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from almagest.catalogue.registering.files import Content, read_file
from almagest.core.errors import StorageFullError
from almagest.core.settings import Settings

_FOLDER = "results"
_FULL = {28, 122}  # ENOSPC, EDQUOT


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
            if error.errno not in _FULL:
                raise
            raise StorageFullError(f"No space is left in {settings.store_path} for {path.name}.") from None
    return target.as_uri(), content


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
        _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _upload(settings: Settings, path: Path, place: str) -> str:
    from almagest.catalogue.bucket import open_bucket

    # Complete or not there at all: that is what S3 promises.
    open_bucket(settings).put(place, path)
    return f"s3://{settings.s3.bucket}/{place}"
