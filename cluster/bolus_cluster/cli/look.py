"""`bolus status`, `bolus methods`, `bolus doctor`: how a run fares, what there is, what this machine is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bolus_cluster.ledger.lock import Holder


@click.command(short_help="How far a run is, what failed and why.")
@click.argument("out_dir", type=click.Path(path_type=Path, file_okay=False, exists=True))
def status(out_dir: Path) -> None:
    """Count the scans of OUT_DIR by state and list those that failed, from the ledger; changes nothing."""
    from collections import Counter

    from bolus.errors import BolusError, Code
    from bolus_cluster.ledger.lock import holders
    from bolus_cluster.ledger.records import LEDGER, records

    if not (out_dir / LEDGER).is_dir():
        mend = "Give the OUT_DIR of a `bolus run`."
        raise BolusError(Code.PATH, out_dir, "no ledger (.bolus/scans)", "the output folder of a run", mend)
    states: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    seconds = 0.0
    failed = []
    for record in records(out_dir):
        states[record.state] += 1
        seconds += record.seconds
        if record.state == "failed":
            codes[record.code] += 1
            failed.append(f"  {record.scan}  {record.code}  {record.file}: {record.message}")
    for holder in holders(out_dir).values():
        click.echo(pace(holder))
    total = sum(states.values())
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    click.echo(f"{total} scans: {counts}" if total else "no scan is finished yet")
    if total:
        click.echo(f"{seconds / total:.2f} s per scan on average, {seconds:.0f} s in all")
    if codes:
        click.echo("failed: " + ", ".join(f"{count} {code}" for code, count in codes.most_common()))
    for line in failed:
        click.echo(line)


def pace(holder: Holder) -> str:
    """A run in one line: where it lives, how far it is, how fast, and how long it will take."""
    from bolus_cluster.progress import duration

    part = f", shard {holder.shard[0]}/{holder.shard[1]}" if holder.shard else ""
    said = f"running{part}: process {holder.pid} on {holder.host} since {holder.since}"
    if not holder.done:
        return f"{said}, {holder.scans} scans to do"
    rate = holder.done / max(holder.seconds, 1e-3)
    left = duration((holder.scans - holder.done) / rate)
    failed = f", {holder.failed} failed" if holder.failed else ""
    return (
        f"{said}, {holder.done} of {holder.scans} scans done{failed}, {3600 * rate:,.0f} scans/h, {left} left"
    )


@click.command(short_help="The methods there are: maps, units, parameters, papers.")
@click.option("--recipe", is_flag=True, help="Print the recipe with every default, as TOML.")
def methods(recipe: bool) -> None:
    """Show the shelf: every method with its maps and units, its parameters and the paper it follows."""
    if recipe:
        from bolus.recipe import load

        click.echo(load(None, ()).toml(), nl=False)
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from bolus_kernels.shelf import shelf

    console = Console()
    for known in sorted(shelf().values(), key=lambda each: (each.contrast, each.family, each.name)):
        table = Table.grid(padding=(0, 2))
        for name, unit in known.maps.items():
            table.add_row("  map", known.ending(name), _unit(unit))
        for name, spec in known.parameters.items():
            said = f"{spec.default:g} {_unit(spec.unit)}".strip()
            table.add_row("  parameter", name, f"{said}, from {spec.low:g} to {spec.high:g}")
        for name, names in known.choices.items():
            table.add_row("  parameter", name, f"{names[0]}, or {', '.join(names[1:])}")
        console.print(f"[bold]{known.name}[/bold]  {known.contrast.upper()} {known.family}")
        console.print(Padding(Text(f"{known.description}\n{known.paper}"), (0, 0, 0, 2)))
        console.print(table)
        console.print()


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


@click.command(short_help="Versions, devices, threads and folders, for a report of trouble.")
def doctor() -> None:
    """Say what bolus runs on here, and why a GPU is not used where it is not."""
    from bolus_cluster.machine import facts

    known = facts()
    width = max(len(name) for name in known)
    for name, value in known.items():
        click.echo(f"{name:{width}}  {value}")
