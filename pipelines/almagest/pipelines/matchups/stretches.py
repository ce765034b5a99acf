"""Stretches of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from almagest.catalogue.moments import parsed

#: What begins before, or ends after, has a time that stands for none, such as the zeros of some languages.
KNOWN = (datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Stretch:
    """A stretch of time, either end of which may be open (None).

    Attributes:
        begin: which belongs to it.
        end: which does not.
    """

    begin: datetime | None = None
    end: datetime | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """As STAC writes it, with a `/` in between; a moment alone is both ends.

        Raises:
            ValueError: it is none; the message says why.
        """
        first, _, last = text.partition("/") if "/" in text else (text, "", text)
        begin, end = (None if part in {"", ".."} else parsed(part) for part in (first, last))
        if begin and end and end < begin:
            raise ValueError("it ends before it begins")
        return cls(begin, end)

    def __str__(self) -> str:
        return "/".join(time.isoformat().replace("+00:00", "Z") if time else ".." for time in (self.begin, self.end))

    def __contains__(self, moment: datetime) -> bool:
        return (self.begin is None or self.begin <= moment) and (self.end is None or moment < self.end)

    @property
    def is_known(self) -> bool:
        """Whether both ends, where it has them, are times of which something may be known."""
        return all(KNOWN[0] <= moment < KNOWN[1] for moment in (self.begin, self.end) if moment)

    def overlaps(self, other: Stretch) -> bool:
        """Whether there is a moment that belongs to both."""
        return (self.begin is None or other.end is None or self.begin < other.end) and (
            other.begin is None or self.end is None or other.begin < self.end
        )

    def __or__(self, other: Stretch) -> Stretch:
        """Around both."""
        return Stretch(
            None if self.begin is None or other.begin is None else min(self.begin, other.begin),
            None if self.end is None or other.end is None else max(self.end, other.end),
        )


def gathered(stretches: Iterable[tuple[datetime, datetime]], apart: timedelta) -> Iterator[Stretch]:
    """Stretches with both ends, in the order of time; those that are no further apart than this are one."""
    begin = end = None
    for first, last in sorted(stretches):
        if begin is None or end is None or first > end + apart:
            if begin is not None:
                yield Stretch(begin, end)
            begin, end = first, last
        else:
            end = max(end, last)
    if begin is not None:
        yield Stretch(begin, end)
