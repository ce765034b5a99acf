"""The bucket of the store, opened with its own keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almagest.core import secrets
from almagest.core.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Credential, S3Store


def open_bucket(settings: Settings) -> S3Store:
    """The bucket that the settings name. Nothing is asked over the network yet."""
    from obstore.store import S3Store

    def credentials() -> S3Credential:
        access, secret = secrets.bucket_keys(settings.secrets)
        return {"access_key_id": access, "secret_access_key": secret, "token": None, "expires_at": None}

    s3 = settings.s3
    return S3Store(
        s3.bucket,
        endpoint=s3.address,
        region=s3.region,
        # Said out loud, since the library would take what is not said from the environment.
        virtual_hosted_style_request=False,
        skip_signature=False,
        credential_provider=credentials,
        client_options={"allow_http": s3.address.startswith("http:")},
    )
