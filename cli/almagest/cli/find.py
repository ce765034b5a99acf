"""``almagest find``: scenes of two sensors that saw the same ground at nearly the same time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from almagest.cli import options, searching
from almagest.cli.output import console, results
from almagest.cli.stopping import stoppable
from almagest.core.configuration import Configuration
from almagest.core.errors import ConfigurationError
from almagest.core.wording import counted

if TYPE_CHECKING:
    from almagest.client.finding import Found
    from almagest.client.scenery import Scenery
    from almagest.pipelines.matchups.gathering import Wanted

EPILOG = (
    "Example: almagest find --items copy --collections landsat-c2-l2 sentinel-2-l2a --max-time-difference 900"
    " --output matchups"
)

#: As eomatch has it [s].
_TIME_DIFFERENCE_S = 1800.0
#: What eomatch's finder is told that has no meaning here.
_NOT_TAKEN = ("exclude_antimeridian_events", "exclude_night_events")


def find(
    items: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Look among these: a static catalogue, a folder, ndjson, stac-geoparquet."),
    ] = None,
    api_url: options.ApiUrl = None,
    config: options.ConfigFile = None,
    collections: Annotated[
        list[str] | None, typer.Option(metavar="ID...", help="Only items of these collections.")
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...",
            help="Only items of these platforms; as many as collections: each is one of the collection in its place.",
        ),
    ] = None,
    max_time_difference: Annotated[
        float | None,
        typer.Option(min=0, metavar="S", help="Most time between the two [s]; 1800 where nobody says so."),
    ] = None,
    min_overlap_area: Annotated[float, typer.Option(min=0, metavar="KM2", help="Least overlap [km²].")] = 0.0,
    min_overlap_fraction: Annotated[
        float, typer.Option(min=0, max=1, metavar="F", help="Least overlap, as a share of the smaller footprint.")
    ] = 0.0,
    event_gap: Annotated[
        float, typer.Option(min=1, metavar="S", help="Without a matchup for so long, another event begins [s].")
    ] = 300.0,
    start_time: searching.StartTime = None,
    end_time: searching.EndTime = None,
    bbox: searching.Box = None,
    filter_expr: searching.Filter = None,
    filter_lang: searching.FilterLang = "cql2-text",
    output: Annotated[
        str | None,
        typer.Option("--output", "--path", "-o", metavar="PATH", help="Where events, matchups and their scenes go."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Find matchups: scenes of two sensors that overlap, in place and nearly in time; groups them into events.

    A sensor is a collection and a platform in it. Items come from files, or from a STAC API, by default that of the
    catalogue here. What is written (as `almagest query` writes it, by the name) can be put in by `almagest ingest`.
    """
    from almagest.catalogue import exchange
    from almagest.client.finding import search
    from almagest.pipelines.matchups.pairing import Limits

    if items and api_url:
        raise typer.BadParameter("items are in files, or in an API.", param_hint="'--items' / '--api-url'")
    configuration = Configuration.load(config)
    said = configuration.finder
    for name in _NOT_TAKEN:
        if said.get(name):
            console.print(f"{configuration.where(name)}: `{name}` is not looked at: no event is left out", markup=False)
    collections = collections or _list(said, "collections")
    platforms = platforms or _list(said, "platforms")
    body = searching.body(
        collections=collections,
        start_time=start_time or _text(said, "start_time"),
        end_time=end_time or _text(said, "end_time"),
        bbox=bbox or _box(said),
        filter_expr=filter_expr,
        filter_lang=filter_lang,
    )
    if max_time_difference is None:
        max_time_difference = _number(said, "time_diff_threshold", _TIME_DIFFERENCE_S)
    limits = Limits(max_time_difference, min_overlap_area, min_overlap_fraction)
    target = output or configuration.section("matchup_catalogue").get("path")
    if target:
        options.require_address(str(target))
    with stoppable(searching.STOPPED), ExitStack() as stack:
        scenery = _scenery(stack, configuration, items, body, api_url=api_url, key=key, key_file=key_file)
        writer = None
        if target:
            form = exchange.form_of(str(target))
            writer = stack.enter_context(exchange.writer(form, str(target), origin=scenery.origin))
        with searching.counted() as count:
            wanted = _wanted(collections, platforms, body)
            found = search(scenery, wanted, limits, event_gap, writer=writer, count=count)
    _tell(found, as_json=as_json)
    for missing in wanted.missing(found.scenes):
        console.print(missing, markup=False, soft_wrap=True)
    if target and target != "-":
        console.print(f"written: {target}", markup=False, soft_wrap=True)


