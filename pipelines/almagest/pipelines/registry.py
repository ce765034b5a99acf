"""Which processes there are: ours, and those that installed packages bring."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module, metadata
from typing import Any

from almagest.core.errors import ConfigurationError, NotFoundError
from almagest.core.jobs import Process

#: Modules of ours with a ``PROCESS``.
_OWN = (
    "almagest.pipelines.echo",
    "almagest.pipelines.ingest",
    "almagest.pipelines.matchups.find_matchups",
    "almagest.pipelines.matchups.predict_crossings",
    "almagest.pipelines.register_analysis",
)
#: Packages name theirs under this entry point, as ``package.module:PROCESS``.
GROUP = "almagest.processes"


@cache
def processes() -> Mapping[str, Process[Any]]:
    """All processes by id, in alphabetical order.

    Raises:
        ConfigurationError: two are called the same, or an entry point leads to something else.
    """
    found: list[object] = [import_module(name).PROCESS for name in _OWN]
    found += [point.load() for point in metadata.entry_points(group=GROUP)]
    by_id: dict[str, Process[Any]] = {}
    for process in found:
        if not isinstance(process, Process):
            raise ConfigurationError(f"Entry points {GROUP!r} lead to processes, which {process!r} is not.")
        if process.id in by_id:
            raise ConfigurationError(f"Two processes are called {process.id}.")
        by_id[process.id] = process
    return dict(sorted(by_id.items()))


def find(identifier: str) -> Process[Any]:
    """A process by its id.

    Raises:
        NotFoundError: there is none.
    """
    try:
        return processes()[identifier]
    except KeyError:
        raise NotFoundError(f"There is no process {identifier!r}: there are {', '.join(processes())}.") from None
