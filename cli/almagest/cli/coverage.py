"""``almagest coverage``: what a catalogue holds of the matchups of each pair of sensors."""

from __future__ import annotations

import importlib.util
import json
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli import options, searching
from almagest.cli.output import console, plain, results
from almagest.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almagest.pipelines.matchups.coverage.numbers import Coverage, Pair

EPILOG = "Example: almagest coverage --api-url https://host/api --datetime 2024-01-01/2024-12-31 --output coverage.html"

#: From a little to the most, behind nothing; for terminals that know letters alone, too.
_STEPS, _PLAIN_STEPS = "·▁▂▃▄▅▆▇█", " .:-=+*%#"
_UNTOLD = "–"


def coverage(
    api_url: options.ApiUrl = None,
    config: options.ConfigFile = None,
    collections: Annotated[
        list[str] | None,
        typer.Option(metavar="ID...", help="Only pairs of these collections: of scenes, matchups or events."),
    ] = None,
    datetime: Annotated[
        str | None,
        typer.Option(
            metavar="INTERVAL",
            help="Only what is of this time: a day, or like `2024-01-01/2024-12-31`; `..` is an open end.",
        ),
    ] = None,
    bbox: searching.Box = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Also write a page of HTML, with charts and maps; `-` prints it, and nothing else.",
        ),
    ] = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Show what there is of the matchups of each pair of sensors: how many, of when, compared, and out of date.

    It counts with the aggregations of a STAC API, by default that of the catalogue here. What an API does not tell is
    a dash, or null: outsiders are not told what is compared or out of date. The API serves the same as a page, at
    `/coverage`.
    """
    from almagest.client.api import StacApi
    from almagest.client.covering import coverage as of_an_api
    from almagest.client.http import Http
    from almagest.core.configuration import Configuration

    if output is not None:
        _require_writable(output, as_json=as_json)
    search = searching.body(bbox=bbox)
    if datetime:
        search["datetime"] = _interval(datetime)
    target = options.api(Configuration.load(config), api_url=api_url, key=key, key_file=key_file)
    with (
        Http(target.url, target.key, say=searching.say) as http,
        Http(target.url, target.key, patience_s=0) as once,
    ):
        api = StacApi.open(http, target.url)
        found = of_an_api(once, api, search, collections or ())
    if output is not None:
        from almagest.pipelines.matchups.coverage.page import Places, page

        source = f"{api.root}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"
        _write(output, page(found, Places(api.root), source=source))
    if as_json:
        print(json.dumps(found.as_json()))
    elif output != "-":
        _tell(found)


def _require_writable(output: str, *, as_json: bool) -> None:
    """Fails before anything is asked: counting may take minutes."""
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigurationError(
            "Pages need jinja2: install Almagest from its clone with the extra `services`, as with "
            "`pip install './almagest[services]'`."
        )
    if output == "-":
        if as_json:
            raise typer.BadParameter("one of them goes to standard output.", param_hint="'--json' / '--output'")
        return
    target = Path(output)
    if target.is_dir():
        raise typer.BadParameter(f"{output} is a folder.", param_hint="'--output'")
    if not target.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {target.parent}.", param_hint="'--output'")


def _write(output: str, text: str) -> None:
    """Writes a page, which has its name only once it is whole."""
    from almagest.catalogue.exchange.writing import is_stream

    if output == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        return
    target = Path(output)
    if is_stream(target):
        target.write_text(text, encoding="utf-8")
    else:
        draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    console.print(f"written: {output}", markup=False, soft_wrap=True)


def _interval(text: str) -> str:
    """As STAC writes it; a day stands for all of it."""
    from almagest.catalogue.moments import whole_days

    ends = whole_days(text).split("/")
    if len(ends) > 2:
        raise typer.BadParameter(f"{text!r} is no time, and no interval.", param_hint="'--datetime'")
    return "/".join(
        ".." if end in {"", ".."} else str(searching.moment(end, "--datetime")) for end in (ends[0], ends[-1])
    )


def _tell(found: Coverage) -> None:
    if not found.pairs:
        console.print("there are no matchups, and no events")
        return
    from rich.table import Table

    table = Table("PAIR", box=None)
    for heading in ("EVENTS", "TO COME", "DEPRECATED", "MATCHUPS", "COMPARED", "STALE"):
        table.add_column(heading, justify="right")
    for heading in ("FIRST", "LAST"):
        table.add_column(heading)
    for pair in found.pairs:
        stale = _share(pair.stale, pair.matchups)
        table.add_row(
            _printable(pair.names.name),
            f"{pair.events.seen:,}",
            _number(pair.events.predicted),
            _number(pair.events.deprecated),
            f"{pair.matchups:,}",
            _share(pair.compared, pair.matchups),
            f"{'≥' if _can_print('≥') else '>='} {stale}" if pair.has_more_stale else stale,
            *(_printable(moment or "")[:10] for moment in (pair.start, pair.end)),
        )
    results().print(table)
    for pair in found.pairs:
        for line in _by_year(pair):
            print(line)


def _by_year(pair: Pair) -> Iterator[str]:
    """A bar for each month, all as high as their share of the fullest."""
    steps = _STEPS if _can_print(_STEPS) else _PLAIN_STEPS
    most = max((month.matchups for month in pair.months), default=0)
    if not most:
        return
    yield f"\n{_printable(pair.names.name)}, matchups by month (at most {most:,})"
    yield "      JFMAMJJASOND"
    for year in sorted({month.month[:4] for month in pair.months}):
        months = {int(month.month[5:]): month for month in pair.months if month.month.startswith(year)}
        counts = [months[number].matchups if number in months else 0 for number in range(1, 13)]
        if not sum(counts):
            continue
        bars = "".join(steps[-(-count * (len(steps) - 1) // most)] for count in counts)
        compared = [month.compared for month in months.values() if month.compared is not None]
        yield f"{year}  {bars}  {sum(counts):,}{f', {sum(compared):,} compared' if compared else ''}"


def _can_print(signs: str) -> bool:
    try:
        signs.encode(_encoding())
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    """A text that somebody else chose, as far as the terminal knows its letters."""
    return plain(text).encode(_encoding(), "replace").decode(_encoding())


def _encoding() -> str:
    return sys.stdout.encoding or "ascii"


def _number(number: int | None) -> str:
    return _untold() if number is None else f"{number:,}"


def _share(part: int | None, whole: int) -> str:
    if part is None:
        return _untold()
    from almagest.pipelines.matchups.coverage.numbers import share

    return f"{part:,} ({share(part, whole)})" if whole else f"{part:,}"


def _untold() -> str:
    return _UNTOLD if _can_print(_UNTOLD) else "-"
