"""Files of the store: where they lie, as hrefs say it, and what they hold. Nothing outside of it is ever opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from almagest.catalogue.registering.files import Content, read, read_file
from almagest.core.errors import NotFoundError, StoreUnavailableError
from almagest.core.hrefs import HrefPolicy, HrefRefusedError, s3_href, s3_key
from almagest.core.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Store

_CHUNK = 8 << 20


class Files:
    """The files of one store.

    Args:
        settings: of this catalogue.
        bucket: how it is opened, where not as the settings say.
    """

    def __init__(self, settings: Settings, bucket: S3Store | None = None) -> None:
        self._settings = settings
        self._policy = HrefPolicy.of(settings)
        self._opened = bucket

    def href(self, place: str) -> str:
        """The href of what lies at a place.

        Args:
            place: a path, relative ones below the store; or an href, `file:///…` or `s3://…`, the latter also with the
                key as it is, where that makes it no href.

        Raises:
            HrefRefusedError: no file of the store lies there.
        """
        if place.startswith("s3://"):
            bucket = self._settings.s3.bucket
            key = s3_key(place, bucket)
            if key is None:
                raise HrefRefusedError
            return s3_href(bucket, key)
        if not place.startswith("file:"):
            place = self._as_file(place)
        self._policy.stored(place)
        return place

    def read(self, href: str) -> Content:
        """What a file of the store holds.

        Raises:
            HrefRefusedError: there is none, or it cannot be read.
            StoreUnavailableError: the bucket does not answer.
        """
        key = s3_key(href, self._settings.s3.bucket)
        if key is not None:
            return self._object(key)
        try:
            return read_file(self._policy.stored(href))
        except OSError:
            raise HrefRefusedError from None

    def _as_file(self, place: str) -> str:
        path = self._settings.store_path / place
        try:
            real = self._policy.stored(str(path))
            # As it is spelled: what a root leads to may be another disk next year.
            is_below = any(path.is_relative_to(root) for root in self._settings.file_roots)
            return (path if is_below else Path(real)).as_uri()
        except UnicodeError:
            raise HrefRefusedError from None

    def _object(self, key: str) -> Content:
        from obstore import get
        from obstore.exceptions import BaseError

        if self._opened is None:
            from almagest.catalogue.bucket import open_bucket

            self._opened = open_bucket(self._settings)
        try:
            found = get(self._opened, key)
            return read(map(bytes, found.stream(_CHUNK)), found.meta["last_modified"])
        except FileNotFoundError:
            raise HrefRefusedError from None
        except BaseError as error:
            raise StoreUnavailableError from error


def not_stored(place: object, settings: Settings) -> NotFoundError:
    """What is said to somebody on this machine whose file does not lie in the store."""
    bucket = f", or into the bucket {settings.s3.bucket}" if settings.s3.bucket else ""
    return NotFoundError(
        f"{place} is no file of the store: put it below {settings.store_path} (ALMAGEST_STORE, or a folder of"
        f" ALMAGEST_STORE_ROOTS){bucket}."
    )
