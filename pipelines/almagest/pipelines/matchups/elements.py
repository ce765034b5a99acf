"""Two-line element sets, as NORAD writes orbits: read, and checked as far as that needs no orbit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: Columns of both lines, the last one of which is the checksum, as Space-Track describes them. A letter may begin the
#: number of a satellite ("alpha-5"). A number may begin with blanks, and has none within.
_FIRST = re.compile(
    r"1 [0-9A-Z ][\d ]{4}[A-Z ] .{8} \d\d(?= *\d*\.)[\d ]{3}\.\d{8} [ +-]\.\d{8} [ +-][\d ]{5}[ +-]\d"
    r" [ +-][\d ]{5}[ +-]\d [\d ] [\d ]{4}\d",
    re.ASCII,
)
_SECOND = re.compile(
    r"2 [0-9A-Z ][\d ]{4}( (?= *\d*\.)[\d ]{3}\.\d{4}){2} \d{7}( (?= *\d*\.)[\d ]{3}\.\d{4}){2}"
    r" (?= *\d*\.)[\d ]{2}\.\d{8}[\d ]{5}\d",
    re.ASCII,
)
_LENGTH = 69
#: What is longer, and is no line of elements, is one that was damaged.
_LONGEST_NAME = 40
#: Two digits name a year from 1957, the first with satellites, to 2056.
_FIRST_YEAR = 57


@dataclass(frozen=True)
class Elements:
    """One set.

    Attributes:
        first: its line 1, without a name before it.
        second: its line 2.
        line: where its line 1 stands in the text, counted from 1.
    """

    first: str
    second: str
    line: int

    @property
    def satellite(self) -> str:
        """Its number in the catalogue of satellites."""
        return self.first[2:7].strip()

    @property
    def epoch(self) -> datetime:
        """The moment that the elements are of, to a microsecond."""
        year, days = int(self.first[18:20]), float(self.first[20:32])
        begin = datetime(year + (1900 if year >= _FIRST_YEAR else 2000), 1, 1, tzinfo=UTC)
        return begin + timedelta(days=days - 1)


def parse(text: str) -> list[Elements]:
    """The sets of one satellite, in the order in which they stand there.

    Each has two lines; between them and others may stand names and empty lines.

    Raises:
        ValueError: these are none, or not of one satellite; the message names the line.
    """
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    found: list[Elements] = []
    at = 0
    while at < len(lines):
        number, line = lines[at]
        if line.startswith("2 "):
            raise ValueError(f"line {number}: a line 2 without the line 1 that belongs before it")
        if not line.startswith("1 "):
            if len(line) > _LONGEST_NAME:
                raise ValueError(f"line {number}: neither a line of elements nor a name")
            at += 1
            continue
        if at + 1 == len(lines) or not lines[at + 1][1].startswith("2 "):
            raise ValueError(f"line {number}: a line 1 without the line 2 that belongs behind it")
        found.append(_pair(*lines[at], *lines[at + 1]))
        at += 2
    _require_one(found)
    return found


def _pair(number: int, first: str, next_number: int, second: str) -> Elements:
    _check(number, first, _FIRST)
    _check(next_number, second, _SECOND)
    if first[2:7] != second[2:7]:
        raise ValueError(f"line {next_number}: it is of satellite {second[2:7]}, the line before it of {first[2:7]}")
    found = Elements(first, second, number)
    if not 1 <= float(first[20:32]) < 367:
        raise ValueError(f"line {number}: there is no day {first[20:32].strip()} in a year")
    return found


def _check(number: int, line: str, form: re.Pattern[str]) -> None:
    if not (line.isascii() and line.isprintable()):  # SGP4 counts its columns in bytes
        odd = next(sign for sign in line if not (sign.isascii() and sign.isprintable()))
        raise ValueError(f"line {number}: there is no {odd!r} in elements, which are written in ASCII")
    if len(line) != _LENGTH:
        raise ValueError(f"line {number}: it has {len(line)} characters, not {_LENGTH}")
    total = sum(int(sign) for sign in line[:-1] if sign in "0123456789") + line[:-1].count("-")
    if line[-1] != str(total % 10):
        raise ValueError(f"line {number}: its checksum is {line[-1]}, not the {total % 10} that its characters make")
    if not form.fullmatch(line):
        raise ValueError(f"line {number}: its columns are not those of a line {line[0]} of elements")


def _require_one(found: Sequence[Elements]) -> None:
    if not found:
        raise ValueError("there are no elements")
    for each in found:
        if each.satellite != found[0].satellite:
            raise ValueError(
                f"line {each.line}: it is of satellite {each.satellite}, others are of {found[0].satellite}"
            )
