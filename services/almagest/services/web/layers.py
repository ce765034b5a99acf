"""What stands around every app, in the order in which a request meets it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from starlette.middleware import Middleware

from almagest.core.settings import Settings
from almagest.services.web.canary import Canary, CanaryGate
from almagest.services.web.gate import Gate
from almagest.services.web.health import Health
from almagest.services.web.inventory import Route
from almagest.services.web.problem import LastResort
from almagest.services.web.public_url import PublicUrl
from almagest.services.web.request_id import RequestId
from almagest.services.web.tripwire import HiddenHref, Tripwire


def layers(
    settings: Settings,
    prefix: str,
    routes: Iterable[Route],
    check: Callable[[], Awaitable[None]],
    canary: Canary | None = None,
) -> list[Middleware]:
    """The layers of an app.

    Args:
        settings: of this catalogue.
        prefix: where nginx mounts the app.
        routes: its inventory.
        check: raises where something that it depends on is missing.
        canary: for an app of the external audience: asked before anybody is served.
    """

    async def ready() -> None:
        await check()
        if canary is not None:
            await canary.check()

    return [
        Middleware(RequestId),
        Middleware(Health, check=ready),
        *([Middleware(Tripwire, hidden=HiddenHref.of(settings))] if canary else []),
        Middleware(LastResort),
        *([Middleware(CanaryGate, canary=canary)] if canary else []),
        Middleware(PublicUrl, origin=settings.site.origin, prefix=prefix),
        Middleware(Gate, routes=tuple(routes)),
    ]
