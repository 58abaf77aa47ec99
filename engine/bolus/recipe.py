"""What to do: every key of a recipe with its default and range, and the frozen Recipe checked against them."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from bolus.errors import BolusError, Code, nearest
from bolus_kernels.method import Contrast, Method
from bolus_kernels.shelf import of_family, shelf

AUTO = "auto"
Kind = Literal["choice", "choices", "number", "number or auto", "count", "switch"]


@dataclass(frozen=True)
class Key:
    """One line of a recipe: its default, what it may be, and what it means."""

    default: Any
    kind: Kind
    meaning: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """What is done to every scan of a cohort: each dotted key with a value that was checked at the door."""

    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    @property
    def hash(self) -> str:
        """SHA-256 of all keys and values: equal recipes have equal hashes, however they were written."""
        return _digest(self.values)

    def parameters(self, method: Method) -> dict[str, Any]:
        """The parameters of one method, as this recipe sets them."""
        return {name: self.values[f"{method.contrast}.{method.name}.{name}"] for name in method.defaults()}

    def toml(self) -> str:
        """The whole recipe as TOML, each line with its meaning."""
        lines: list[str] = []
        table = None
        for key, value in self.values.items():
            above, _, name = key.rpartition(".")
            if above != table:
                lines += [f"{'' if table is None else chr(10)}[{above}]"]
                table = above
            lines.append(f"{name} = {json.dumps(value)}".ljust(38) + f" # {keys()[key].meaning}")
        return "\n".join(lines) + "\n"


@cache
def keys() -> Mapping[str, Key]:
    """Every key there is; the methods on the shelf add a table each for their parameters."""
    volumes = tuple(of_family("volume"))
    corrections = tuple(name for name in volumes if "k2" in shelf()[name].maps)
    quantifications = tuple(of_family("quantification"))
    general = {
        "dsc.dummy_scans": Key(0, "count", "volumes dropped before the steady state", high=100),
        "dsc.deconvolution": Key(
            ["osvd"], "choices", "how the residue is found", tuple(of_family("deconvolution"))
        ),
        "dsc.leakage": Key(["bsw"], "choices", "corrections written beside the uncorrected CBV", corrections),
        "dsc.cbv": Key("bsw", "choice", "the CBV that MTT uses", volumes),
        "dsc.first_pass": Key(False, "switch", "true: also the CBV of the first pass alone (gamma variate)"),
        "dsc.residue": Key(False, "switch", "true: also write the residue functions themselves"),
        "dsc.bootstrap": Key(
            0, "count", "replicates of the residual bootstrap for SD maps; 0: none", high=10000
        ),
        "dsc.aif": Key(
            AUTO,
            "choice",
            "auto takes a given TSV or mask first, else kmeans",
            (AUTO, "kmeans", "peruzzo", "mask", "tsv", "population", "local"),
        ),
        "dsc.vof": Key("none", "choice", "the vein that the AIF's area is scaled to", ("none", AUTO, "mask")),
        "dsc.reference": Key(
            AUTO, "choice", "normal tissue for leakage: found, or the NAWM mask", (AUTO, "mask")
        ),
        "dsc.hematocrit_large": Key(0.45, "number", "in large vessels, 1", high=0.9),
        "dsc.hematocrit_small": Key(0.25, "number", "in capillaries, 1", high=0.9),
        "dsc.density": Key(1.04, "number", "of brain tissue, g/ml", low=0.5, high=2.0),
        "dsc.relative": Key(False, "switch", "true: kappa/rho = 1, units a.u."),
        "asl.quantification": Key(AUTO, "choice", "auto: by the number of delays", (AUTO, *quantifications)),
        "asl.t1_relaxation": Key("tissue", "choice", "T1' after arrival", ("tissue", "blood")),
        "asl.t1_blood": Key(AUTO, "number or auto", "s; auto: by field strength", low=0.5, high=4.0),
        "asl.t1_tissue": Key(1.3, "number", "s, where no T1 map is given", low=0.3, high=4.0),
        "asl.partition_coefficient": Key(0.9, "number", "of blood and brain, ml/g", low=0.5, high=1.2),
        "asl.labeling_efficiency": Key(
            AUTO, "number or auto", "auto: the sidecar's, else by type", low=0.05, high=1.0
        ),
        "asl.background_suppression": Key(
            "multiply",
            "choice",
            "efficiency x 0.95 per pulse, or pulses included in it",
            ("multiply", "included", "ignore"),
        ),
    }
    found: dict[str, Key] = {}
    for contrast in ("dsc", "asl"):
        found |= {name: key for name, key in general.items() if name.startswith(f"{contrast}.")}
        for method in shelf().values():
            if method.contrast == contrast:
                for name, known in method.parameters.items():
                    meaning = f"{known.low:g} to {known.high:g}, {known.unit}"
                    found[f"{contrast}.{method.name}.{name}"] = Key(
                        known.default, "number", meaning, low=known.low, high=known.high
                    )
                for name, names in method.choices.items():
                    found[f"{contrast}.{method.name}.{name}"] = Key(
                        names[0], "choice", " or ".join(names), names
                    )
    return found


def load(path: Path | None, sets: Sequence[str] = ()) -> Recipe:
    """The defaults, overruled by a TOML file, overruled by `key=value` texts in their order.

    Raises BolusError E_RECIPE for an unreadable file, an unknown key or a value that the key cannot take.
    """
    values = {name: key.default for name, key in keys().items()}
    if path is not None:
        for name, value in _flat(_parse(path), path):
            values[name] = _checked(name, value, str(path))
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals:
            raise _refusal("--set", f"{text!r}", "key=value", "Write it like --set dsc.cbv=uncorrected.")
        name = name.strip()
        values[name] = _checked(name, _typed(name, value.strip()), "--set")
    corrected = "k2" in shelf()[values["dsc.cbv"]].maps
    if corrected and values["dsc.cbv"] not in values["dsc.leakage"]:
        raise _refusal(
            str(path or "--set"),
            f"dsc.cbv = {values['dsc.cbv']!r} with dsc.leakage = {values['dsc.leakage']}",
            "a CBV that is computed",
            f"Add {values['dsc.cbv']!r} to dsc.leakage, or set dsc.cbv to uncorrected.",
        )
    return Recipe(values)


def signature(recipe: Recipe, contrast: Contrast) -> str:
    """SHA-256 of all that the maps of one contrast depend on: its keys, and its chosen methods' versions."""
    chosen = {method.name: method.version for method in chosen_methods(recipe, contrast)}
    idle = tuple(f"{contrast}.{name}." for name in shelf() if name not in chosen)
    values = {
        key: value
        for key, value in recipe.values.items()
        if key.startswith(f"{contrast}.") and not key.startswith(idle)
    }
    return _digest({**values, **chosen})


