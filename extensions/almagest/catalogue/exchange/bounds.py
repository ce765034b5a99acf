"""Where documents may be read from, in a process that reads what somebody else than its operator has named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True)
class _Bounds:
    roots: tuple[Path, ...]
    hosts: frozenset[str]


#: Of the whole process: answers from the web come in by threads. None: anywhere, as its operator can.
_bounds: _Bounds | None = None


@contextmanager
def confined(roots: Sequence[Path], hosts: Sequence[str]) -> Iterator[None]:
    """For so long, only files in these folders and answers of these hosts are read, wherever links lead."""
    global _bounds
    before = _bounds
    _bounds = _Bounds(tuple(root.resolve() for root in roots), frozenset(host.lower() for host in hosts))
    try:
        yield
    finally:
        _bounds = before


def check_file(path: Path) -> None:
    """Refuses a file that lies elsewhere, by whatever links it is reached.

    Raises:
        UnavailableError: it does.
    """
    if _bounds is not None and not any(path.resolve().is_relative_to(root) for root in _bounds.roots):
        _refuse("lies in no folder that may be read here")


def check_request(request: httpx.Request) -> None:
    """Refuses a request that goes elsewhere: a hook of clients, called for redirects too.

    Raises:
        UnavailableError: it does.
    """
    if _bounds is not None and request.url.host.lower() not in _bounds.hosts:
        _refuse(f"is at {request.url.host[:100]!r}, which is no host that may be read here")


def _refuse(why: str) -> NoReturn:
    from almagest.catalogue.exchange.reading import UnavailableError  # which asks here

    raise UnavailableError(why)
