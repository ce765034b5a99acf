"""``almagest ingest``: documents from anywhere into the catalogue."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from almagest.cli import options
from almagest.cli.stopping import stoppable
from almagest.cli.watching import Watch
from almagest.core.configuration import Configuration
from almagest.core.errors import ConfigurationError

if TYPE_CHECKING:
    from almagest.catalogue.ingest.options import Options, Sources
    from almagest.catalogue.ingest.tally import Tally

_STOPPED = "What was stored stays: the same command goes on from there."
EPILOG = "Example: almagest ingest items.ndjson.gz --create-collections --report refused.ndjson"


def ingest(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Static catalogue, folder, ndjson (also gzipped), stac-geoparquet, STAC API; `-`: standard input.",
        ),
    ] = None,
    config: options.ConfigFile = None,
    catalogue: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Static catalogue: one more source, as eomatch-ingest names it.")
    ] = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    db_user: options.DbUser = None,
    api_url: options.ApiUrl = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
    assets_base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the files of a static catalogue are served.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(metavar="ID", help="Collection of items that name none; others stay where they are.")
    ] = None,
    create_collections: Annotated[
        bool, typer.Option("--create-collections", help="Make missing collections from their items.")
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, max=5000, metavar="N", help="Documents of one transaction; 5000, and of more 1000."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, metavar="N", help="Batches at a time; one per processor, up to 4."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a line of JSON for each document refused or mended.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check; store nothing.")] = False,
    validate_extensions: Annotated[
        bool, typer.Option("--validate-extensions", help="Validate by the schemas in `stac_extensions` too.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Send everything, also what a run that was broken off has stored.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    verbose: options.Verbose = False,
) -> None:
    """Put collections and items into the catalogue; what is there already is only compared.

    Good documents go in, bad ones are named with the reason, and the exit code is 1 if there were any. Broken off, the
    same command goes on where it stopped.
    """
    from almagest.catalogue.ingest.options import Options, default_workers
    from almagest.catalogue.ingest.tally import Tally

    configuration = Configuration.load(config)
    locations = [*(sources or ()), *([str(catalogue)] if catalogue else ())]
    locations = locations or _configured(configuration)
    for location in (*locations, *filter(None, [assets_base_url])):
        options.require_address(location)
    options.require_text(collection or "", "--collection")
    asked = Options(collection, create_collections, batch_size, workers or default_workers(), dry_run, fresh)
    began = time.monotonic()
    with stoppable(_STOPPED), _opened(report) as file, Watch() as watch:
        # Before the database is reached: root may read and write where the stack's user may not.
        target = options.target(
            configuration,
            db_host=db_host,
            db_port=db_port,
            db_name=db_name,
            db_user=db_user,
            api_url=api_url,
            key=key,
            key_file=key_file,
        )
        tally = Tally(file, watch.say, watch.see)
        if isinstance(target, options.Api):
            if dry_run or fresh:
                raise typer.BadParameter("--dry-run and --fresh need the database: an API checks what it stores.")
            origin = target.url.removesuffix("/api")
            opened = _sources(locations, origin, assets_base_url)
            if verbose:
                watch.say(f"{len(locations)} sources into {target.url}")
            _send(opened, target, asked, tally, extensions=validate_extensions)
        else:
            opened = _sources(locations, target.settings.site.origin, assets_base_url)
            if verbose:
                watch.say(f"{len(locations)} sources into the database at {target.settings.db_host} as {target.user}")
            _store(opened, target, asked, tally, extensions=validate_extensions)
    _conclude(tally, report, time.monotonic() - began, as_json=as_json)


def _configured(configuration: Configuration) -> list[str]:
    path = configuration.section("matchup_catalogue").get("path")
    if not path:
        raise typer.BadParameter(
            "name at least one (or --catalogue, or matchup_catalogue.path in the configuration).",
            param_hint="'[SOURCE]...'",
        )
    if not isinstance(path, str):
        where = configuration.where("matchup_catalogue.path")
        raise ConfigurationError(f"{where}: matchup_catalogue.path: must be text.")
    return [path]


def _sources(locations: list[str], origin: str, assets_base_url: str | None) -> Sources:
    from almagest.catalogue.exchange import open_source
    from almagest.catalogue.ingest.options import Sources

    return Sources([open_source(each, origin=origin, assets_base_url=assets_base_url) for each in locations])


def _store(sources: Sources, target: options.Database, asked: Options, tally: Tally, *, extensions: bool) -> None:
    from almagest.catalogue.acceptance import Rules
    from almagest.catalogue.ingest.engine import ingest as run
    from almagest.catalogue.ingest.line import Access

    settings = target.settings
    rules = Rules(settings.site.origin, settings.api.schema_mirror, extensions or settings.api.validate_extensions)
    run(sources, Access.of(settings, target.user, target.password), rules, asked, tally)


def _send(sources: Sources, target: options.Api, asked: Options, tally: Tally, *, extensions: bool) -> None:
    from almagest.client.http import Http
    from almagest.client.sending import send

    stop = threading.Event()

    def rest(seconds: float) -> None:
        if stop.wait(seconds):
            raise ConfigurationError("This was stopped.")

    with Http(target.url, target.key, say=tally.say, rest=rest) as http:
        send(sources, http, asked, tally, stop, extensions=extensions)


def _conclude(tally: Tally, report: Path | None, seconds: float, *, as_json: bool) -> None:
    refused = tally.totals.refused
    if as_json:
        rate = tally.totals.items / seconds
        print(json.dumps({**tally.summary(), "seconds": round(seconds, 3), "items_per_second": round(rate, 1)}))
    else:
        where = f" (see {report})" if report and (refused or tally.totals.mended) else ""
        print(f"{tally.totals}{where}")
    raise typer.Exit(1 if refused else 0)


@contextlib.contextmanager
def _opened(report: Path | None) -> Iterator[IO[str] | None]:
    if report is None:
        yield None
        return
    with report.open("w", encoding="utf-8") as file:
        yield file
