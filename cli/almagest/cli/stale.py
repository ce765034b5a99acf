"""``almagest stale``: what was made of something that is another by now."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli import options
from almagest.cli.output import console, reporter
from almagest.core.configuration import Configuration

if TYPE_CHECKING:
    from almagest.catalogue.lineage import Source, Stale

EPILOG = "Example: almagest stale --collection chips-predictions --json"


def stale(
    collection: Annotated[str | None, typer.Option(metavar="ID", help="Only items of this collection.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: options.ConfigFile = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    db_user: options.DbUser = None,
    api_url: options.ApiUrl = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """List items that are derived from what has a newer version by now, or is gone; which, and what is newest.

    A version that a product does not name is the one that was there when the product was written.
    """
    options.require_text(collection or "", "--collection")
    target = options.target(
        Configuration.load(config),
        db_host=db_host,
        db_port=db_port,
        db_name=db_name,
        db_user=db_user,
        api_url=api_url,
        key=key,
        key_file=key_file,
    )
    is_fresh = True
    with _found(target, collection) as found:
        if as_json:
            print(json.dumps([dataclasses.asdict(item) for item in found]))
            return
        for item in found:
            is_fresh = False
            print(f"{item.collection}/{item.id}")
            for source in item.sources:
                print(f"  {_told(source)}")
    if is_fresh:
        console.print("nothing is out of date")


@contextmanager
def _found(target: options.Database | options.Api, collection: str | None) -> Iterator[Iterator[Stale]]:
    if isinstance(target, options.Api):
        from almagest.client.http import Http
        from almagest.client.lineage import stale as of_an_api

        with Http(target.url, target.key, say=reporter()) as http:
            yield of_an_api(http, collection)
        return
    from almagest.catalogue import database, lineage
    from almagest.catalogue.ingest.line import Access

    access = Access.of(target.settings, target.user, target.password)
    with database.translated(), access.connect() as connection:
        yield lineage.stale(connection, target.settings.site.origin, collection)


def _told(source: Source) -> str:
    name = f"{source.collection}/{source.id}"
    used = f"version {source.version} was used" if source.version else "nobody knows which version was used"
    if source.newest is None:
        return f"{name} was deleted ({used})"
    return f"{name} has the version {source.newest} ({used}{'' if source.pinned else ', by its time'})"
