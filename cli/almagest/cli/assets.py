"""``almagest assets``: which stored assets outsiders may read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from almagest.cli.output import console

if TYPE_CHECKING:
    from almagest.catalogue.assets import Selection

app = typer.Typer(
    help="Say which stored assets outsiders may read.", epilog="Example: almagest assets list", no_args_is_help=True
)

Collection = Annotated[str, typer.Argument(help="Id of the collection.")]
Items = Annotated[
    list[str] | None, typer.Option("--item", metavar="ID", help="Only this item; may be given more than once.")
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key", metavar="KEY", help="Only assets of this key; `*` and `?` are wildcards; may be given more than once."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, only say what would be changed.")]


@app.command(epilog="Example: almagest assets expose sample-msi-l1c --key 'B*' --key visual")
def expose(collection: Collection, item: Items = None, key: Keys = None, dry_run: DryRun = False) -> None:
    """Let outsiders read the assets of a collection that are stored here. Exit code 1 where one was refused."""
    from almagest.catalogue import assets
    from almagest.cli.stack import session

    settings = session.attach()
    with _progress("items") as done:
        outcome = assets.expose(
            settings, _selection(collection, item, key), dry_run=dry_run, refused=_complain, progress=done
        )
    would = "would be " if dry_run else ""
    print(f"{outcome.changed:,} assets {would}exposed, {outcome.unchanged:,} were already", end="")
    print(f", {outcome.elsewhere:,} lie elsewhere" if outcome.elsewhere else "", end="")
    print(f", {outcome.refused:,} refused" if outcome.refused else "")
    raise typer.Exit(1 if outcome.refused else 0)


@app.command(epilog="Example: almagest assets hide sample-msi-l1c --item S1A_20250603T103012 --key quality")
def hide(collection: Collection, item: Items = None, key: Keys = None, dry_run: DryRun = False) -> None:
    """Let outsiders no longer read assets of a collection, from their next request on.

    Where one goes that an item is shown by, like `visual`, its thumbnails go along: they are pictures of it. Exit code
    1 where there was nothing to hide, as where a name is misspelt.
    """
    from almagest.catalogue import assets
    from almagest.cli.stack import session

    hidden = assets.hide(session.attach(), _selection(collection, item, key), dry_run=dry_run)
    print(f"{hidden:,} assets {'would be ' if dry_run else ''}hidden")
    if not hidden:
        console.print("nothing of that kind was exposed: `almagest assets list` shows what is", markup=False)
        raise typer.Exit(1)


@app.command("list", epilog="Example: almagest assets list --json")
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, asset by asset.")] = False) -> None:
    """How many assets of which collections are exposed."""
    from almagest.catalogue import assets
    from almagest.cli.stack import session

    rows = assets.exposed(session.attach())
    if as_json:
        names = ("collection", "item", "key", "location")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
        return
    counts = Counter(collection for collection, *_ in rows)
    items = Counter(collection for collection, _ in {row[:2] for row in rows})
    for collection, count in counts.items():
        print(f"{collection}: {count:,} assets of {items[collection]:,} items")


@app.command(epilog="Example: almagest assets migrate-prefix file:///disk1/store/ file:///disk2/store/ --dry-run")
def migrate_prefix(
    old: Annotated[str, typer.Argument(help="What hrefs begin with: `file:///folder/` or `s3://bucket/folder/`.")],
    new: Annotated[str, typer.Argument(help="What they will begin with. Copy the files there before.")],
    dry_run: DryRun = False,
) -> None:
    """Rewrite the beginning of asset hrefs in all items. What is exposed stays so all the time.

    Can be broken off and called again. Remove the old files only when nothing was refused: exit code 1 says so.
    """
    from almagest.catalogue import relocation
    from almagest.cli.stack import session

    settings = session.attach()
    with _progress("items") as done:
        moved = relocation.migrate_prefix(settings, old, new, dry_run=dry_run, refused=_complain, progress=done)
    would = "would be " if dry_run else ""
    print(f"{moved.items:,} items {would}rewritten, {moved.exposed:,} exposed assets {would}moved", end="")
    print(f", {moved.refused:,} refused" if moved.refused else "")
    raise typer.Exit(1 if moved.refused else 0)


def _selection(collection: str, items: list[str] | None, keys: list[str] | None) -> Selection:
    from almagest.catalogue.assets import Selection

    return Selection(collection, tuple(items or ()), tuple(keys or ()))


def _complain(refusal: object) -> None:
    console.print(f"refused: {refusal}", markup=False, soft_wrap=True)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """A line that counts, as long as somebody looks at it."""
    total = 0
    with console.status("") as line:

        def done(count: int) -> None:
            nonlocal total
            total += count
            line.update(f"{total:,} {what}")

        yield done
