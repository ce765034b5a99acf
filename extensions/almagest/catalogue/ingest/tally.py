"""What became of what was read: numbers, and a line of the report for each thing that went wrong or was mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import IO, Any, Literal

#: Of refusals, so many are also said to whoever watches.
SHOWN = 20


@dataclass(frozen=True)
class Entry:
    """One line of the report.

    Attributes:
        kind: whether it stayed out, or went in changed.
        file: where the document was found.
        collection: the collection it belongs to, as far as it says.
        id: its id, as far as it has one.
        reason: why it stayed out, or what was mended.
    """

    kind: Literal["refused", "mended"]
    file: str
    collection: str | None
    id: str | None
    reason: str

    def as_json(self) -> str:
        """The line."""
        word = "reason" if self.kind == "refused" else "remark"
        line = {"kind": self.kind, "file": self.file, "collection": self.collection, "id": self.id, word: self.reason}
        return json.dumps(line, ensure_ascii=False)

    def __str__(self) -> str:
        # Most reasons name the document; those that cannot, because it says too little, are told where it stands.
        return f"{self.file}: {self.reason}" if self.id is None else f"{self.file}: {self.id}: {self.reason}"


@dataclass
class Totals:
    """Numbers of a whole ingest.

    Attributes:
        items: read, good or bad.
        created: stored that were not there before.
        updated: stored in the place of another document.
        unchanged: there already, equal.
        resumed: of those, stored by an earlier run that was broken off, and so not sent again.
        repeated: read more than once, equal.
        refused: documents that stayed out, collections included.
        mended: documents that went in changed, collections included.
        checked: good ones that were only looked at (``dry_run``).
        batches_sent: batches that went to the catalogue.
        batches_resumed: batches that an earlier run had sent.
        collections_created: collections that were not there before.
        collections_updated: collections whose document is another now.
        collections_unchanged: collections that were there already, equal.
    """

    items: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    resumed: int = 0
    repeated: int = 0
    refused: int = 0
    mended: int = 0
    checked: int = 0
    batches_sent: int = 0
    batches_resumed: int = 0
    collections_created: int = 0
    collections_updated: int = 0
    collections_unchanged: int = 0

    def __str__(self) -> str:
        """One line for people."""
        collections = {
            "created": self.collections_created,
            "updated": self.collections_updated,
            "unchanged": self.collections_unchanged,
        }
        items = {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "stored by the run before": self.resumed,
            "repeated": self.repeated,
            "good, none was stored": self.checked,
        }
        found = sum(collections.values())
        parts = [f"{found:,} collection{'s' * (found != 1)}: {_listed(collections)}"] if found else []
        listed = _listed(items)
        parts.append(f"{self.items:,} item{'s' * (self.items != 1)}{f': {listed}' if listed else ''}")
        parts += [f"{self.refused:,} refused"] if self.refused else []
        parts += [f"{self.mended:,} mended"] if self.mended else []
        return "; ".join(parts)


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {word}" for word, number in numbers.items() if number)


@dataclass(frozen=True)
class Progress:
    """How far an ingest is: numbers so far, and which part (0 to 1) of the sources is read, where that is known."""

    totals: Totals
    fraction: float | None


@dataclass
class Tally:
    """Counts, writes the report and tells whoever watches.

    Attributes:
        report: where lines of the report go, if anybody wants them.
        say: is told sentences: the first refusals, and what the ingest waits for.
        watch: is told the progress, often.
    """

    report: IO[str] | None = None
    say: Callable[[str], None] = lambda _: None
    watch: Callable[[Progress], None] = lambda _: None
    totals: Totals = field(default_factory=Totals)

    def note(self, entries: Iterable[Entry]) -> None:
        """Counts refusals and mended documents."""
        for entry in entries:
            if self.report:
                self.report.write(f"{entry.as_json()}\n")
            if entry.kind == "mended":
                self.totals.mended += 1
                continue
            self.totals.refused += 1
            if self.totals.refused <= SHOWN:
                self.say(f"refused: {entry}")
            elif self.totals.refused == SHOWN + 1:
                self.say("refused: more; the report (--report FILE) has all of them")

    def add(self, **numbers: int) -> None:
        """Adds to the totals, by the names of their fields."""
        self.totals = replace(self.totals, **{name: getattr(self.totals, name) + n for name, n in numbers.items()})

    def show(self, fraction: float | None) -> None:
        """Tells the progress."""
        self.watch(Progress(self.totals, fraction))

    def summary(self) -> dict[str, Any]:
        """The totals for programs."""
        return dict(vars(self.totals))
