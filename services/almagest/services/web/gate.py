"""The second line behind nginx: each process asks once more whether a request may pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from almagest.core.errors import UnauthorizedError
from almagest.services.web.caller import Caller
from almagest.services.web.inventory import Inventory, Route
from almagest.services.web.problem import problem

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="almagest"'}


@dataclass
class Gate:
    """Lets through what the inventory lists, to those whose scopes nginx has vouched for.

    It stands behind `PublicUrl`, so that it sees the path that the app's router will see.

    Attributes:
        app: the app behind it.
        routes: the app's inventory.
    """

    app: ASGIApp
    routes: tuple[Route, ...]
    _inventory: Inventory = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the inventory once."""
        self._inventory = Inventory(self.routes)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            path = _path(scope)
            route = self._inventory.find(scope["method"], path)
            if refusal := self._refuse(route, scope) if route else self._unlisted(path):
                await refusal(scope, receive, send)
            else:
                await self.app(_as_get(scope, route), receive, send)

    def _unlisted(self, path: str) -> Response:
        methods = self._inventory.methods(path)
        if not methods:
            return problem(404, "not-found", "There is nothing at this address.")
        allowed = {"Allow": ", ".join(methods)}
        return problem(405, "method-not-allowed", "Method Not Allowed", headers=allowed)

    @staticmethod
    def _refuse(route: Route, scope: Connection) -> Response | None:
        if route.scope.is_open:
            return None
        caller = Caller.of(scope)
        if not caller.scopes:
            return problem(401, UnauthorizedError.slug, str(UnauthorizedError()), headers=CHALLENGE)
        if not caller.may(route.scope):
            return problem(403, "forbidden", f"Your key or login lacks the scope `{route.scope}`.")
        return None


def _as_get(scope: Connection, route: Route | None) -> Connection:
    """HEAD as GET, where the app has no answer of its own to it; the server keeps the body to itself.

    Who would make a long one for nobody finds `almagest.method`.
    """
    is_needed = scope["method"] == "HEAD" and route is not None and "HEAD" not in route.methods
    return {**scope, "method": "GET", "almagest.method": "HEAD"} if is_needed else scope


def _path(scope: Connection) -> str:
    """The path below the app's prefix, cut as the router cuts it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path
