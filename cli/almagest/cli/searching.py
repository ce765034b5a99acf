"""What to search for, as options of a command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from almagest.cli.output import console
from almagest.core import wording

STOPPED = "What was not complete is gone; nothing else was touched."
_LEVELS = 100

FilterLanguage = Literal["cql2-text", "cql2-json"]
Bbox = tuple[float, float, float, float]

StartTime = Annotated[
    str | None,
    typer.Option(metavar="DATETIME", help="Only items of this time or later (ISO 8601; UTC unless it says)."),
]
EndTime = Annotated[str | None, typer.Option(metavar="DATETIME", help="Only items of this time or earlier.")]
AsOf = Annotated[
    str | None,
    typer.Option(metavar="DATETIME", help="As it was then; the API must be one that knows `as-of`."),
]
Box = Annotated[Bbox | None, typer.Option(metavar="W S E N", help="Only items that meet this box [degrees].")]
Intersects = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Only items that meet the geometry in this GeoJSON file.")
]
Filter = Annotated[
    str | None, typer.Option("--filter", metavar="EXPR", help='Condition in CQL2, like "eo:cloud_cover < 20".')
]
FilterLang = Annotated[FilterLanguage, typer.Option(help="Language of --filter.")]


class ManyValues(TyperCommand):
    """A command whose options that can be repeated take several values at once, too: ``--collections A B``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # of its own kind
        """Repeats the option in front of each of its values."""
        many = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        return super().parse_args(ctx, [*_repeated(args, many)])


def _repeated(arguments: Iterable[str], many: set[str]) -> Iterable[str]:
    option, values = None, 0
    for argument in arguments:
        if option and not argument.startswith("-"):
            if values:
                yield option
            values += 1
        else:
            option, values = (argument, 0) if argument in many else (None, 0)
        yield argument


def body(
    *,
    collections: Sequence[str] = (),
    ids: Sequence[str] = (),
    start_time: str | None = None,
    end_time: str | None = None,
    bbox: Bbox | None = None,
    intersects: Path | None = None,
    filter_expr: str | None = None,
    filter_lang: FilterLanguage = "cql2-text",
    sortby: str | None = None,
) -> dict[str, Any]:
    """The body of a STAC item search. A filter in CQL2 text stays text, whose language the body names."""
    if bbox and intersects:
        raise typer.BadParameter(
            "a search takes a box or a geometry, not both.", param_hint="'--bbox' / '--intersects'"
        )
    search: dict[str, Any] = {
        "collections": list(collections),
        "ids": list(ids),
        "bbox": list(bbox or ()),
        "intersects": _geometry(intersects) if intersects else None,
        "sortby": [*_sort_keys(sortby or "")],
    }
    if start_time or end_time:
        start, end = _moment(start_time, "--start-time"), _moment(end_time, "--end-time")
        if start and end and start > end:
            raise typer.BadParameter("it ends before it starts.", param_hint="'--start-time' / '--end-time'")
        search["datetime"] = "/".join(_printed(moment) for moment in (start, end))
    if filter_expr:
        search["filter"] = filter_expr if filter_lang == "cql2-text" else _object(filter_expr, "--filter")
        search["filter-lang"] = filter_lang
    found = {name: value for name, value in search.items() if value}
    try:
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("a part of this search is not text in UTF-8.") from None
    except ValueError:
        raise typer.BadParameter("a part of this search is a number that is not finite.") from None
    return found


def moment(text: str | None, option: str) -> str | None:
    """A time as an option takes it, as RFC 3339 writes it."""
    found = _moment(text, option)
    return _printed(found) if found else None


def _moment(text: str | None, option: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # of the years 1 and 9999, some hours are in other years where it is UTC
        raise typer.BadParameter(f"{text!r} is no time like 2024-05-31T12:00:00Z.", param_hint=f"'{option}'") from None


def _printed(moment: datetime | None) -> str:
    return moment.isoformat().replace("+00:00", "Z") if moment else ".."


def _geometry(file: Path) -> dict[str, Any]:
    try:
        found = _object(file.read_text(encoding="utf-8"), "--intersects")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise typer.BadParameter(f"{file} cannot be read: {reason}.", param_hint="'--intersects'") from None
    if found.get("type") == "FeatureCollection":
        features = found.get("features")
        if not isinstance(features, list) or len(features) != 1:
            raise typer.BadParameter(f"{file} holds more or less than one feature.", param_hint="'--intersects'")
        found = features[0] if isinstance(features[0], dict) else {}
    geometry = found.get("geometry") if found.get("type") == "Feature" else found
    if not isinstance(geometry, dict) or not ("coordinates" in geometry or "geometries" in geometry):
        raise typer.BadParameter(f"{file} holds no geometry.", param_hint="'--intersects'")
    return geometry


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise typer.BadParameter("this is no JSON object.", param_hint=f"'{option}'")
        if _is_deep(found):
            raise RecursionError
    except ValueError as error:
        raise typer.BadParameter(f"this is no JSON: {error}.", param_hint=f"'{option}'") from None
    except RecursionError:
        raise typer.BadParameter("this is nested too deeply.", param_hint=f"'{option}'") from None
    return found


def _is_deep(document: Any) -> bool:
    """Whether a document has more levels than all that it goes through on its way take."""
    level = [document]
    for _ in range(_LEVELS):
        level = [
            below
            for each in level
            if isinstance(each, dict | list)
            for below in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def _sort_keys(text: str) -> Iterable[dict[str, str]]:
    for key in filter(None, (part.strip() for part in text.split(","))):
        yield {"field": key.lstrip("+-"), "direction": "desc" if key.startswith("-") else "asc"}


def counts(items: int, collections: int) -> str:
    """So many items of so many collections, in words."""
    return f"{wording.counted(items, 'item')} of {wording.counted(collections, 'collection')}"


def say(sentence: str) -> None:
    """Tells what is waited for."""
    console.print(sentence, markup=False, soft_wrap=True)


@contextmanager
def counted() -> Iterator[Callable[[int], None]]:
    """A line that counts items, and how many a second, as long as somebody looks at it."""
    total, started, shown = 0, time.monotonic(), 0.0
    with console.status("") as line:

        def count(number: int) -> None:
            nonlocal total, shown
            total += number
            now = time.monotonic()
            if now - shown > 0.1:
                shown = now
                line.update(f"{total:,} items, {total / max(now - started, 0.1):,.0f} a second")

        yield count
