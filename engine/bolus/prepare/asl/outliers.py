"""Spoilt pairs of a series: dropped whole or bent towards the rest voxel by voxel, with a table of which and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.prepare.asl import rejection, robust
from bolus.prepare.asl.columns import Columns
from bolus.recipe import NONE, Recipe
from bolus.series import Array, Series
from bolus.voxels import refuse

SOURCES = {
    "score": rejection.SCORE,
    "enable": rejection.ENABLE,
    "scrub": robust.SCRUB,
    "robust": robust.HUBER,
}
MOST = 0.5
"""Share of a pair's voxels that are bent from which the table names the pair."""
SAMPLE = 16384
"""Voxels that tell the noise; more would tell the same."""


class Cleaned(NamedTuple):
    """Differences (t, n) float32 that are left, their columns, and what the sidecars say of the others."""

    values: NDArray[np.float32]
    columns: Columns
    told: Mapping[str, Any]


class _Group(NamedTuple):
    """The pairs of one delay (s) and label duration: their places among all, in the order of volumes."""

    delay: float
    places: NDArray[np.int64]


def without_outliers(
    series: Series,
    recipe: Recipe,
    columns: Columns,
    values: NDArray[np.float32],
    m0: NDArray[np.float32],
    tissues: Mapping[str, Array],
    warnings: list[str],
) -> Cleaned:
    """The differences as `asl.outliers` wants them; untouched where it is none.

    values : (t, n) float32, fractions of M0; bent in place. m0 : (n,), signal. tissues : probabilities (n,) by
    name. Voxels that lack a number judge nothing. A delay with fewer than three repeats is left as it is, and a
    warning says so. Raises BolusError E_META for `scrub` without maps of grey and white matter.
    """
    how = recipe["asl.outliers"]
    if how == NONE:
        return Cleaned(values, columns, {})
    if how == "scrub" and not {"GM", "WM"} <= tissues.keys():
        seen = "asl.outliers = scrub without label-GM_probseg and label-WM_probseg"
        mend = "Give both in --derivatives, in the grid of the series, or set asl.outliers to robust."
        raise refuse(series, Code.META, seen, "the tissues that its prior is made of", mend)
    every = list(_groups(columns))
    few = [group for group in every if group.places.size < rejection.FEWEST]
    groups = [group for group in every if group.places.size >= rejection.FEWEST]
    if few:
        delays = ", ".join(f"{group.delay:g}" for group in few)
        warnings.append(
            f"asl.outliers = {how}: fewer than {rejection.FEWEST} repeats at a delay of {delays} s, left as they are"
        )
    good = np.flatnonzero(np.isfinite(values).all(axis=0))
    keep, table = np.ones(len(values), np.bool_), []
    if groups and good.size > 1:
        known = {name: probability[good] for name, probability in tissues.items()}
        if how in ("score", "enable"):
            judged = _dropped(how, values, groups, good, known, warnings)
            keep[[place for place, _, _ in judged]] = False
        else:
            judged = _bent(how == "scrub", values, groups, good, known, m0[good])
            if how == "scrub":
                warnings += _free(known)
        table = [_row(columns, *verdict) for verdict in sorted(judged)]
    if table:
        did = "dropped" if how in ("score", "enable") else "weighed down in most of the brain"
        warnings.append(f"asl.outliers = {how}: {len(table)} of {len(values)} pairs {did}")
    told = {"Outliers": {"Method": how, "Source": SOURCES[how], "Pairs": len(values), "Table": table}}
    if keep.all():
        return Cleaned(values, columns, told)
    return Cleaned(values[keep], Columns(*(field[keep] for field in columns)), told)


Judged = tuple[int, float, str]
"""A pair's place, its score and what that score is."""


def _groups(columns: Columns) -> Iterator[_Group]:
    timing = np.stack(columns.alike, axis=1)
    for kind in np.unique(timing, axis=0):
        yield _Group(float(kind[0]), np.flatnonzero((timing == kind).all(axis=1)))


def _dropped(
    how: str,
    values: NDArray[np.float32],
    groups: list[_Group],
    good: NDArray[np.int64],
    tissues: Mapping[str, Array],
    warnings: list[str],
) -> list[Judged]:
    """The pairs that go, delay by delay."""
    regions = rejection.regions_of(tissues, good.size)
    levels = [
        np.array([row[good[region]].mean(dtype=np.float64) for row in values]) for region in regions[:2]
    ]
    usual, of_contrast = (
        robust.noise_scale([each[None, group.places] for group in groups])
        for each in (levels[0], levels[0] - levels[-1])
    )
    found, unclear = [], []
    for group in groups:
        repeats = values[np.ix_(group.places, good)].T.astype(np.float64)
        if how == "score":
            verdicts = rejection.score(repeats, regions, usual)
        else:
            white = regions[1] if len(regions) > 1 else None
            answer = rejection.enable(repeats, regions[0], white, (usual, of_contrast))
            unclear += [f"{group.delay:g}"] if answer is None else []
            verdicts = answer or []
        found += [(int(group.places[repeat]), score, reason) for repeat, score, reason in verdicts]
    if unclear:
        warnings.append(
            f"asl.outliers = {how}: too little signal to judge by at a delay of {', '.join(unclear)} s"
        )
    return found


def _bent(
    scrub: bool,
    values: NDArray[np.float32],
    groups: list[_Group],
    good: NDArray[np.int64],
    tissues: Mapping[str, Array],
    m0: NDArray[np.float32],
) -> list[Judged]:
    """Bend every delay's repeats in place; the pairs that are bent in most voxels.

    One scale in units of the signal serves all voxels, for noise is that of the receiver: M0 makes it theirs.
    """
    some = slice(None, None, max(1, good.size // SAMPLE))
    signal = [(values[np.ix_(group.places, good[some])] * m0[some]).T for group in groups]
    scale = robust.noise_scale(signal) / m0.astype(np.float64)
    found = []
    for group in groups:
        repeats = values[np.ix_(group.places, good)].T.astype(np.float64)
        prior = None
        if scrub:
            prior = robust.expected_of(repeats, np.stack(list(tissues.values()), axis=1), scale)
        clean, bent = robust.pseudo_values(repeats, scale, prior)
        values[np.ix_(group.places, good)] = clean.T
        shares = bent.mean(axis=0)
        found += [
            (int(place), float(share), "share of the brain's voxels in which it was bent")
            for place, share in zip(group.places, shares, strict=True)
            if share > MOST
        ]
    return found


def _free(tissues: Mapping[str, Array]) -> list[str]:
    """How much of the brain is none of the tissues."""
    free = float((np.sum(list(tissues.values()), axis=0) < robust.MOSTLY).mean())
    if free == 0:
        return []
    known = ", ".join(tissues)
    return [
        f"asl.outliers = scrub: {100 * free:.1f} % of the brain's voxels are not mostly {known}: held to nothing"
    ]


def _row(columns: Columns, place: int, score: float, reason: str) -> dict[str, Any]:
    """One line of the table; volumes are counted from 0."""
    return {
        "Volumes": np.flatnonzero(columns.weights[place]).tolist(),
        "PostLabelingDelay": float(columns.delay[place]),
        "Score": float(f"{score:.4g}") if np.isfinite(score) else "infinite",
        "Reason": reason,
    }