def _scenery(
    stack: ExitStack,
    configuration: Configuration,
    items: str | None,
    body: Mapping[str, Any],
    *,
    api_url: str | None,
    key: str | None,
    key_file: Path | None,
) -> Scenery:
    from almagest.client.scenery import Api, Files

    if items:
        from almagest.catalogue import exchange, filters

        options.require_address(items)
        condition = body.get("filter")
        if isinstance(condition, str):
            condition = filters.parse(condition, "cql2-text")
        return Files(exchange.open_source(items), condition)
    from almagest.client.api import StacApi
    from almagest.client.http import Http

    target = options.api(configuration, api_url=api_url, key=key, key_file=key_file)
    http = stack.enter_context(Http(target.url, target.key, say=searching.say))
    return Api(StacApi.open(http, target.url), body)


def _wanted(collections: Sequence[str], platforms: Sequence[str], body: Mapping[str, Any]) -> Wanted:
    import shapely

    from almagest.pipelines.matchups.gathering import Wanted, time_of

    begin, end = (time_of(text) if text != ".." else None for text in body.get("datetime", "../..").split("/"))
    place = None
    if "bbox" in body:
        west, south, east, north = body["bbox"]
        sides = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
        place = shapely.MultiPolygon([shapely.box(one, south, other, north) for one, other in sides])
    return Wanted(tuple(collections), tuple(platforms), begin, end, place)


def _tell(found: Found, *, as_json: bool) -> None:
    for reason, number in found.skipped.most_common():
        console.print(f"{counted(number, 'item')} passed by: {reason}", markup=False)
    if as_json:
        print(
            json.dumps(
                {
                    "events": found.events.total(),
                    "matchups": found.matchups.total(),
                    "combinations": {
                        name: {"events": found.events[name], "matchups": found.matchups[name]}
                        for name in sorted(found.events)
                    },
                    "scenes": {str(sensor): number for sensor, number in found.scenes.items()},
                    "skipped": dict(found.skipped),
                }
            )
        )
        return
    for sensor, number in found.scenes.items():
        console.print(f"{counted(number, 'scene')} of {sensor}", markup=False)
    if found.events:
        from rich.table import Table

        table = Table("COMBINATION", "EVENTS", "MATCHUPS", box=None)
        for name in sorted(found.events):
            table.add_row(name, f"{found.events[name]:,}", f"{found.matchups[name]:,}")
        results().print(table)
    console.print(f"{found.matchups.total():,} matchups in {found.events.total():,} events")


def _list(said: Mapping[str, Any], name: str) -> list[str]:
    """Of eomatch: names with commas between them, or a list."""
    value = said.get(name)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in value] if isinstance(value, list) else []


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    return None if value is None or value == "" else str(value)


def _number(said: Mapping[str, Any], name: str, otherwise: float) -> float:
    value = said.get(name)
    if value is None or value == "":
        return otherwise
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name}: {value!r} is no number.") from None


def _box(said: Mapping[str, Any]) -> searching.Bbox | None:
    """Of eomatch's bounds, of which each may be missing; 0 is one as any other."""
    sides = ("min_lon", "min_lat", "max_lon", "max_lat")
    if all(_text(said, side) is None for side in sides):
        return None
    west, south, east, north = (
        _number(said, side, whole) for side, whole in zip(sides, (-180.0, -90.0, 180.0, 90.0), strict=True)
    )
    return west, south, east, north
