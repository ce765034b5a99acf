"""Links by which anybody can read one object of a private bucket for a while."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from almagest.catalogue.bucket import open_bucket
from almagest.core import secrets
from almagest.core.hrefs import HrefRefusedError, s3_key
from almagest.core.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Store

Method = Literal["GET", "HEAD"]


class Presigner:
    """Signs links to the objects of our own bucket. Signing is arithmetic: nothing is asked over the network."""

    def __init__(self, settings: Settings) -> None:
        """Needs no bucket yet.

        Args:
            settings: the bucket, and where its keys lie.

        Raises:
            ConfigurationError: there is a bucket, but its keys are missing.
        """
        self._settings = settings
        if settings.s3.bucket:
            secrets.bucket_keys(settings.secrets)

    def link(self, location: str, method: Method) -> str:
        """A link to an object, for one method.

        Raises:
            HrefRefusedError: it is no object of our bucket, or a file of a single caller.
        """
        key = s3_key(location, self._settings.s3.bucket)
        if key is None:
            raise HrefRefusedError
        return self.own(key, method)

    def own(self, key: str, method: Method) -> str:
        """A link to an object by its key, where somebody has made sure that it is meant for who asks."""
        import obstore

        return obstore.sign(self._store, method, key, timedelta(seconds=self._settings.s3.link_seconds))

    @cached_property
    def _store(self) -> S3Store:
        return open_bucket(self._settings)
