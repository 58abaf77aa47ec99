"""Matrices of a time-encoded label: which of its parts each volume of a cycle shows as control or label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import BolusError, Code
from bolus.recipe import Recipe
from bolus.series import ASL, Series
from bolus.voxels import refuse

Signs = NDArray[np.float64]


def signs_of(recipe: Recipe) -> Signs:
    """The matrix (N, N) that a recipe names: rows are volumes, columns are parts, +1 control and -1 label.

    The first column is all ones: it belongs to no part. Raises BolusError E_RECIPE for a size that the family of
    matrices does not have, or a matrix whose columns are not orthogonal.
    Source: Sylvester, Phil Mag 34:461 (1867); Walsh, Am J Math 45:5 (1923); Paley, J Math Phys 12:311 (1933).
    """
    how, size = recipe["asl.encoding"], recipe["asl.encoding_size"]
    if how == "matrix":
        return _given(recipe["asl.encoding_matrix"])
    if how == "paley":
        if not (_is_prime(size - 1) and size % 4 == 0):
            raise _refused(
                f"asl.encoding_size = {size}", "4, 8, 12, 20, 24, ...: a prime of the form 4k + 3, plus 1"
            )
        return _paley(size)
    if size & (size - 1):
        raise _refused(
            f"asl.encoding_size = {size} with asl.encoding = {how}", "a power of two, or paley for 12"
        )
    signs = np.ones((1, 1))
    while len(signs) < size:
        signs = np.block([[signs, signs], [signs, -signs]])
    if how == "walsh":  # in order of the number of changes of sign along a row
        signs = signs[np.argsort((np.diff(signs) != 0).sum(1))]
    return signs


def part_durations(series: Series, acquisition: ASL, recipe: Recipe, size: int) -> NDArray[np.float64]:
    """How long each part of the label lasts (size - 1,) s, first labelled first: the recipe's, else the sidecar's."""
    durations = recipe["asl.encoding_durations"] or acquisition.sub_bolus_duration
    if len(durations) != size - 1 or min(durations) <= 0:
        seen = f"{len(durations)} durations of the parts of an encoded label" + (
            " (s), not all above 0" if durations else ""
        )
        mend = "Give asl.encoding_durations, or LabelingDuration as a list of them, first labelled first."
        raise refuse(series, Code.META, seen, f"{size - 1} for an encoding of {size}", mend)
    return np.array(durations, np.float64)


def part_delays(delay: float, durations: NDArray[Any]) -> NDArray[np.float64]:
    """From the end of each part to the readout (s): the series' delay and all parts labelled later."""
    return np.asarray(delay + durations.sum() - np.cumsum(durations))


def _paley(size: int) -> Signs:
    """I + S of the quadratic residues of a prime (Paley 1933), rows turned so that the first column is all ones."""
    prime = size - 1
    residue = np.full(prime, -1.0)
    residue[np.arange(1, prime) ** 2 % prime] = 1
    residue[0] = 0
    place = np.arange(prime)
    signs = np.eye(size)
    signs[0, 1:], signs[1:, 0] = 1, -1
    signs[1:, 1:] += residue[(place[:, None] - place) % prime]
    return signs * signs[:, :1]


def _given(values: list[float]) -> Signs:
    size = round(len(values) ** 0.5)
    expected = "N x N numbers of 1 and -1, row by row, whose columns are orthogonal and the first all 1"
    if size < 2 or size * size != len(values) or any(abs(value) != 1 for value in values):
        raise _refused(f"asl.encoding_matrix of {len(values)} numbers", expected)
    signs = np.array(values).reshape(size, size)
    if (signs[:, 0] != 1).any() or (signs.T @ signs != size * np.eye(size)).any():
        raise _refused("an asl.encoding_matrix whose columns cannot be told apart", expected)
    return signs


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, round(number**0.5) + 1))


def _refused(seen: str, expected: str) -> BolusError:
    return BolusError(
        Code.RECIPE, "recipe", seen, expected, "Take the matrix from the sequence's documentation."
    )
