"""The Fourier transform of zero-padded curves at chosen frequencies, folded to a quarter of its multiplications."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus_kernels.jit import inlined, kernel
from bolus_kernels.tiles import FINITE, TILE

TWO, THREE = 2 * TILE, 3 * TILE
"""Where, in a slice of several rows of a tile, the rows 2 and 3 begin."""
