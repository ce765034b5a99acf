"""Finding out what a source is."""

from __future__ import annotations

from collections.abc import Sequence

from almagest.catalogue.acceptance import Rules
from almagest.client.api import StacApi
from almagest.client.http import Http
from almagest.client.mirroring import feed
from almagest.client.mirroring.polling import Polling


def open_feed(
    http: Http,
    url: str,
    rules: Rules,
    collections: Sequence[str] | None = None,
    *,
    walk_every_s: float = 86_400.0,
) -> feed.ChangesFeed | Polling:
    """What follows the catalogue at an address.

    Args:
        http: asks it.
        url: of its API.
        rules: what documents are judged by.
        collections: these; None: all.
        walk_every_s: how often all of one that cannot tell of changes is gone through [s].

    Raises:
        ConfigurationError: there is no STAC API.
        UnauthorizedError: it wants a key, or another one.
        DatabaseUnavailableError: it does not answer.
    """
    api = StacApi.open(http, url)
    if feed.speaks(http, url.rstrip("/")):
        origin = api.root.rstrip("/").removesuffix("/api").removesuffix("/external")
        return feed.ChangesFeed(http, url.rstrip("/"), rules, origin, collections)
    return Polling(api, url.rstrip("/"), rules, collections, walk_every_s=walk_every_s)
