"""Counting what a mirror does, and saying so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from almagest.catalogue.storing import Outcome


@dataclass
class Tally:
    """What came of what a source told.

    Attributes:
        say: takes a sentence that stays.
        see: takes the present state, as often as there is something new.
        told: entries.
        created, updated, unchanged: documents that are here now.
        deleted: documents that are gone.
        refused: documents that could not be taken.
        walks: how many times all was gone through, in this run.
    """

    say: Callable[[str], None] = lambda _: None
    see: Callable[[Tally], None] = lambda _: None
    told: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    refused: int = 0
    walks: int = 0

    def add(self, outcome: Outcome, *, deleted: int = 0) -> None:
        """Counts what was stored."""
        self.created += outcome.created
        self.updated += outcome.updated
        self.unchanged += outcome.unchanged
        self.deleted += deleted

    def refuse(self, collection: str, item: str | None, reason: str) -> None:
        """Says why a document stays out."""
        self.refused += 1
        self.say(f"{collection}/{item}: {reason}" if item is not None else f"{collection}: {reason}")

    def summary(self) -> dict[str, int]:
        """The numbers by their names."""
        plain = Tally(**{name: getattr(self, name) for name in _NUMBERS})
        return {name: number for name, number in asdict(plain).items() if name in _NUMBERS}

    def __str__(self) -> str:
        return (
            f"{self.told:,} entries: {self.created:,} created, {self.updated:,} updated, {self.unchanged:,} unchanged,"
            f" {self.deleted:,} deleted, {self.refused:,} refused"
        )


_NUMBERS = ("told", "created", "updated", "unchanged", "deleted", "refused", "walks")
