"""Catalogues elsewhere that a mirror follows."""

from almagest.client.mirroring.feed import ChangesFeed
from almagest.client.mirroring.opening import open_feed
from almagest.client.mirroring.polling import Polling

__all__ = ["ChangesFeed", "Polling", "open_feed"]
