"""``almagest export``: collections or a search as files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from almagest.catalogue.reserved import CANARY
from almagest.cli import options, searching
from almagest.cli.output import console
from almagest.cli.stopping import stoppable

if TYPE_CHECKING:
    from almagest.catalogue.exchange import Writer
    from almagest.client.api import StacApi

EPILOG = "Example: almagest export naip -o naip.parquet"

Document = dict[str, Any]
Format = Literal["ndjson", "geoparquet"]
_ENDINGS: dict[Format, str] = {"ndjson": ".ndjson.gz", "geoparquet": ".parquet"}


class Reader(Protocol):
    """Where documents come from."""

    def ids(self, chosen: Sequence[str]) -> list[str]:
        """The chosen collections (none: all of them), in order."""
        ...

    def collection(self, identifier: str) -> Document | None:
        """A collection."""
        ...

    def items(self, collection: str, search: Mapping[str, Any]) -> Iterator[Document]:
        """Items of a collection."""
        ...


def export(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="`.ndjson`, `.ndjson.gz` or `.parquet`; a folder for one file per collection; `-`: standard output.",
        ),
    ],
    collections: Annotated[
        list[str] | None, typer.Argument(metavar="[COLLECTION]...", help="Which collections; all, unless named.")
    ] = None,
    start_time: searching.StartTime = None,
    end_time: searching.EndTime = None,
    bbox: searching.Box = None,
    intersects: searching.Intersects = None,
    filter_expr: searching.Filter = None,
    filter_lang: searching.FilterLang = "cql2-text",
    form: Annotated[
        Format | None, typer.Option("--format", help="Of files in a folder; else the name of the file says it.")
    ] = None,
    config: options.ConfigFile = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    api_url: options.ApiUrl = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Write whole collections, or what a search finds in them, as lines of JSON or as stac-geoparquet.

    Straight from the database, where it is within reach: documents as they are stored, of one moment, in the order of
    their ids, so that equal catalogues give equal files. With --api-url as an API serves them.
    """
    from almagest.core.configuration import Configuration

    options.require_address(output)
    for named in collections or ():
        options.require_text(named, "[COLLECTION]...")
    search = searching.body(
        start_time=start_time,
        end_time=end_time,
        bbox=bbox,
        intersects=intersects,
        filter_expr=filter_expr,
        filter_lang=filter_lang,
    )
    files = _Files(output, form)
    target = options.target(
        Configuration.load(config),
        db_host=db_host, db_port=db_port, db_name=db_name, api_url=api_url, key=key, key_file=key_file,
    )  # fmt: skip
    if isinstance(target, options.Database) and isinstance(text := search.get("filter"), str):
        from almagest.catalogue import filters

        search = {**search, "filter": filters.parse(text, "cql2-text"), "filter-lang": "cql2-json"}
    with stoppable(searching.STOPPED), _reader(target) as reader:
        wanted = reader.ids(collections or ())
        with searching.counted() as count, files:
            for identifier in wanted:
                # Of a search over everything, collections without a hit are none of it.
                files.write(reader, identifier, search, bool(collections) or not search, count)
    files.conclude()


@contextlib.contextmanager
def _reader(target: options.Database | options.Api) -> Iterator[Reader]:
    if isinstance(target, options.Api):
        from almagest.client.api import StacApi
        from almagest.client.http import Http

        with Http(target.url, target.key, say=searching.say) as ask:
            yield _Remote(StacApi.open(ask, target.url))
        return
    from almagest.catalogue import exporting

    with exporting.snapshot(target.settings) as snapshot:
        yield snapshot


@dataclass(frozen=True)
class _Remote:
    """Documents as an API serves them."""

    api: StacApi

    def ids(self, chosen: Sequence[str]) -> list[str]:
        from almagest.core.errors import NotFoundError

        for identifier in chosen:
            if self.api.collection(identifier) is None:
                raise NotFoundError(f"There is no collection {identifier!r}.")
        return sorted(set(chosen) or set(self.api.collections()) - {CANARY})

    def collection(self, identifier: str) -> Document | None:
        return self.api.collection(identifier)

    def items(self, collection: str, search: Mapping[str, Any]) -> Iterator[Document]:
        order = {"sortby": [{"field": "id", "direction": "asc"}]} if self.api.sorts else {}
        return self.api.search({**search, **order, "collections": [collection]})


class _Files:
    """One file for everything, or one for each collection."""

    def __init__(self, output: str, form: Format | None) -> None:
        from almagest.catalogue.exchange.writing import is_stream

        self._folder = Path(output) if output.endswith("/") or Path(output).is_dir() else None
        self._output, self._form = output, form or "geoparquet"
        self._stack = contextlib.ExitStack()
        self._whole: Writer | None = None
        self._counts: dict[str, int] = {}
        self._streams = output == "-" or is_stream(output)
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        if self._folder is None:
            named = _form_of(output)
            if form and named != form:
                raise typer.BadParameter(f"{output} would be {named}.", param_hint="'--format'")
            self._form = named

    def __enter__(self) -> None:
        from almagest.catalogue import exchange

        self._stack.__enter__()
        if self._folder is None:
            self._whole = self._stack.enter_context(exchange.writer(self._form, self._output))

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(
        self, reader: Reader, identifier: str, search: Mapping[str, Any], even_empty: bool, count: Callable[[int], None]
    ) -> None:
        """Writes a collection and its items."""
        items = reader.items(identifier, search)
        first = next(items, None)
        if first is None and not even_empty:
            return
        self._counts[identifier] = 0
        with self._writer(identifier) as writer:
            if collection := reader.collection(identifier):
                writer.write_collection(collection)
            while first is not None:
                writer.write(first)
                self._counts[identifier] += 1
                count(1)
                first = next(items, None)

    def conclude(self) -> None:
        """Says what there is now."""
        say = console.print if self._streams else print
        if self._folder is not None:
            for identifier, count in self._counts.items():
                say(f"{self._path(identifier)}: {count:,} items")
        total = sum(self._counts.values())
        say(f"{searching.counts(total, len(self._counts))}: {self._output}")

    @contextlib.contextmanager
    def _writer(self, identifier: str) -> Iterator[Writer]:
        from almagest.catalogue import exchange

        if self._whole is not None:
            yield self._whole
            return
        with exchange.writer(self._form, self._path(identifier)) as writer:
            yield writer

    def _path(self, identifier: str) -> Path:
        from almagest.catalogue.exchange.naming import file_names

        assert self._folder is not None, "asked for files in a folder alone"
        if identifier not in self._names:
            name = next(name for name in file_names(identifier) if name.casefold() not in self._taken)
            self._taken.add(name.casefold())
            self._names[identifier] = name
        return self._folder / f"{self._names[identifier]}{_ENDINGS[self._form]}"


def _form_of(output: str) -> Format:
    from almagest.catalogue.exchange import form_of

    named = form_of(output)
    if named == "stac":
        raise typer.BadParameter(
            f"{output} ends neither with .ndjson, .ndjson.gz nor .parquet; a folder ends with a slash.",
            param_hint="'--output'",
        )
    return named
