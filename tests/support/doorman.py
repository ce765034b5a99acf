"""What nginx does with a request to an app, without nginx: asks ops who it is, and passes on what ops says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from almagest.services.ops import routes
from almagest.services.web.inventory import Inventory

_SAID = ("X-Subject", "X-Principal", "X-Key-Id", "X-Scopes", "X-Tier", "X-Session")


@dataclass
class Doorman:
    """Stands before the ops app.

    Attributes:
        ops: the app, with nobody before it.
        address: where everybody comes from.
        inside: whether reading is free there.
    """

    ops: httpx.Client
    address: str = "127.0.0.1"

    def ask(self, method: str, path: str, key: str = "", cookie: str = "", **options: Any) -> httpx.Response:
        """Sends a request with what somebody shows."""
        route = Inventory(routes.ROUTES).find(method, path)
        assert route is not None, path
        headers = {"X-Forwarded-For": self.address, **options.pop("headers", {})}
        cookie = cookie if path.startswith(f"{routes.PAGES_AT}/") else ""  # no other address is sent it
        if cookie:
            headers["Cookie"] = cookie
        if not route.scope.is_open:
            asked = {"X-Required-Scope": route.scope.value, "X-Client-Address": self.address}
            if route.is_counted:
                asked["X-Counted"] = "1"
            if key:
                asked["Authorization"] = f"Bearer {key}"
            if cookie:
                asked["Cookie"] = cookie
            said = self.ops.get("/authorize", headers=asked)
            if said.status_code != 204:
                said.status_code = 429 if said.headers.get("X-Refusal") == "quota" else said.status_code
                return said
            headers |= {name: said.headers[name] for name in _SAID if name in said.headers}
        return self.ops.request(method, f"/ops{path}", headers=headers, **options)
