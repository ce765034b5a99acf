"""What was when, as an API tells it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

from almagest.catalogue import rendering, versions
from almagest.catalogue.history import Step, steps
from almagest.catalogue.versions import Document, State
from almagest.client.http import Http

_PAGE = 1000
_MADE = rendering.RELS | versions.RELS | {"self", "root", "parent", "collection"}


class RemoteHistory:
    """The states of an item, or (without one) of a collection."""

    def __init__(self, http: Http, collection: str, item: str | None = None) -> None:
        self._http = http
        here = f"collections/{quote(collection, safe='')}"
        self._here = here if item is None else f"{here}/items/{quote(item, safe='')}"

    def states(self) -> list[State]:
        """All of them, the latest first.

        Raises:
            NotFoundError: there never was anything.
        """
        found: list[State] = []
        params = {"limit": str(_PAGE)}
        while True:
            listed = self._http("GET", f"{self._here}/versions", params=params)["versions"]
            found += [_state(entry) for entry in listed]
            if len(listed) < _PAGE:
                return found
            params["before"] = found[-1].version

    def at(self, state: State) -> Document | None:
        """What it was in a state, without what is added on the way out; None if there was nothing."""
        if state.deleted:
            return None
        document = self._http("GET", f"{self._here}/versions/{state.version}")
        fields = document.get("properties", document)
        if fields.get("version") == state.version:  # or it is its producer's
            del fields["version"]
            fields.pop("deprecated", None)
        links = [link for link in document.get("links") or [] if link.get("rel") not in _MADE]
        return {**document, "links": links}

    def difference(self, one: State, another: State) -> list[Step]:
        """What turns one into the other. What was there before is not known of links: some are made for the answer."""
        answer = self._http.send(
            "GET", f"{self._here}/versions/{one.version}/diff", params={"to": another.version}
        ).content
        operations: list[Document] = json.loads(answer)
        document = {name: value for name, value in (self.at(one) or {}).items() if name != "links"}
        links = [Step(operation) for operation in operations if _is_of_links(operation)]
        others = [operation for operation in operations if not _is_of_links(operation)]
        return [*steps(document, others), *links]

    def restore(self, version: str) -> tuple[str, str]:
        """Makes a version new; answers what became of it and its new name.

        Raises:
            AlmagestError: the service refuses.
        """
        before = self.states()[0]
        self._http.send("POST", f"{self._here}/versions/{version}/restore")
        after = self.states()[0]
        return ("unchanged" if after == before else "created" if before.deleted else "updated"), after.version


def _is_of_links(operation: Document) -> bool:
    return any(operation.get(name, "").split("/")[1:2] == ["links"] for name in ("path", "from"))


def _state(entry: dict[str, Any]) -> State:
    end = entry.get("valid_to")
    return State(
        valid_from=datetime.fromisoformat(entry["valid_from"]),
        valid_to=datetime.fromisoformat(end) if end else None,
        deleted=entry["deleted"],
        **{name: entry.get(name) for name in ("login", "actor", "key_id", "request_id", "job")},
    )
