"""How much room is left where state lies, as far as a process sees it."""

from __future__ import annotations

import shutil
from contextlib import suppress

from almagest.core.settings import Settings


def disks(settings: Settings) -> dict[str, dict[str, int]]:
    """Free and all bytes of the disk of each folder that is there."""
    found = {}
    for name, folder in (("home", settings.site.home), ("store", settings.store_path)):
        with suppress(OSError):
            usage = shutil.disk_usage(folder)
            found[name] = {"free": usage.free, "size": usage.total}
    return found
