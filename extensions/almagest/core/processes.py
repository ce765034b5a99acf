"""The processes behind nginx: who they are, and on which sockets they listen.

The supervisor starts them and nginx asks them; both read it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from almagest.core.settings import Settings

Audience = Literal["internal", "external"]


@dataclass(frozen=True)
class Service:
    """Processes that answer the same requests.

    Attributes:
        name: of the upstream, and with a number behind it of each process.
        kind: the package below ``almagest.services`` that is run.
        audience: whom it serves.
        count: how many processes.
    """

    name: str
    kind: str
    audience: Audience
    count: int

    def sockets(self, settings: Settings) -> tuple[Path, ...]:
        """The Unix socket of each process."""
        return tuple(settings.run / f"{self.name}-{number}.sock" for number in range(self.count))


def services(settings: Settings) -> tuple[Service, ...]:
    """Every service, in the order of its start."""
    site = settings.site
    return (
        Service("ops", "ops", "internal", site.ops_workers),
        Service("stac", "stac", "internal", site.workers),
        Service("tiles", "tiles", "internal", site.tile_workers),
        Service("external-stac", "stac", "external", site.workers),
        Service("external-tiles", "tiles", "external", site.tile_workers),
    )