def chosen_methods(recipe: Recipe, contrast: Contrast) -> list[Method]:
    """Every method that a recipe may use on a scan of one contrast, in the order in which they need each other."""
    if contrast == "dsc":
        first_pass = (
            ["gamma_variate"] if recipe["dsc.first_pass"] or recipe["dsc.cbv"] == "gamma_variate" else []
        )
        names = ["uncorrected", *recipe["dsc.leakage"], *first_pass, *recipe["dsc.deconvolution"]]
        names += of_family("summary")
    else:
        wish = recipe["asl.quantification"]
        names = of_family("quantification") if wish == AUTO else [wish]
    return [shelf()[name] for name in names]


def version() -> str:
    """The version of bolus that is installed, as every output tells it."""
    return metadata.version("bolus")


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _refusal(str(path), f"{error.strerror}", "a readable TOML file", "Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refusal(
            str(path), str(error), "valid TOML", "`bolus methods --recipe` prints a whole one."
        ) from error


def _flat(table: Mapping[str, Any], path: Path, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, path, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _known(name: str, where: str) -> Key:
    if name not in keys():
        ending = [known for known in keys() if known.rpartition(".")[2] == name]
        mend = f"Did you mean {ending[0]}?" if ending else nearest(name, keys())
        raise _refusal(where, f"the key {name!r}", "a key of `bolus methods --recipe`", mend)
    return keys()[name]


def _typed(name: str, text: str) -> Any:
    """What a text after `--set key=` means, by the kind of the key."""
    kind = _known(name, "--set").kind
    if kind == "choices":
        return [item.strip() for item in text.split(",") if item.strip()]
    if kind == "switch":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind in ("number", "number or auto", "count"):
        try:
            return int(text) if kind == "count" else float(text)
        except ValueError:
            return text
    return text


def _checked(name: str, value: Any, where: str) -> Any:
    key = _known(name, where)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    seen = f"{name} = {value!r}"
    if key.kind == "switch":
        if not isinstance(value, bool):
            raise _refusal(where, seen, "true or false", "Correct the value.")
    elif key.kind in ("choice", "choices"):
        items = value if key.kind == "choices" else [value]
        if not isinstance(items, list):
            raise _refusal(where, seen, "a list", f'Write {name.rpartition(".")[2]} = ["{key.choices[0]}"].')
        for item in items:
            if item not in key.choices:
                expected = f"{'any' if key.kind == 'choices' else 'one'} of {', '.join(key.choices)}"
                raise _refusal(where, seen, expected, nearest(str(item), key.choices))
        if len(set(items)) < len(items):
            raise _refusal(where, seen, "each name once", "Remove the repeated one.")
    elif not (key.kind == "number or auto" and value == AUTO):
        if (
            not number
            or (key.kind == "count" and not isinstance(value, int))
            or not key.low <= value <= key.high
        ):
            expected = (
                f"a {'whole number' if key.kind == 'count' else 'number'} from {key.low:g} to {key.high:g}"
            )
            raise _refusal(
                where, seen, expected + (" or auto" if "auto" in key.kind else ""), "Correct the value."
            )
        return value if key.kind == "count" else float(value)
    return value


def _refusal(where: str, seen: str, expected: str, mend: str) -> BolusError:
    return BolusError(Code.RECIPE, where, seen, expected, mend)
