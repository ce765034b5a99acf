"""Following a source: once, up to what it has now, or for as long as one likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from almagest.catalogue.database import translated
from almagest.catalogue.ingest.line import Line
from almagest.catalogue.mirroring import state as states
from almagest.catalogue.mirroring.applying import Applying
from almagest.catalogue.mirroring.entries import BeginAnewError, Page, Source
from almagest.catalogue.mirroring.judging import Judging
from almagest.catalogue.mirroring.tally import Tally
from almagest.core.errors import AlmagestError, BadRequestError, DatabaseUnavailableError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 300.0


class _RefusedError(BeginAnewError):
    """It does not take a cursor."""


@dataclass(frozen=True)
class Options:
    """How a source is followed.

    Attributes:
        name: under which the target remembers how far it has come.
        collections: these; None: all.
        forever: go on when all is applied that is there now.
        prune: what others put into the collections goes, too, when all was gone through.
        adopt: collections that are here, and did not come from the source, are taken over.
        fresh: go through all that is there, whatever was applied before.
        every_s: pause between two questions, where the source does not wait itself [s].
    """

    name: str
    collections: Sequence[str] | None = None
    forever: bool = False
    prune: bool = False
    adopt: bool = False
    fresh: bool = False
    every_s: float = 60.0


def follow(source: Source, line: Line, options: Options, tally: Tally, rest: Callable[[float], None]) -> None:
    """Makes the target equal to a source, from where it stopped.

    Args:
        source: what to follow.
        line: to the target.
        options: how.
        tally: counts, and says what happens.
        rest: waits so many seconds; what it raises ends the following.

    Raises:
        AlmagestError: it cannot go on; what was applied stays, and it goes on from there.
    """
    judging = Judging(source, tally, None if options.collections is None else frozenset(options.collections))
    applying = Applying(line, source, tally, judging, options.prune, options.adopt)
    begin = (line, options.name, source.name, options.collections)
    try:
        with translated():
            state = states.begin(*begin, fresh=options.fresh)
            is_end = was_refused = False
            while True:
                try:
                    page = _asked(source, state.cursor, options, tally, rest, wait=is_end)
                except BeginAnewError as error:
                    if state.cursor is None:
                        raise
                    if was_refused and isinstance(error, _RefusedError):
                        # It will be refused the next time, too: all would be gone through for ever.
                        raise AlmagestError(f"{source.name} refuses the cursors that it gives: {error}") from None
                    was_refused = was_refused or isinstance(error, _RefusedError)
                    tally.say(f"going through all of it again: {error}")
                    state, is_end = states.begin(*begin, fresh=True), False
                    continue
                was_refused = was_refused and not state.is_walked
                if page.entries or page.cursor != state.cursor:
                    state = applying.apply(page, state)
                is_end = page.is_end
                if is_end and not state.is_walked:
                    state = applying.clear(state)
                if is_end and applying.partitions:
                    applying.refresh()
                if is_end and not options.forever:
                    return
                if is_end and not source.waits:
                    rest(options.every_s)
    finally:
        line.close()


def _asked(
    source: Source, cursor: str | None, options: Options, tally: Tally, rest: Callable[[float], None], *, wait: bool
) -> Page:
    """A page; of a source that is away, when it is back."""
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return source.page(cursor, wait=wait and options.forever)
        except BadRequestError as error:
            if cursor is None:
                raise
            # It does not know what it has said: it was set up anew, or has another key to sign with.
            raise _RefusedError(str(error)) from None
        except DatabaseUnavailableError as error:
            if not options.forever:
                raise
            tally.say(f"{error} Asking again in {pause:.0f} s.")
            rest(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
