"""Every route of every app, declared as data: what is not listed here is not served.

nginx, the gate of each process and the start of each app read the same tables, so a route that somebody adds without
saying who may use it does not become a hole: the app refuses to start.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

from almagest.core.errors import ConfigurationError

_PARAMETER = re.compile(r"\{(?P<name>\w+)(?::(?P<kind>\w+))?\}")
#: What stands for one segment, and for several. Both mean the same to Python and to nginx's PCRE, whatever its flags.
_SEGMENT, _SEGMENTS = r"[^/]+", r"(?:[^/]|/)+"


class Scope(StrEnum):
    """What a key must be allowed to do."""

    #: Nobody is asked, and nothing changes.
    PUBLIC = "public"
    #: Nobody is asked: the request itself says who it is.
    LOGIN = "login"
    READ = "catalogue:read"
    WRITE = "catalogue:write"
    OPS = "ops:read"
    #: To run processes, and see one's own jobs.
    RUN = "jobs:run"
    #: To keep files of one's own.
    FILES = "files:write"
    #: For people who have logged in, about themselves. No key has it: one that leaks must not make others.
    ACCOUNT = "account"
    #: Implies all others but `account`.
    ADMIN = "admin"
    #: For our own processes: nginx never lets a client through.
    NONE = "none"

    @property
    def is_open(self) -> bool:
        """Whether the gate of a process asks for nothing."""
        return self in {Scope.PUBLIC, Scope.LOGIN, Scope.NONE}

    @property
    def is_read(self) -> bool:
        """Whether nothing changes, so that a request may be sent twice."""
        return self in {Scope.PUBLIC, Scope.READ, Scope.OPS}


def allows(scopes: Collection[str], required: str) -> bool:
    """Whether these scopes are enough: an admin's are, but for what people do about themselves."""
    return required in scopes or (Scope.ADMIN in scopes and required != Scope.ACCOUNT)


@dataclass(frozen=True)
class Route:
    """One address of an app.

    Attributes:
        methods: GET brings HEAD along; it is named only where the app answers it by itself.
        path: below the app's prefix, with parameters as the app writes them.
        scope: what is asked for.
        is_counted: a request counts against the quota of calls of whoever asks.
    """

    methods: tuple[str, ...]
    path: str
    scope: Scope
    is_counted: bool = True

    @cached_property
    def pattern(self) -> str:
        """A regular expression of the decoded path, without anchors."""
        parts, end = [], 0
        for found in _PARAMETER.finditer(self.path):
            parts += [re.escape(self.path[end : found.start()]), _SEGMENTS if found["kind"] == "path" else _SEGMENT]
            end = found.end()
        return "".join([*parts, re.escape(self.path[end:])])

    @property
    def has_parameters(self) -> bool:
        """Whether more than one address is meant."""
        return _PARAMETER.search(self.path) is not None


class Inventory:
    """A table of routes, to be asked. Where two fit, an exact path wins, then the one that was listed first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = sorted(routes, key=lambda route: route.has_parameters)
        self._patterns = [(re.compile(route.pattern), route) for route in self.routes]

    def find(self, method: str, path: str) -> Route | None:
        """The route that answers, if there is one."""
        method = "GET" if method == "HEAD" else method
        return next((route for route in self._at(path) if method in route.methods), None)

    def methods(self, path: str) -> list[str]:
        """The methods of an address, in alphabetical order; none where there is nothing."""
        found = {method for route in self._at(path) for method in route.methods}
        return sorted(found | {"HEAD"} if "GET" in found else found)

    def _at(self, path: str) -> Iterator[Route]:
        return (route for pattern, route in self._patterns if pattern.fullmatch(path))


def enforce(app: FastAPI, routes: Iterable[Route]) -> None:
    """Compare an app with its table. To be called last, when all routes are there.

    Raises:
        ConfigurationError: names every route without an entry and every entry without a route.
    """
    listed = [(method, route.path) for route in routes for method in route.methods]
    twice = {entry for entry in listed if listed.count(entry) > 1}
    served, declared = _without_implied(set(_served(app))), _without_implied(set(listed))
    faults = [
        *(f"{method} {path} is served but has no entry" for method, path in sorted(served - declared)),
        *(f"{method} {path} has an entry but is not served" for method, path in sorted(declared - served)),
        *(f"{method} {path} has two entries" for method, path in sorted(twice)),
    ]
    if faults:
        raise ConfigurationError(f"The route inventory of {app.title!r} is wrong: {'; '.join(faults)}.")


def _served(app: FastAPI) -> Iterator[tuple[str, str]]:
    for context in iter_route_contexts(app.routes):
        yield from _methods(context.original_route, context.methods, context.path)
    # Folders of a frontend stand apart, since they are asked last.
    for route in app.router._iter_low_priority_routes():
        yield type(route).__name__, getattr(route, "path", "") or "?"


def _methods(route: BaseRoute, methods: Iterable[str] | None, path: str | None) -> Iterator[tuple[str, str]]:
    """What is no plain route (a mounted app, a websocket, another host) has no method that a table could name."""
    if isinstance(route, APIRoute | StarletteRoute) and methods and path is not None:
        for method in methods:
            yield method, path
    else:
        yield type(route).__name__, path or "?"


def _without_implied(entries: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return entries - {("HEAD", path) for method, path in entries if method == "GET"}
