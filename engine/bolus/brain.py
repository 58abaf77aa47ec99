"""The brain of a perfusion series, found on one mean image when no mask is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bolus.errors import BolusError, Code
from bolus_kernels.connected import filled, largest_part
from bolus_kernels.order import histogram, quantile
from bolus_kernels.smooth import gaussian

BINS = 256
SMOOTHED = 0.7
"""Standard deviation, in voxels, of the Gaussian that takes the noise off an image before it is cut in two."""
LEAST_SHARE, MOST_SHARE = 0.01, 0.95


def brain_mask(image: NDArray[Any], zooms: tuple[float, float, float], file: str) -> NDArray[np.bool_]:
    """The largest bright connected part of an image, closed and with its holes filled slice by slice.

    image : (x, y, z), any unit. zooms : mm. Gives (x, y, z) bool. A tumour, dark or bright, stays inside:
    holes are filled after the scalp has been cut off by an opening of about 4 mm. Raises BolusError E_DATA when
    no part of a plausible size stands out. Source: Otsu, IEEE Trans Syst Man Cybern 9:62 (1979).
    """
    finite = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
    smooth = gaussian(finite.T, SMOOTHED)  # images run fastest along x, and so does all that follows
    bright = smooth > otsu(smooth)
    small, large = _ball(4.0, zooms[::-1]), _ball(8.0, zooms[::-1])
    opened = _dilated(_eroded(bright, small), small)
    largest = largest_part(opened if opened.any() else bright)
    box = _box(largest)
    part = np.pad(largest[box], 4)  # nothing that is closed or filled reaches out of the box
    closed = _eroded(_dilated(part, large), large) | part
    mask = np.zeros_like(largest)
    mask[box] = filled(closed)[4:-4, 4:-4, 4:-4]
    mask = mask.T
    share = float(mask.mean())
    if not LEAST_SHARE <= share <= MOST_SHARE:
        raise BolusError(
            Code.DATA,
            file,
            f"no brain that stands out (a mask of {100 * share:.1f} % of the image)",
            f"a bright part of {100 * LEAST_SHARE:.0f} to {100 * MOST_SHARE:.0f} % of the image",
            "Give a brain mask: --derivatives with sub-*/perf/*_label-brain_mask.nii.gz.",
        )
    return mask


def otsu(image: NDArray[Any]) -> float:
    """The threshold that separates an image's values into two classes of least variance (Otsu 1979, eq. 18)."""
    low, top = float(image.min()), quantile(image, 0.995)
    if not low < top:
        return top
    counts = histogram(image, low, top, BINS)
    centres = low + (np.arange(BINS) + 0.5) * ((top - low) / BINS)
    below = np.cumsum(counts)
    above = below[-1] - below
    mass = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(centres[int(np.nanargmax(np.where(np.isfinite(between), between, -1.0)))])


def _dilated(mask: NDArray[np.bool_], ball: NDArray[np.bool_], outside: bool = False) -> NDArray[np.bool_]:
    """The mask moved to every place of a symmetric ball and joined; all rows as one line, for they lie apart."""
    reach = [n // 2 for n in ball.shape]
    padded = np.pad(mask, [(r, r) for r in reach], constant_values=outside)
    joined, (_, height, width) = padded.copy(), padded.shape
    places = (np.argwhere(ball) - reach) @ (height * width, width, 1)
    most = int(places.max())
    line, to = padded.ravel(), joined.ravel()[most : padded.size - most]
    for place in places:
        to |= line[most + place : most + place + to.size]
    return joined[tuple(slice(r, n - r) for r, n in zip(reach, padded.shape, strict=True))]


def _eroded(mask: NDArray[np.bool_], ball: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return ~_dilated(~mask, ball, outside=True)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds a mask: it is closed, and its holes are found, in what it leaves of an image."""
    axes = range(mask.ndim)
    along = [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    return tuple(slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0) for hit in along)


def _ball(diameter: float, zooms: tuple[float, ...]) -> NDArray[np.bool_]:
    """Voxels whose centre lies within half a diameter (mm) of the middle one, at most three voxels along an axis."""
    reach = [min(int(diameter / 2 / zoom), 3) for zoom in zooms]
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    distance = sum((axis * zoom) ** 2 for axis, zoom in zip(axes, zooms, strict=True))
    return np.asarray(distance <= (diameter / 2) ** 2)
