"""Two-line elements: what is read, and what is refused with the line that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from almagest.pipelines.matchups.elements import parse
from support import orbiting

FIRST = "1 99001U 24001A   22001.13055556  .00000000  00000-0  00000+0 0    14"
SECOND = "2 99001  98.5700  78.2800 0001149   0.0000 272.4000 14.31717441    19"
PAIR = f"{FIRST}\n{SECOND}"


def summed(line: str) -> str:
    """The line with the checksum that its characters make."""
    total = sum(int(sign) if sign.isdigit() else sign == "-" for sign in line[:-1])
    return f"{line[:-1]}{total % 10}"


@pytest.mark.parametrize(
    "text",
    [PAIR, f"SENTINEL-2A\n{PAIR}\n", f"0 SENTINEL-2A             \n{PAIR}  \n\n", f"{PAIR}\nSENTINEL-2A\n",
     PAIR.replace("\n", "\r\n")],
)  # fmt: skip
def test_names_and_empty_lines_do_not_matter(text: str) -> None:
    (found,) = parse(text)
    assert (found.first, found.second, found.satellite) == (FIRST, SECOND, "99001")
    expected = datetime(2022, 1, 1, tzinfo=UTC) + timedelta(hours=3, minutes=8)
    assert abs(found.epoch - expected) < timedelta(milliseconds=1)


def test_numbers_may_begin_with_blanks() -> None:
    (found,) = parse(f"{summed(FIRST.replace('22001.', '22  1.'))}\n{SECOND}")
    assert found.epoch.day == 1


def test_many_sets_stand_one_after_the_other() -> None:
    later = summed(FIRST.replace("22001.", "22003."))
    found = parse(f"SENTINEL-2A\n{PAIR}\nSENTINEL-2A\n{later}\n{SECOND}")
    assert [(each.line, each.epoch.day) for each in found] == [(2, 1), (5, 3)]


def test_years_of_two_digits_begin_with_the_first_satellites() -> None:
    (old,) = parse(f"{summed(FIRST.replace('22001', '57300'))}\n{SECOND}")
    (new,) = parse(f"{summed(FIRST.replace('22001', '56300'))}\n{SECOND}")
    assert (old.epoch.year, new.epoch.year) == (1957, 2056)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there are no elements"),
        ("SENTINEL-2A\n", "there are no elements"),
        (FIRST, "line 1: a line 1 without the line 2"),
        (SECOND, "line 1: a line 2 without the line 1"),
        (f"{FIRST}\n{FIRST}\n{SECOND}", "line 1: a line 1 without"),
        (f"{PAIR}\n{SECOND}", "line 3: a line 2 without"),
        (f"{FIRST}\n\nSENTINEL-2A\n{SECOND}", "line 1: a line 1 without"),
        (f"X{FIRST}\n{SECOND}", "line 1: neither"),
        (f"{FIRST[:-1]}\n{SECOND}", "line 1: it has 68 characters"),
        (f"{FIRST}\n{SECOND}1", "line 2: it has 70 characters"),
        (f"{FIRST[:-1]}5\n{SECOND}", "line 1: its checksum is 5, not the 4"),
        (f"{FIRST}\n{SECOND.replace(' 78.28', ' 79.28')}", "line 2: its checksum is 9, not the 0"),
        (f"{FIRST}\n{summed(SECOND.replace('99001', '99002'))}", "line 2: it is of satellite 99002"),
        (f"{PAIR}\n{summed(FIRST.replace('99001', '99002'))}\n{summed(SECOND.replace('99001', '99002'))}",
         "line 3: it is of satellite 99002, others are of 99001"),
        (f"{summed(FIRST.replace('22001.', '22000.'))}\n{SECOND}", "line 1: there is no day 000"),
        (f"{summed(FIRST.replace('22001.', '22367.'))}\n{SECOND}", "line 1: there is no day 367"),
        (f"{FIRST}\n{summed(SECOND.replace('98.5700', '98,5700'))}", "line 2: its columns are not those of a line 2"),
        (f"{summed(FIRST.replace('22001.13055556', '22001.13x55556'))}\n{SECOND}", "line 1: its columns"),
        (f"{FIRST.replace('2', chr(0x662))}\n{SECOND}", "line 1: "),
        # A letter of two bytes is one character, and moves all columns behind it.
        (f"{summed(FIRST.replace('24001A', '24é01A'))}\n{SECOND}", "line 1: there is no 'é' in elements"),
        (f"{summed(FIRST.replace('001A', chr(9) + '01A'))}\n{SECOND}", r"line 1: there is no '\\t' in elements"),
        (f"{summed(FIRST.replace('22001.', '221 1.'))}\n{SECOND}", "line 1: its columns"),
        (f"{FIRST}\n{summed(SECOND.replace(' 272.4', ' 2 2.4'))}", "line 2: its columns"),
        (f"{FIRST}\n{summed(SECOND.replace(' 14.3', ' 1 .3'))}", "line 2: its columns"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_named_by_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        parse(text)


def test_of_every_digit_that_is_changed_the_checksum_tells() -> None:
    """It is what keeps a typing error from moving a satellite to where it is not."""
    for at, sign in enumerate(SECOND):
        if sign.isdigit() and at > 1:
            with pytest.raises(ValueError, match="line 2"):
                parse(f"{FIRST}\n{SECOND[:at]}{(int(sign) + 1) % 10}{SECOND[at + 1 :]}")


def test_what_others_write_is_read() -> None:
    (found,) = parse(orbiting.lines(99_001, datetime(2025, 5, 1, 12, tzinfo=UTC)))
    assert (found.satellite, found.epoch) == ("99001", datetime(2025, 5, 1, 12, tzinfo=UTC))
    if not orbiting.REAL.is_dir():
        pytest.skip("the real elements are not there")
    for platform in orbiting.FILES:
        found_ones = parse(orbiting.real(platform))
        assert len(found_ones) > 100
        assert all(each.epoch.year == 2022 for each in found_ones)
