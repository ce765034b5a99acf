"""What stands around every app, in the order in which a request meets it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from starlette.middleware import Middleware

from almagest.core.settings import Settings
from almagest.services.web.aging import Aged
from almagest.services.web.attended import Attended
from almagest.services.web.audited import Audited
from almagest.services.web.canary import Canary, CanaryGate
from almagest.services.web.disks import disks
from almagest.services.web.freshness import Revalidated
from almagest.services.web.gate import Gate
from almagest.services.web.health import Health
from almagest.services.web.inventory import Route
from almagest.services.web.measured import Measured
from almagest.services.web.problem import LastResort
from almagest.services.web.public_url import PublicUrl
from almagest.services.web.recording import Recorder
from almagest.services.web.replay import Replay
from almagest.services.web.request_id import RequestId
from almagest.services.web.tripwire import HiddenHref, Tripwire
from almagest.services.web.unchanged import Epoch, Unchanged


def layers(
    settings: Settings,
    prefix: str,
    routes: Iterable[Route],
    check: Callable[[], Awaitable[None]],
    recorder: Recorder,
    canary: Canary | None = None,
    replay: Replay | None = None,
    epoch: Epoch | None = None,
    facts: Callable[[], Mapping[str, Any]] = dict,
) -> list[Middleware]:
    """The layers of an app.

    Args:
        settings: of this catalogue.
        prefix: where nginx mounts the app.
        routes: its inventory.
        check: raises where something that it depends on is missing.
        recorder: writes the audit.
        canary: for an app of the external audience: asked before anybody is served.
        replay: for an app that reads from a replica: how far that has come.
        epoch: for an app whose answers stay the same until something is committed.
        facts: what a process of it tells in numbers, besides what it was asked.
    """

    async def ready() -> None:
        await check()
        if canary is not None:
            await canary.check()

    return [
        Middleware(RequestId),
        Middleware(Health, check=ready),
        Middleware(Measured, facts=lambda: {"disks": disks(settings), "audit": recorder.fates(), **facts()}),
        Middleware(Revalidated),
        *([Middleware(Tripwire, hidden=HiddenHref.of(settings))] if canary else []),
        Middleware(LastResort),
        *([Middleware(CanaryGate, canary=canary)] if canary else []),
        *([Middleware(Aged, complete_until=replay.complete_until)] if replay else []),
        Middleware(PublicUrl, origin=settings.site.origin, prefix=prefix),
        Middleware(Audited, prefix=prefix, routes=tuple(routes), recorder=recorder),
        Middleware(Gate, routes=tuple(routes)),
        *([Middleware(Attended)] if epoch else []),
        *([Middleware(Unchanged, epoch=epoch, most_bytes=settings.api.answer_cache_mb << 20)] if epoch else []),
    ]
