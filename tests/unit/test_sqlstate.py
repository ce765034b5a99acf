"""What errors of the database mean to a client."""

from __future__ import annotations

import pytest

from almagest.core import sqlstate


@pytest.mark.parametrize(
    ("sentence", "status"),
    [
        ('no partition of relation "items" found for row', 503),
        ('new row for relation "_items_1" violates partition constraint', 503),
        ('new row for relation "items" violates check constraint "c"', 400),
    ],
)
def test_that_there_is_no_room_any_more_is_no_fault_of_the_client(sentence: str, status: int) -> None:
    error = sqlstate.meaning("23514", sentence)
    assert error is not None
    assert error.status == status


def test_of_faults_that_have_no_code_of_their_own_a_geometrys_are_the_clients() -> None:
    error = sqlstate.meaning("XX000", "nesting too deep (at offset 736)")
    assert error is not None
    assert (error.status, str(error)) == (400, "A geometry in this request nests too deeply.")
    assert sqlstate.meaning("XX000", "cache lookup failed for relation 1") is None
