"""`bolus run ... group`: the finished scans of an output folder as one cohort."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

TAKEN = {"bids_dir", "out_dir", "level", "workers", "rechunk", "portable", "verbose"}
FAILURES_SHOWN = 10


def group(ctx: click.Context, *, rechunk: bool, portable: bool) -> int:
    """Build the store and the tables of all scans, and say what is in them; gives the exit code."""
    for option in ctx.command.params:
        given = ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name not in TAKEN:
            raise click.UsageError(
                f"{option.opts[0]} has no meaning at the level `group`: it takes every finished scan of OUT_DIR."
            )
    from bolus_cluster.counting import counting
    from bolus_cluster.store.build import build
    from bolus_kernels.device import processors

    out: Path = ctx.params["out_dir"]
    workers: int = ctx.params["workers"] or processors()
    with counting() as tick:
        built = build(out, rechunk=rechunk, portable=portable, workers=workers, tick=tick)
    rooms = f"{len(built.rooms)} grid{'s' if len(built.rooms) != 1 else ''}"
    grids = f" ({', '.join(built.rooms)})" if built.rooms else ""
    click.echo(
        f"{built.scans} of {built.known} scans, {built.maps} maps on {rooms}{grids}, {built.size / 1e6:.1f} MB"
    )
    for problem in built.problems[:FAILURES_SHOWN]:
        click.echo(f"  left out  {problem}")
    if len(built.problems) > FAILURES_SHOWN:
        click.echo(f"  and {len(built.problems) - FAILURES_SHOWN} more: bolus verify {out}")
    click.echo(f"cohort.h5, scans.tsv and numbers.csv are in {out}")
    return built.exit_code
