"""``almagest query``: a copy of what a search finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.catalogue.exchange import Format
from almagest.cli import options, searching
from almagest.cli.output import console
from almagest.cli.stopping import stoppable

if TYPE_CHECKING:
    from almagest.client.copying import Tally

EPILOG = (
    "Example: almagest query --api-url https://host/external --collections A B --bbox -105 39 -104 40 --output copy"
)

Output = Annotated[
    str,
    typer.Option("--output", "-o", metavar="PATH", help="Where to write; `-` is standard output."),
]
OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format", help="Default: as --output ends (`.ndjson`, `.ndjson.gz`, `.parquet`), else a folder of `stac`."
    ),
]


def query(
    output: Output,
    api_url: options.ApiUrl = None,
    config: options.ConfigFile = None,
    collections: Annotated[
        list[str] | None, typer.Option(metavar="ID...", help="Only items of these collections.")
    ] = None,
    ids: Annotated[list[str] | None, typer.Option(metavar="ID...", help="Only these items.")] = None,
    start_time: searching.StartTime = None,
    end_time: searching.EndTime = None,
    bbox: searching.Box = None,
    intersects: searching.Intersects = None,
    filter_expr: searching.Filter = None,
    filter_lang: searching.FilterLang = "cql2-text",
    as_of: searching.AsOf = None,
    sortby: Annotated[
        str | None, typer.Option(metavar="KEYS", help="Which come first, like `-datetime,id`; counts with --limit.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Find at most so many items.")] = None,
    form: OutputFormat = None,
    follow: Annotated[
        bool, typer.Option(help="Fetch what the items are `related` to or `derived_from`, too, wherever it is.")
    ] = True,
    key: options.Key = None,
    key_file: options.KeyFile = None,
    verbose: options.Verbose = False,
) -> None:
    """Copy what a search of a STAC API finds: as a static catalogue, as lines of JSON, or as stac-geoparquet.

    Options with several values take them one after the other. A catalogue that is there already is added to. What is
    written, `almagest ingest` reads back.
    """
    from almagest.catalogue import exchange
    from almagest.client.api import StacApi
    from almagest.client.copying import copy
    from almagest.client.http import Http
    from almagest.core.configuration import Configuration
    from almagest.core.errors import NotFoundError

    options.require_address(output)
    search = searching.body(
        collections=collections or (),
        ids=ids or (),
        start_time=start_time,
        end_time=end_time,
        bbox=bbox,
        intersects=intersects,
        filter_expr=filter_expr,
        filter_lang=filter_lang,
        sortby=sortby,
    )
    target = options.api(Configuration.load(config), api_url=api_url, key=key, key_file=key_file)
    with stoppable(searching.STOPPED), Http(target.url, target.key, say=searching.say) as ask:
        api = StacApi.open(ask, target.url, as_of=searching.moment(as_of, "--as-of"))
        for named in collections or ():
            if api.collection(named) is None:
                raise NotFoundError(f"There is no collection {named!r}.")
        if verbose:
            console.print(f"searching {api.search_url}: {search}", markup=False, soft_wrap=True)
        with (
            exchange.writer(form or exchange.form_of(output), output, origin=api.root) as writer,
            searching.counted() as count,
        ):
            tally = copy(api, search, writer, most=limit, follow=follow, progress=lambda _: count(1))
    _conclude(tally, output)


def _conclude(tally: Tally, output: str) -> None:
    from almagest.catalogue.exchange.writing import is_stream

    followed = f", {tally.followed:,} that they lead to" if tally.followed else ""
    sentence = f"{searching.counts(tally.found, tally.collections)}{followed}"
    if tally.lost:
        console.print(f"{tally.lost:,} links lead to items that are not in this catalogue: they stay as they are")
    if output == "-" or is_stream(output):
        console.print(sentence)
    else:
        print(f"{sentence}: {Path(output)}")
