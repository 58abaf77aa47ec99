"""What a user wrote as a value: read from TOML or from `key=value`, and checked against what its key may be."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bolus.errors import BolusError, Code, nearest
from bolus.recipe.keys import AUTO, Key, keys


def parse(path: Path) -> Mapping[str, Any]:
    """The tables of a TOML file. Raises BolusError E_RECIPE for one that cannot be read."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise refusal(str(path), f"{error.strerror}", "a readable TOML file", "Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise refusal(
            str(path), str(error), "valid TOML", "`bolus methods --recipe` prints a whole one."
        ) from error


def flat(table: Mapping[str, Any], path: Path, above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested tables, in their order."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, path, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _known(name: str, where: str) -> Key:
    if name not in keys():
        ending = [known for known in keys() if known.rpartition(".")[2] == name]
        mend = f"Did you mean {ending[0]}?" if ending else nearest(name, keys())
        raise refusal(where, f"the key {name!r}", "a key of `bolus methods --recipe`", mend)
    return keys()[name]


def typed(name: str, text: str) -> Any:
    """What a text after `--set key=` means, by the kind of the key."""
    kind = _known(name, "--set").kind
    if kind in ("choices", "numbers"):
        items = [item.strip() for item in text.split(",") if item.strip()]
        return items if kind == "choices" else [_number(item) for item in items]
    if kind == "switch":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind in ("number", "number or auto", "count"):
        return _number(text, int if kind == "count" else float)
    return text


def _number(text: str, kind: type[int] | type[float] = float) -> Any:
    """A text as a number, or as it is where it is none: the check that follows says what was expected."""
    try:
        return kind(text)
    except ValueError:
        return text


def checked(name: str, value: Any, where: str) -> Any:
    """The value, if its key may take it. Raises BolusError E_RECIPE where not, or where there is no such key."""
    key = _known(name, where)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    seen = f"{name} = {value!r}"
    if key.kind == "switch":
        if not isinstance(value, bool):
            raise refusal(where, seen, "true or false", "Correct the value.")
    elif key.kind in ("choice", "choices"):
        items = value if key.kind == "choices" else [value]
        if not isinstance(items, list):
            raise refusal(where, seen, "a list", f'Write {name.rpartition(".")[2]} = ["{key.choices[0]}"].')
        for item in items:
            if item not in key.choices:
                expected = f"{'any' if key.kind == 'choices' else 'one'} of {', '.join(key.choices)}"
                raise refusal(where, seen, expected, nearest(str(item), key.choices))
        if len(set(items)) < len(items):
            raise refusal(where, seen, "each name once", "Remove the repeated one.")
    elif key.kind == "numbers":
        good = isinstance(value, list) and all(
            type(item) in (int, float) and key.low <= item <= key.high for item in value
        )
        if not good:
            expected = f"a list of numbers from {key.low:g} to {key.high:g}"
            raise refusal(where, seen, expected, "Correct the value.")
        return [float(item) for item in value]
    elif not (key.kind == "number or auto" and value == AUTO):
        if (
            not number
            or (key.kind == "count" and not isinstance(value, int))
            or not key.low <= value <= key.high
        ):
            expected = (
                f"a {'whole number' if key.kind == 'count' else 'number'} from {key.low:g} to {key.high:g}"
            )
            raise refusal(
                where, seen, expected + (" or auto" if "auto" in key.kind else ""), "Correct the value."
            )
        return value if key.kind == "count" else float(value)
    return value


def refusal(where: str, seen: str, expected: str, mend: str) -> BolusError:
    """What is wrong with a recipe, to be raised."""
    return BolusError(Code.RECIPE, where, seen, expected, mend)
