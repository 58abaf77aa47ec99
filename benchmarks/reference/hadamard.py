"""Time-encoded labelling: Hadamard matrices, the volumes of an encoding, and the sub-boli decoded from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sylvester(size: int) -> Array:
    """The natural order: H_1 = 1, H_2n = [[H, H], [H, -H]]. Raises ValueError unless size is a power of two."""
    if size < 1 or size & (size - 1):
        raise ValueError(f"{size} is not a power of two")
    if size == 1:
        return np.ones((1, 1))
    half = sylvester(size // 2)
    return np.block([[half, half], [half, -half]])


def walsh(size: int) -> Array:
    """The same rows by their number of changes of sign, fewest first."""
    natural = sylvester(size)
    return natural[np.argsort(np.sum(natural[:, 1:] != natural[:, :-1], axis=1))]


def paley() -> Array:
    """Size 12: a first row and column of ones, and Q - I, Q_ij = chi(j - i) the quadratic character modulo 11.

    Source: Paley 1933, J Math Phys 12:311, construction I.
    """
    squares = {x * x % 11 for x in range(1, 11)}
    chi = np.array([0 if x == 0 else 1 if x in squares else -1 for x in range(11)])
    q = np.array([[chi[(j - i) % 11] for j in range(11)] for i in range(11)])
    matrix = np.ones((12, 12))
    matrix[1:, 1:] = q - np.eye(11)
    return matrix


def delays(delay: float, durations: Array) -> Array:
    """PLD of each sub-bolus, first labelled first: PLD plus the durations of all later ones; (b,) s."""
    durations = np.asarray(durations, np.float64)
    return np.array([delay + durations[b + 1 :].sum() for b in range(len(durations))])


def encode(matrix: Array, differences: Array, static: float) -> Array:
    """The volumes of one encoding: S_i = static - sum_b [sub-bolus b is labelled in i] dM_b.

    matrix : (N, N), first column ones, +1 control and -1 label. differences : (N - 1,) control - label of each
    sub-bolus, in order of labelling. Gives (N,). Source: Gunther 2007, ISMRM 15:380; Teeuwisse et al. 2014,
    Magn Reson Med 72:1712.
    """
    labelled = matrix[:, 1:] < 0
    return np.array([static - np.sum(differences[row]) for row in labelled])


def decode(matrix: Array, volumes: Array) -> Array:
    """dM_b = (2/N) sum_i H_ib S_i without the first column; volumes : (N,), gives (N - 1,)."""
    n = len(matrix)
    return np.array([2 / n * np.sum(matrix[:, b] * volumes) for b in range(1, n)])
