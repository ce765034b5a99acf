"""Boxes of searches."""

from __future__ import annotations

import math
from collections.abc import Iterable


def require_finite(bbox: Iterable[float] | None) -> None:
    """Refuses what no answer can be right for.

    Raises:
        ValueError: says what is wrong.
    """
    if bbox is not None and not all(map(math.isfinite, bbox)):
        raise ValueError("holds a number that is not finite")
