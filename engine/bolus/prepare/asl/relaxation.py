"""T1 of blood and tissue: by field strength, from the recipe, a T1 map, or maps of grey and white matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bolus.errors import Code
from bolus.recipe import AUTO, Recipe
from bolus.series import ASL, Series
from bolus.voxels import constant, refuse

T1_OF_BLOOD = {1.5: 1.35, 3.0: 1.65, 7.0: 2.1}
T1_OF = {"GM": {1.5: 1.2, 3.0: 1.3, 7.0: 1.94}, "WM": {1.5: 0.65, 3.0: 1.1, 7.0: 1.13}}
SAME_FIELD = 0.2
ALSOP = "Alsop et al., Magn Reson Med 73:102 (2015)"
WRIGHT = "Wright et al., MAGMA 21:121 (2008)"
CHAPPELL = "Chappell et al., Magn Reson Med 65:1173 (2011)"
T1_FROM = {1.5: WRIGHT, 3.0: CHAPPELL, 7.0: WRIGHT}
"""Wright et al., MPRAGE, to 0.01 s: grey matter 1.197 and 1.939 s, white matter 0.646 and 1.126 s at 1.5 and 7 T."""
MAP, TISSUES, CONSTANT = "map", "tissues", "constant"
"""What T1 of tissue may be taken from."""


class Told(NamedTuple):
    """A number and how a sidecar tells it."""

    value: float
    told: Mapping[str, Any]


def t1_of_blood(series: Series, acquisition: ASL, recipe: Recipe) -> Told:
    """T1 of arterial blood (s): the recipe's, else by field strength; E_META where it is known for no such field."""
    value = recipe["asl.t1_blood"]
    if value != AUTO:
        return Told(float(value), constant(value, "s", "recipe"))
    field = _nearest_field(acquisition, T1_OF_BLOOD)
    if not _same(field, acquisition):
        seen = f"MagneticFieldStrength {acquisition.magnetic_field_strength:g}"
        expected = f"one of {sorted(T1_OF_BLOOD)} T, for which T1 of blood is known"
        raise refuse(series, Code.META, seen, expected, "Set asl.t1_blood in the recipe.")
    return Told(T1_OF_BLOOD[field], constant(T1_OF_BLOOD[field], "s", f"{ALSOP}, by field strength"))


def t1_of_pure(acquisition: ASL, recipe: Recipe, warnings: list[str]) -> Mapping[str, Told]:
    """T1 (s) of pure grey and pure white matter: the recipe's, else by field strength."""
    found, guessed = {}, []
    for name, known in T1_OF.items():
        key = f"asl.t1_{name.lower()}"
        value, source, field = recipe[key], "recipe", _nearest_field(acquisition, known)
        if value == AUTO:
            value, source = known[field], f"{name}, {T1_FROM[field]}, by field strength"
            guessed += [] if _same(field, acquisition) else [key]
        found[name] = Told(float(value), constant(float(value), "s", source))
    if guessed:
        field = _nearest_field(acquisition, T1_OF["GM"])
        warnings.append(
            f"T1 of pure grey and white matter were taken as at {field:g} T: set {' and '.join(guessed)}"
        )
    return found


def t1_of_tissue(
    series: Series,
    acquisition: ASL,
    recipe: Recipe,
    rows: NDArray[Any],
    tissues: Mapping[str, NDArray[np.float32]],
    warnings: list[str],
) -> tuple[NDArray[np.float32], Mapping[str, Any]]:
    """T1 (n,) s of every voxel of the brain, and how a sidecar tells it.

    tissues : probabilities (n,) by name. From what `asl.t1_source` says; `auto` takes a T1 map, else a number that
    the recipe gives, else maps of GM and WM, else one number by field strength. Raises BolusError E_META where what
    is said was not given.
    """
    source, given = _source_of(series, recipe, tissues), series.given.get("T1map")
    value, nominal = _nominal(acquisition, recipe, source == CONSTANT, warnings)
    t1 = np.full(rows.size, value, np.float32)
    if source == TISSUES:
        return _of_shares(series, acquisition, recipe, tissues, t1, nominal, warnings)
    if source == CONSTANT or given is None:
        return t1, nominal
    read = given.scaled().reshape(-1, order="F")[rows]
    sensible = np.isfinite(read) & (read > 0.1) & (read < 10)
    if not sensible.all():
        warnings.append(f"T1map: {int((~sensible).sum())} brain voxels outside 0.1-10 s took T1 = {value} s")
    return np.where(sensible, read, t1), {"Source": given.path.name}


