"""Where the mass of one voxel lies: the best delay of every transit time, from which follow the nodes worth a look."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from bolus_kernels.dsc.posterior.bank import DELAYS, FINE_MTTS, LANES, MORE_MTTS, MTTS
from bolus_kernels.dsc.posterior.mass import HALF, ONE, ROOM, TWO, ZERO
from bolus_kernels.dsc.posterior.shapes import SHAPES
from bolus_kernels.jit import finite_part

PEAK, PLACE, BEND, TURN = range(4)
"""Of a coarse row, in its delays: the best score between nodes and where it is; how much the score bends there, and how
the peaks bend from row to row."""
FLATTEST, FAR = np.float32(0.05), np.float32(200.0)
"""Rows this far below the best are not told between nodes."""


@finite_part
def ridge(top: Any, room: Any) -> Any:
    """Fill the ridge from the scores of the coarse grid; gives its top, and the two bends there.

    top : the best score. Scores are parabolas between three nodes.
    """
    told, score = room.ridge, room.score
    for row in range(SHAPES * MTTS):
        best = room.best[row] & (DELAYS - 1)
        first = np.uint64(DELAYS * row)
        peak = score[first + np.uint64(best)]
        told[PEAK, row], told[PLACE, row], told[BEND, row] = peak, -ONE, FLATTEST
        if peak > top - FAR:
            at = min(max(best, 1), DELAYS - 2)
            before, here, after = (
                score[first + np.uint64(at - 1)],
                score[first + np.uint64(at)],
                score[first + np.uint64(at + 1)],
            )
            bend, rise = TWO * here - before - after, HALF * (after - before)
            told[PLACE, row] = np.float32(best)
            if bend > FLATTEST:
                place = np.float32(at) + max(-TWO, min(TWO, rise / bend))
                told[PLACE, row] = max(ZERO, min(place, np.float32(DELAYS - 1)))
                told[BEND, row] = bend
                if abs(rise) <= bend:
                    told[PEAK, row] = here + HALF * rise * rise / bend
    highest, across, along = np.float32(-1e30), FLATTEST, FLATTEST
    for s in range(SHAPES):
        for i in range(MTTS):
            row = s * MTTS + min(max(i, 1), MTTS - 2)
            before, here, after = told[PEAK, row - 1], told[PEAK, row], told[PEAK, row + 1]
            turn, rise = max(TWO * here - before - after, FLATTEST), HALF * (after - before)
            row = s * MTTS + i
            told[TURN, row] = turn
            peak = told[PEAK, row]
            if 0 < i < MTTS - 1 and abs(rise) <= turn:
                peak += HALF * rise * rise / turn
            if peak > highest:
                highest, across, along = peak, told[BEND, row], turn
    return highest, across, along


@finite_part
def around(least: Any, denser: int, step: int, room: Any) -> int:
    """Windows of a finer grid where the ridge reaches the least score; gives how many there are, or would be.

    denser : delays of that grid to one of the coarse. step : from one fine transit time to the next.
    """
    told, count, delays = room.ridge, 0, DELAYS * denser
    for s in range(SHAPES):
        for i in range(1, MTTS):
            row = s * MTTS + i
            before, after = told[PEAK, row - 1], told[PEAK, row]
            turn = HALF * HALF * (told[TURN, row - 1] + told[TURN, row])
            if (
                max(before, after) + HALF * HALF * turn < least
                or max(told[PLACE, row - 1], told[PLACE, row]) < ZERO
            ):
                continue
            early = told[PLACE, row - 1] if told[PLACE, row - 1] >= ZERO else told[PLACE, row]
            late = told[PLACE, row] if told[PLACE, row] >= ZERO else early
            bend = min(told[BEND, row - 1], told[BEND, row])
            for fine in range(0, MORE_MTTS + (1 if i == MTTS - 1 else 0), step):
                x = np.float32(fine) / np.float32(MORE_MTTS)
                over = before + x * (after - before) + turn * x * (ONE - x) - least
                if over < ZERO:
                    continue
                middle, reach = early + x * (late - early), sqrt(TWO * over / bend)
                first = max(int(np.float32(denser) * (middle - reach)), 0)
                last = min(int(np.float32(denser) * (middle + reach)) + 1, delays - 1)
                windows = (last - first) // LANES + 1
                first -= (LANES * windows - (last - first + 1)) // 2
                first = max(min(first, delays - LANES * windows), 0)
                for window in range(windows):
                    place = min(count, ROOM - 1)
                    room.rows[place] = s * FINE_MTTS + MORE_MTTS * (i - 1) + fine
                    room.starts[place] = first + LANES * window
                    count += 1
    return count
