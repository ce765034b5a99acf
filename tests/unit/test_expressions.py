from __future__ import annotations

import pytest

from almagest.core.errors import BadRequestError
from almagest.services.tiles.expressions import checked


@pytest.mark.parametrize(
    "expression",
    [
        "b1",
        "(b2-b1)/(b2+b1)",
        "b1*2;b2+3",
        "where(b1>0,b1,0)",
        "b1**2",
        "sqrt(b1**2+b2**2)",
        "-b1",
        "(b1>2)&(b2<3)",
        "b1/1e4",
    ],
)
def test_band_maths_is_computed(expression: str) -> None:
    assert checked(expression) == expression


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9**9", "9**9**9**9*b1", "2**b1", "b1**b2", "b1**99", "b1<<9", "1<<99999999", "__import__('os')",
        "b1.real", "[b1]", "lambda: 1", "b1 if b2 else b3", "(" * 400 + "b1", ";".join(["b1"] * 30), "b" * 2000, "b1;",
        "x=1", "'a'*9", "+".join(["b1"] * 200), "1e300*b1", "b1[0]", "f()()",
    ],
)  # fmt: skip
def test_what_is_no_band_maths_or_never_ends_is_refused(expression: str) -> None:
    with pytest.raises(BadRequestError, match="expression"):
        checked(expression)
