"""Pages of templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from almagest.services.ops.authorization import COOKIE
from almagest.services.ops.login.tokens import Signer
from almagest.services.ops.ui import forms
from almagest.services.web.caller import Caller


class Pages:
    """Makes pages, all with the same frame.

    Attributes:
        prefix: where they are, as a browser asks for them.
    """

    def __init__(self, signer: Signer, prefix: str, origin: str, title: str) -> None:
        """Args:
        signer: signs what forms hold.
        prefix: where the pages are, as a browser asks for them.
        origin: of the site.
        title: of the catalogue.
        """
        self._signer = signer
        self.prefix = prefix
        self._origin = origin
        self._title = title

    def show(self, request: Request, template: str, status: int = 200, **shown: Any) -> Response:
        """A page. Nobody keeps it, so that nothing is left behind of who has logged out."""
        caller = Caller.of(request.scope)
        text = (
            _environment()
            .get_template(f"{template}.html.j2")
            .render(
                caller=caller,
                csrf=self._signer.csrf_token(cookie(request)) if caller.session else "",
                here=request.scope["path"],
                ui=self.prefix,
                origin=self._origin,
                site=self._title,
                **shown,
            )
        )
        return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form of one of our pages, sent by whoever it was shown to.

        Raises:
            StrangeFormError: it is of another page, or of another login.
        """
        return await forms.read(request, self._origin, self._signer.csrf_token(cookie(request)))

    def go(self, path: str) -> Response:
        """Sends the browser to another page, after a form."""
        return RedirectResponse(f"{self.prefix}{path}", 303, headers={"Cache-Control": "no-store"})


def cookie(request: Request) -> str:
    """The value of our cookie."""
    found = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    return found.value if found else ""


@cache
def _environment() -> Environment:
    folder = Path(__file__).parent / "templates"
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["moment"] = _moment
    made.filters["pretty"] = _pretty
    made.filters["amount"] = _amount
    made.filters["span"] = _span
    made.filters["ticked"] = _ticked
    return made


def _moment(when: datetime | None) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if when else "–"


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _span(per: timedelta) -> str:
    hours = per.total_seconds() / 3600
    return "an hour" if hours == 1 else f"{hours:g} hours"


def _ticked(text: str) -> Markup:
    """What stands between backticks, as code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(text.split("`"))
    )


def _amount(most: int, kind: str) -> str:
    """A quota, for people: those of files are bytes."""
    if kind not in {"upload", "files"}:
        return f"{most:,}"
    return f"{most / 2**30:,.0f} GiB" if most >= 2**30 else f"{most / 2**20:,.0f} MiB"
