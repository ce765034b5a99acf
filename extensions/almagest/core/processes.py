"""The processes behind nginx: who they are, and where they listen.

The supervisor starts them and nginx asks them; both read it here.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from almagest.core.settings import Settings

#: Where Flower's pages stand.
FLOWER_PATH = "/ops/ui/flower"

_LATELY_S = 60.0

Audience = Literal["internal", "external"]


@dataclass(frozen=True)
class Process:
    """One process.

    Attributes:
        name: its service's, with what tells it from the others.
        place: its Unix socket, or its address and port.
    """

    name: str
    place: Path | str


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

    def processes(self, settings: Settings) -> tuple[Process, ...]:
        """Every process. Elsewhere there are as many as the service's host has addresses at this moment."""
        elsewhere = settings.site.elsewhere(self.name)
        if elsewhere is None:
            return tuple(Process(path.stem, path) for path in self.sockets(settings))
        return tuple(Process(f"{self.name} at {place}", place) for place in _places(*elsewhere))


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


def flower(settings: Settings) -> Service | None:
    """Celery's own view, where it is wanted. It is no app of ours: nobody waits for it, or asks it for numbers."""
    return Service("flower", "flower", "internal", 1) if settings.site.flower else None


def sign_of_life(settings: Settings, worker: str) -> Path:
    """The file that a worker touches as long as it looks for jobs."""
    return settings.run / f"{worker}.alive"


def why_unwell(sign: Path) -> str | None:
    """Why a worker with this sign of life is not well, None where it is: that it runs says little."""
    try:
        age = time.time() - sign.stat().st_mtime
    except FileNotFoundError:
        return "looks for no jobs yet"
    except OSError as error:
        return error.strerror
    return None if age < _LATELY_S else f"has looked for no jobs for {age:.0f} s"


def _places(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # nobody has that name while none of them runs, or nobody ever can
        return []
    addresses = {str(address[0]) for *_, address in found}
    return sorted(f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in addresses)
