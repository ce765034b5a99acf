"""``almagest mirror``: a second catalogue that is kept equal to another one."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli import options
from almagest.cli.output import console, plain
from almagest.cli.stopping import stoppable
from almagest.core.configuration import Configuration

if TYPE_CHECKING:
    from almagest.catalogue.mirroring import Tally

EPILOG = "Example: almagest mirror --from https://catalogue.example.org/external --collections scenes,masks --follow"
_STOPPED = "What was applied stays: the same command goes on from there."
_EVERY_S = 5.0


def mirror(
    source: Annotated[
        str,
        typer.Option("--from", metavar="URL", help="STAC API to follow, like `https://host/api`.", show_default=False),
    ],
    collections: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these collections; otherwise all that are there.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--once", help="Go on when all is here that is there now; or end then.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove what others put into mirrored collections here.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take over collections that are here and did not come from there.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Go through all that is there once more.")] = False,
    state: Annotated[
        str | None, typer.Option(metavar="NAME", help="Under which it remembers how far it is; otherwise the URL.")
    ] = None,
    every: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How often one is asked that does not tell of changes.")
    ] = 60.0,
    walk_every: Annotated[
        float, typer.Option(min=60, metavar="SECONDS", help="How often all of such a one is gone through.")
    ] = 86_400.0,
    key: options.Key = None,
    key_file: options.KeyFile = None,
    config: options.ConfigFile = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    db_user: options.DbUser = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Keep this catalogue equal to another one: what changes there changes here, and what goes there goes here.

    Another Almagest tells what has changed; any other STAC API is asked again and again. How far it is stands in the
    database, beside what it has stored: whatever dies, the same command goes on from there. A key is for the source.
    """
    from almagest.catalogue import mirroring
    from almagest.catalogue.acceptance import Rules
    from almagest.catalogue.ingest.line import Access, Line
    from almagest.client.http import Http
    from almagest.client.mirroring import open_feed

    configuration = Configuration.load(config)
    options.require_address(source)
    chosen = None if collections is None else [name for name in collections.split(",") if name]
    for text in (state or "", collections or ""):
        options.require_text(text, "--state")
    if chosen == []:
        raise typer.BadParameter("name at least one.", param_hint="'--collections'")
    api = options.api(configuration, api_url=source, key=key, key_file=key_file)
    database = options.database(configuration, db_host=db_host, db_port=db_port, db_name=db_name, db_user=db_user)
    settings = database.settings
    access = Access.of(settings, database.user, database.password)
    rules = Rules(settings.site.origin, settings.api.schema_mirror, settings.api.validate_extensions)
    asked = mirroring.Options(state or api.url, chosen, follow, prune, adopt, fresh, every)
    tally = mirroring.Tally(_say, _Seen())
    with stoppable(_STOPPED), Http(api.url, api.key, say=_say, rest=time.sleep, is_bound=True) as http:
        feed = open_feed(http, api.url, rules, chosen, walk_every_s=walk_every)
        _say(f"{api.url} {'tells of its changes' if feed.waits else 'is asked for what it has'}")
        line = Line(replace(access, actor=f"mirror of {api.url}"), _say)
        mirroring.follow(feed, line, asked, tally, time.sleep)
    print(json.dumps(tally.summary()) if as_json else tally)
    raise typer.Exit(1 if tally.refused else 0)


class _Seen:
    """Says how far it is, now and then."""

    def __init__(self) -> None:
        self._began = self._shown = time.monotonic()

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._shown >= _EVERY_S:
            self._shown = now
            _say(f"{tally}; {tally.told / (now - self._began):,.0f}/s")


def _say(sentence: str) -> None:
    console.print(plain(sentence), markup=False, highlight=False, soft_wrap=True)
