"""Groups pairs into events: passes during which two sensors went on seeing the same ground."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from almagest.pipelines.matchups.scenes import Times

#: Without a pair for so long, another event begins [s]. As orbitx has it: ten times its propagation interval.
GAP_S = 300.0


def events(begins: Times, gap_s: float = GAP_S) -> npt.NDArray[np.int64]:
    """Which event each pair belongs to, counted from 0 in the order of time.

    Args:
        begins: when the earlier scene of each pair began, in any order.
        gap_s: without a pair for longer than this, another event begins.
    """
    order = np.argsort(begins, kind="stable")
    pauses = np.diff(begins[order])
    numbers = np.zeros(len(begins), np.int64)
    numbers[order[1:]] = np.cumsum(pauses > np.timedelta64(round(gap_s * 1e6), "us"))
    return numbers