def _source_of(series: Series, recipe: Recipe, tissues: Mapping[str, Any]) -> str:
    wish = recipe["asl.t1_source"]
    lacking = [f"label-{name}_probseg" for name in T1_OF if name not in tissues]
    if wish == AUTO:
        if "T1map" in series.given:
            return MAP
        return CONSTANT if lacking or recipe["asl.t1_tissue"] != AUTO else TISSUES
    lacking = {MAP: [] if "T1map" in series.given else ["T1map"], TISSUES: lacking, CONSTANT: []}[wish]
    if lacking:
        mend = "Give it in --derivatives, in the grid of the series, or set asl.t1_source to auto."
        seen = f"no {' and no '.join(lacking)}"
        expected = {MAP: "a T1map (s)", TISSUES: "label-GM_probseg and label-WM_probseg"}[wish]
        raise refuse(series, Code.META, seen, f"{expected}, for asl.t1_source = {wish}", mend)
    return str(wish)


def _nominal(
    acquisition: ASL, recipe: Recipe, counts: bool, warnings: list[str]
) -> tuple[float, Mapping[str, Any]]:
    """The number for voxels that nothing else tells; a field for which none is known is doubted where it `counts`."""
    value = recipe["asl.t1_tissue"]
    if value != AUTO:
        return float(value), constant(value, "s", "recipe")
    field = _nearest_field(acquisition, T1_OF["GM"])
    value, source = T1_OF["GM"][field], T1_FROM[field]
    if counts and not _same(field, acquisition):
        warnings.append(f"T1 of tissue was taken as at {field:g} T, {value} s: set asl.t1_tissue")
    return value, constant(value, "s", f"grey matter; {source}, by field strength")


def _of_shares(
    series: Series,
    acquisition: ASL,
    recipe: Recipe,
    tissues: Mapping[str, NDArray[np.float32]],
    elsewhere: NDArray[np.float32],
    nominal: Mapping[str, Any],
    warnings: list[str],
) -> tuple[NDArray[np.float32], Mapping[str, Any]]:
    """The mean of the rates 1/T1 by the shares of GM and WM; without either, T1 is that of `elsewhere`.

    Label decays as sum p_i e^(-t/T1_i), which to first order is e^(-t sum p_i/T1_i): rates are what mixes, as 1/T1'
    adds them. Fluid is not perfused and has no part in it.
    """
    pure = t1_of_pure(acquisition, recipe, warnings)
    held = sum(tissues[name] for name in pure)
    rate = sum(tissues[name] / np.float32(pure[name].value) for name in pure)
    names = [f"label-{name}_probseg" for name in pure]
    told = {
        "Source": " and ".join(series.given[name].path.name for name in names),
        "Mean": "of 1/T1, by the shares of GM and WM",
        **{name: t1.told for name, t1 in pure.items()},
        "NeitherGMNorWM": nominal,
    }
    with np.errstate(invalid="ignore"):
        return np.where(held > 0, held / rate, elsewhere).astype(np.float32), told


def _nearest_field(acquisition: ASL, known: Mapping[float, float]) -> float:
    return min(known, key=lambda each: abs(each - acquisition.magnetic_field_strength))


def _same(field: float, acquisition: ASL) -> bool:
    return abs(field - acquisition.magnetic_field_strength) <= SAME_FIELD
