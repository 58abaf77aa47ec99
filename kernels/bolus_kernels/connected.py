"""What hangs together in a mask: its largest part, and the holes in its slices, from runs along its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import kernel, part


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest part of a mask (z, y, x) whose voxels are joined by their faces, of equal ones the first; or none.

    Source: runs and their equivalences, Rosenfeld and Pfaltz, J ACM 13:471 (1966).
    """
    found = np.zeros(mask.shape, np.bool_)
    _largest_part(np.ascontiguousarray(mask), *_room(mask), found)
    return found


def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (z, y, x) with its holes: what no path over edges within a slice joins to the slice's first corner.

    The corner must be outside the mask, as it is where a slice's border is empty; a slice where it is not is full.
    """
    found = np.ones(mask.shape, np.bool_)
    _filled(np.ascontiguousarray(mask), *_room(mask), found)
    return found


def _room(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For the runs (start, stop, and the first run they are joined to), and where those of each row begin."""
    rows, width = mask.shape[0] * mask.shape[1], mask.shape[2]
    return np.empty((3, rows * ((width + 1) // 2)), np.int32), np.empty(rows + 1, np.int32)


@kernel
def _largest_part(mask: Any, runs: Any, first: Any, found: Any) -> None:
    depth, height, _ = mask.shape
    count = _runs_in_slices(mask, True, runs, first)
    start, stop, joined = runs[0], runs[1], runs[2]
    for row in range(height, depth * height):
        _join(row - height, row, runs, first)
    size = np.zeros(count, np.int64)
    best = 0
    for i in range(count):
        size[_root(joined, i)] += stop[i] - start[i]
    for i in range(count):
        best = i if size[i] > size[best] else best
    for row in range(depth * height):
        line = found[row // height, row % height]
        for i in range(first[row], first[row + 1]):
            if _root(joined, i) == best:
                line[start[i] : stop[i]] = True


@kernel
def _filled(mask: Any, runs: Any, first: Any, found: Any) -> None:
    depth, height, _ = mask.shape
    _runs_in_slices(mask, False, runs, first)
    start, stop, joined = runs[0], runs[1], runs[2]
    for z in range(depth):
        if mask[z, 0, 0]:
            continue
        corner = first[z * height]  # joined to none before it
        for row in range(z * height, (z + 1) * height):
            line = found[z, row - z * height]
            for i in range(first[row], first[row + 1]):
                if _root(joined, i) == corner:
                    line[start[i] : stop[i]] = False


@part
def _runs_in_slices(mask: Any, value: bool, runs: Any, first: Any) -> int:
    """The runs of a value along x, joined within each slice; how many they are."""
    count = _find_runs(mask, value, runs, first)
    for row in range(mask.shape[0] * mask.shape[1]):
        if row % mask.shape[1]:
            _join(row - 1, row, runs, first)
    return count


@part
def _find_runs(mask: Any, value: bool, runs: Any, first: Any) -> int:
    """The runs of a value along x, each joined to itself alone; how many they are."""
    depth, height, width = mask.shape
    start, stop, joined = runs[0], runs[1], runs[2]
    count = 0
    for row in range(depth * height):
        first[row] = count
        line, inside = mask[row // height, row % height], False
        for x in range(width):
            if (line[x] == value) != inside:
                inside = not inside
                if inside:
                    start[count] = x
                else:
                    stop[count] = x
                    joined[count] = count
                    count += 1
        if inside:
            stop[count] = width
            joined[count] = count
            count += 1
    first[depth * height] = count
    return count


@part
def _join(before: int, row: int, runs: Any, first: Any) -> None:
    """Join the runs of two rows that lie side by side wherever they overlap."""
    start, stop, joined = runs[0], runs[1], runs[2]
    i, j = first[before], first[row]
    while i < first[before + 1] and j < first[row + 1]:
        if start[i] < stop[j] and start[j] < stop[i]:
            one, other = _root(joined, i), _root(joined, j)
            joined[max(one, other)] = min(one, other)
        if stop[i] < stop[j]:
            i += 1
        else:
            j += 1


@part
def _root(joined: Any, i: int) -> int:
    """The first of all runs that one is joined to; the way there is halved as it is gone."""
    while joined[i] != i:
        joined[i] = joined[joined[i]]
        i = joined[i]
    return i
