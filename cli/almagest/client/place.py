"""Which catalogue a notebook means."""

from __future__ import annotations


def api_and_key(url: str | None, key: str | None) -> tuple[str, str | None]:
    """Address of an API and the key to it: as they are given, else as the environment or the configuration says.

    Raises:
        ConfigurationError: nobody says where it is.
    """
    from almagest.core.configuration import Configuration
    from almagest.core.errors import ConfigurationError

    client = Configuration.load().client
    url = url or client.api_url
    if not url:
        raise ConfigurationError("Say where the catalogue is: api_url=…, or ALMAGEST_API_URL; or catalogue=….")
    if key is None and client.key is not None:
        key = client.key.get_secret_value()
    elif key is None and client.key_file is not None:
        key = client.key_file.read_text().strip()
    return url, key
