"""What was when, as an API tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from almagest.catalogue.versions import Document, State, Subject
from almagest.client.http import Http
from almagest.core.addresses import segment
from almagest.core.errors import BadRequestError, PreconditionFailedError

_PAGE = 1000


class RemoteHistory:
    """The states of an item, or (without one) of a collection.

    Raises:
        BadRequestError: no address leads there.
    """

    def __init__(self, http: Http, collection: str, item: str | None = None) -> None:
        for name in filter(None, (collection, item)):
            if "/" in name or name in {".", ".."}:
                raise BadRequestError(f"{name!r} cannot stand in an address: ask the database with --db-host.")
        self._http = http
        self._here = "/".join(map(segment, Subject(collection, item).path))

    def states(self) -> list[State]:
        """All of them, the latest first.

        Raises:
            NotFoundError: there never was anything.
        """
        found: list[State] = []
        before: State | None = None
        while True:
            listed = self._page(_PAGE, before)
            found += listed
            if len(listed) < _PAGE:
                return found
            before = found[-1]

    def at(self, state: State) -> Document | None:
        """What it was in a state, as it was stored; None if there was nothing."""
        return None if state.deleted else self._stored(state.version)

    def restore(self, version: str) -> tuple[str, str]:
        """Makes a version new; answers what became of it and its new name.

        Raises:
            PreconditionFailedError: somebody else has changed it in the meantime.
            AlmagestError: the service refuses.
        """
        (before,) = self._page(1)
        if before.deleted:
            condition = {"If-None-Match": "*"}
        else:
            condition = {"If-Match": self._http.send("GET", self._here).headers["ETag"]}
        try:
            self._http.send("POST", f"{self._here}/versions/{segment(version)}/restore", condition=condition)
        except PreconditionFailedError:
            # Or it was ourselves: the answer was lost, and the request sent again.
            if self.at(self._page(1)[0]) != self._stored(version):
                raise
        (after,) = self._page(1)
        return ("unchanged" if after == before else "created" if before.deleted else "updated"), after.version

    def _stored(self, version: str) -> Document:
        return self._http("GET", f"{self._here}/versions/{segment(version)}", params={"stored": "true"})

    def _page(self, few: int, before: State | None = None) -> list[State]:
        params = {"limit": str(few)} | ({"before": before.version} if before else {})
        return [_state(entry) for entry in self._http("GET", f"{self._here}/versions", params=params)["versions"]]


def _state(entry: dict[str, Any]) -> State:
    end = entry.get("valid_to")
    return State(
        valid_from=datetime.fromisoformat(entry["valid_from"]),
        valid_to=datetime.fromisoformat(end) if end else None,
        deleted=entry["deleted"],
        **{name: entry.get(name) for name in ("login", "actor", "key_id", "request_id", "job")},
    )
