"""Bytes of files that callers keep: in while they stream, whole and on the disk before a row names them, out after it.

Each file lies under a key of its own, ``own-files/<owner>/<chance>``, which is never used again: what one owner removes
or replaces touches nothing else, whatever its bytes are.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from types import TracebackType
from urllib.parse import quote

from almagest.catalogue.bucket import open_bucket
from almagest.catalogue.contents import HEAD_BYTES, media_type
from almagest.core.disk import FULL, flush_folder
from almagest.core.errors import NotFoundError, StorageFullError, StoreUnavailableError, TooLargeError
from almagest.core.hrefs import OWN_FILES, s3_href
from almagest.core.settings import Settings

#: Where bytes lie until all of them are there.
_INCOMING = ".incoming"
#: What programs look at to see which kind of file one is: the end of its name goes along.
_ENDING = re.compile(r"\.[a-z0-9]{1,8}", re.ASCII)


@dataclass(frozen=True)
class Kept:
    """Bytes that are in the store."""

    key: str
    size: int
    sha256: bytes
    media_type: str


class Incoming:
    """A file on its way in. Unless it is kept, nothing of it is left behind."""

    def __init__(self, settings: Settings, most_bytes: int | None, refusal: str) -> None:
        """Takes bytes from now on.

        Args:
            settings: say where the store is.
            most_bytes: how many there may be.
            refusal: what is said when there are more.

        Raises:
            StorageFullError: the disk is full.
        """
        self._settings, self._most, self._refusal = settings, most_bytes, refusal
        self._digest = hashlib.sha256()
        self._head = b""
        self.size = 0
        self._folder = settings.store_path / OWN_FILES
        with _full(self._folder):
            (self._folder / _INCOMING).mkdir(parents=True, exist_ok=True, mode=0o755)
            descriptor, name = tempfile.mkstemp(dir=self._folder / _INCOMING)
        self._file, self._path = os.fdopen(descriptor, "wb"), Path(name)

    def write(self, data: bytes) -> None:
        """Takes the next bytes.

        Raises:
            TooLargeError: these are more than there may be.
            StorageFullError: the disk is full.
        """
        self.size += len(data)
        if self._most is not None and self.size > self._most:
            raise TooLargeError(self._refusal)
        self._digest.update(data)
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + data)[:HEAD_BYTES]
        with _full(self._folder):
            self._file.write(data)

    @property
    def sha256(self) -> bytes:
        """Of all bytes so far."""
        return self._digest.digest()

    def keep(self, subject: str, name: str) -> Kept:
        """Puts it into the store: all of it, under its name there, also after a power cut.

        Args:
            subject: whose it is.
            name: what he calls it.

        Raises:
            StorageFullError: the disk is full.
            StoreUnavailableError: the bucket does not take it.
        """
        ending = _ENDING.fullmatch(PurePosixPath(name.lower()).suffix)
        key = f"{_folder_of(subject)}/{uuid.uuid4().hex}{ending[0] if ending else ''}"
        kind = media_type(name, self._head)
        with _full(self._folder):
            self._file.flush()
            if not self._settings.s3.bucket:
                self._settle(self._settings.store_path / key)
        if self._settings.s3.bucket:
            self._upload(key, kind, name)
        return Kept(key, self.size, self.sha256, kind)

    def _settle(self, target: Path) -> None:
        is_new = not target.parent.exists()
        target.parent.mkdir(exist_ok=True, mode=0o755)
        os.fchmod(self._file.fileno(), 0o644)
        os.fsync(self._file.fileno())
        self._path.rename(target)
        flush_folder(target.parent)
        if is_new:
            flush_folder(self._folder)
            flush_folder(self._folder.parent)

    def _upload(self, key: str, kind: str, name: str) -> None:
        attributes = {"Content-Type": kind, "Content-Disposition": attachment(name)}
        with _asked():
            # Complete or not there at all: that is what S3 promises.
            open_bucket(self._settings).put(key, self._path, attributes=attributes)

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with _full(self._folder):
                self._file.close()  # writes what is left in its buffer, if nobody wants it any more
        except StorageFullError:
            if error is None:
                raise
        finally:
            self._path.unlink(missing_ok=True)


def href(settings: Settings, key: str) -> str:
    """What a process calls a file that its caller keeps."""
    if settings.s3.bucket:
        return s3_href(settings.s3.bucket, key)
    return (settings.store_path / key).as_uri()


def key_of(settings: Settings, href: str) -> str | None:
    """The key of a file that somebody keeps; None for hrefs of all else."""
    begin = f"s3://{settings.s3.bucket}/" if settings.s3.bucket else f"{settings.store_path.as_uri()}/"
    key = href.removeprefix(begin)
    return key if href.startswith(begin) and key.startswith(f"{OWN_FILES}/") else None


def fetch(settings: Settings, key: str, subject: str, folder: Path) -> Path:
    """Where somebody can read a file of his own: where it lies, or as a copy in ``folder``.

    Raises:
        NotFoundError: there is none, or it is somebody else's: who asks cannot tell.
    """
    owner, _, name = key.rpartition("/")
    is_his = owner == _folder_of(subject) and re.fullmatch(r"[0-9a-f]{32}(\.[a-z0-9]{1,8})?", name, re.ASCII)
    refusal = f"You keep no file under {href(settings, key)}: `GET /ops/files` tells under which yours lie."
    if not is_his:
        raise NotFoundError(refusal)
    if not settings.s3.bucket:
        path = settings.store_path / key
        if not path.is_file():
            raise NotFoundError(refusal)
        return path
    copy = folder / name
    try:
        with _asked(), copy.open("wb") as file:
            for chunk in open_bucket(settings).get(key):
                file.write(chunk)
    except FileNotFoundError:
        raise NotFoundError(refusal) from None
    return copy


def discard(settings: Settings, key: str) -> None:
    """Removes bytes that no row names any more.

    Raises:
        StoreUnavailableError: they are still there; :func:`older_than` will find them.
    """
    (settings.store_path / key).unlink(missing_ok=True)
    if settings.s3.bucket:
        with _asked():
            open_bucket(settings).delete(key)


def older_than(settings: Settings, age: timedelta, at_once: int = 1000) -> Iterator[list[str]]:
    """Keys of all that has lain here for so long, in batches, also of what never came in whole.

    Raises:
        StoreUnavailableError: the bucket does not tell.
    """
    until = datetime.now(UTC) - age
    batch: list[str] = []
    for key, changed in _everything(settings):
        if changed < until:
            batch.append(key)
        if len(batch) >= at_once:
            yield batch
            batch = []
    if batch:
        yield batch


def attachment(name: str) -> str:
    """A Content-Disposition that saves a file under its name, whatever signs that has (RFC 6266, RFC 8187)."""
    plain = re.sub(r'[^ !#-\[\]-~]|["%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _everything(settings: Settings) -> Iterator[tuple[str, datetime]]:
    root = settings.store_path
    for path in (root / OWN_FILES).rglob("*"):
        try:
            changed = path.lstat().st_mtime
        except FileNotFoundError:  # gone meanwhile
            continue
        if not path.is_dir():
            yield path.relative_to(root).as_posix(), datetime.fromtimestamp(changed, UTC)
    if settings.s3.bucket:
        with _asked():
            for objects in open_bucket(settings).list(f"{OWN_FILES}/"):
                yield from ((found["path"], found["last_modified"]) for found in objects)


def _folder_of(subject: str) -> str:
    """The name does not tell who it is."""
    return f"{OWN_FILES}/{hashlib.sha256(subject.encode()).hexdigest()[:32]}"


@contextmanager
def _full(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFullError(f"No space is left in {folder.parent}. Nothing of this file is kept.") from None


@contextmanager
def _asked() -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError:  # one of obstore's, too
        raise
    except BaseError as error:
        raise StoreUnavailableError() from error
