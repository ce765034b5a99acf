"""Leaves a row in the audit of every request that changes something, is refused, is an admin's, or reads of others."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from almagest.services.web.caller import Caller
from almagest.services.web.gate import path_below
from almagest.services.web.inventory import Inventory, Route, Scope
from almagest.services.web.recording import Entry, Recorder
from almagest.services.web.request_id import request_id

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_DENIED = frozenset({401, 403, 429})
_BROKEN = 500
#: Subject and name of whoever let himself in by the present request.
_entered: ContextVar[list[str] | None] = ContextVar("entered", default=None)
#: Holds something once the present request reads what is somebody else's.
_pried: ContextVar[list[bool] | None] = ContextVar("pried", default=None)


def done_by(subject: str, name: str) -> None:
    """Says whose the present request turned out to be, of whom the door knew nothing; and so it is kept."""
    entered = _entered.get()
    if entered is not None:
        entered[:] = subject, name


def of_others() -> None:
    """Says that the present request reads what belongs to others, as admins may; and so it is kept."""
    pried = _pried.get()
    if pried is not None:
        pried[:] = [True]


@dataclass
class Audited:
    """Writes the row before the answer begins. It stands around the gate, whose refusals count.

    Attributes:
        app: the app behind it.
        prefix: where nginx mounts the app.
        routes: the app's inventory.
        recorder: writes.
    """

    app: ASGIApp
    prefix: str
    routes: tuple[Route, ...]
    recorder: Recorder
    _inventory: Inventory = field(init=False, repr=False)
    _is_governed: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the inventory once."""
        self._inventory = Inventory(self.routes)
        self._is_governed = any(route.scope is Scope.ADMIN for route in self.routes)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, has_answered = time.perf_counter(), False
        token, pried = _entered.set([]), _pried.set([])

        async def note_and_send(message: Message) -> None:
            nonlocal has_answered
            if message["type"] == "http.response.start":
                has_answered = True
                await self._note(scope, message["status"], began)
            await send(message)

        try:
            await self.app(scope, receive, note_and_send)
        except BaseException:
            # What was done by then is done, also where this process is being stopped.
            if not has_answered and (route := self._route(scope)) and is_kept(scope["method"], route):
                self.recorder.later(self._entry(scope, route, _BROKEN, began))
            raise
        finally:
            _entered.reset(token)
            _pried.reset(pried)

    async def _note(self, scope: Connection, status: int, began: float) -> None:
        is_denied = status in _DENIED
        is_kept_anyway = bool(_entered.get() or _pried.get())
        if not (is_denied or scope["method"] not in _READING or self._is_governed or is_kept_anyway):
            return  # nearly all: they are not looked up
        route = self._route(scope)
        if route is None:
            return
        if is_denied:
            self.recorder.deny(self._entry(scope, route, status, began))
        elif is_kept_anyway or is_kept(scope["method"], route):
            await self.recorder.record(self._entry(scope, route, status, began))

    def _route(self, scope: Connection) -> Route | None:
        """The route that answers; none of those by which our own processes talk."""
        route = self._inventory.find(scope["method"], path_below(scope))
        return None if route is None or route.scope is Scope.NONE else route

    def _entry(self, scope: Connection, route: Route, status: int, began: float) -> Entry:
        caller = Caller.of(scope)
        subject, name = _entered.get() or (caller.subject, caller.name)
        return Entry(
            subject=subject,
            name=name,
            key_id=caller.key_id,
            request_id=request_id(),
            address=caller.address,
            method=scope["method"],
            route=f"{self.prefix}{route.path}",
            path=f"{self.prefix}{path_below(scope)}",
            status=status,
            duration_us=int((time.perf_counter() - began) * 1e6),
        )


def is_kept(method: str, route: Route) -> bool:
    """Whether each request of its kind is kept, whatever comes of it. A search that is POSTed changes nothing."""
    return route.scope is Scope.ADMIN or (method not in _READING and not route.scope.is_read)
