"""`bolus run`: the main job, from a BIDS folder to maps."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bolus_cluster.site import SCHEDULERS

if TYPE_CHECKING:
    from bolus_cluster.plan import Plan
    from bolus_cluster.run import Summary

FAILURES_SHOWN = 10


def _shard(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Read `2/8`, part 2 of 8, as (2, 8)."""
    if value is None:
        return None
    number, _, count = value.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise click.BadParameter(f"{value!r} is not a part k/N with 1 <= k <= N, such as 1/8.")
    return int(number), int(count)


def _split(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Labels may be repeated or separated by commas."""
    return tuple(label for value in values for label in value.split(",") if label)


def _cluster(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value in CLUSTERS or "://" in value:
        return value
    raise click.BadParameter(
        f"{value!r} is none of {', '.join(CLUSTERS)}, nor an address like tls://node17:8786."
    )


CLUSTERS = ("local", *SCHEDULERS)
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Compute the perfusion maps of a BIDS folder.")
@click.argument("bids_dir", type=FOLDER)
@click.argument("out_dir", type=FOLDER)
@click.argument("level", type=click.Choice(["participant", "group"]), metavar="{participant,group}")
@click.option(
    "--participant-label",
    "--participant_label",
    "participants",
    multiple=True,
    callback=_split,
    metavar="LABEL",
    help="Only these participants, with or without sub- (repeat, or use commas).",
)
@click.option(
    "--session-label",
    "--session_label",
    "sessions",
    multiple=True,
    callback=_split,
    metavar="LABEL",
    help="Only these sessions, with or without ses- (repeat, or use commas).",
)
@click.option("--modality", "contrast", type=click.Choice(["dsc", "asl"]), help="Only this kind of scan.")
@click.option("--manifest", type=FILE, metavar="TSV", help="Take the scans that this table lists instead.")
@click.option("--derivatives", multiple=True, type=FOLDER, help="Masks and maps to use (repeat).")
@click.option("--recipe", type=FILE, metavar="TOML", help="How to compute; defaults: bolus methods --recipe.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="One key of the recipe, e.g. dsc.deconvolution=csvd,osvd (repeat).",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU if there is one.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes, a scan at a time each [default: one per GPU or processor]; 0 stays in this process.",
)
@click.option(
    "--cluster",
    callback=_cluster,
    default="local",
    show_default=True,
    metavar="local|slurm|pbs|sge|lsf|ADDRESS",
    help="Where the workers are: here, as jobs of a scheduler, or with a Dask scheduler that runs already.",
)
@click.option("--site", type=FILE, metavar="TOML", help="With --cluster slurm ...: as `bolus submit --site`.")
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="MINUTES",
    help="How long one scan may take before it counts as failed.",
)
@click.option(
    "--shard", callback=_shard, metavar="k/N", help="Only part k of N of the scans, for job arrays."
)
@click.option(
    "--work-dir", type=FOLDER, help="Where temporary files may lie; made if need be [default: the system's]."
)
@click.option("--stop-on-first-failure", is_flag=True, help="Begin no further scan after one has failed.")
@click.option("--rechunk", is_flag=True, help="group: lay the maps out by voxel as well, all scans together.")
@click.option("--portable", is_flag=True, help="group: pack with gzip, which every HDF5 can read.")
@click.option("--dry-run", is_flag=True, help="Say what would be computed and why; write nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Say also why each scan is computed, and each step.")
def run(level: str, dry_run: bool, verbose: bool, **asked: object) -> None:
    """Compute the perfusion maps of every DSC and ASL scan in BIDS_DIR and write them to OUT_DIR.

    Running again computes only what is new, changed or failed. The table of all scans is OUT_DIR/scans.tsv.

    Exit codes: 0 all scans done; 1 some scan failed; 2 usage or input error; 3 the cohort could not run.
    """
    rechunk, portable = bool(asked.pop("rechunk")), bool(asked.pop("portable"))
    if level == "group":
        from bolus_cluster.cli.group import group

        ctx = click.get_current_context()
        ctx.exit(group(ctx, rechunk=rechunk, portable=portable))
    if rechunk or portable:
        raise click.UsageError("--rechunk and --portable belong to the level `group`.")
    from bolus.recipe import idle_settings
    from bolus_cluster import plan, progress
    from bolus_cluster import run as running
    from bolus_cluster.workers import seed

    asked["root"], asked["out"] = asked.pop("bids_dir"), asked.pop("out_dir")
    if asked["cluster"] in SCHEDULERS and not asked["workers"]:
        raise click.UsageError(f"say how many: --workers N with --cluster {asked['cluster']}.")
    asked["deadline"] = 60 * float(str(asked["deadline"]))
    request = plan.Request(**asked)  # type: ignore[arg-type]
    here = request.cluster == "local" and request.workers != 0 and not dry_run
    begin = partial(seed.begin, request.work_dir)
    todo = plan.plan(request, begin) if here else plan.plan(request)
    for key in idle_settings(todo.recipe):
        method = key.split(".")[1]
        click.echo(f"{key} is set, but this recipe does not use {method}: it changes nothing", err=True)
    if dry_run or verbose:
        for task in todo.tasks:
            problem = f"  {task.problem}" if task.problem else ""
            click.echo(f"{task.scan.key}  {task.why}{problem}")
        click.echo(f"{len(todo.tasks)} scans to compute, {len(todo.standing)} stand as they are")
    if dry_run:
        click.echo(running.would_take(todo))
        return
    with progress.watching(len(todo.tasks), verbose) as watch:
        summary = running.run_cohort(todo, watch)
    _report(todo, summary)
    click.get_current_context().exit(summary.exit_code)


def _report(todo: Plan, summary: Summary) -> None:
    from bolus.errors import printable
    from bolus_cluster.ledger.records import look_up

    out = todo.request.out
    counts = ", ".join(f"{count} {state}" for state, count in sorted(summary.states.items()) if count)
    standing = f"; {summary.standing} stood as they were" if summary.standing else ""
    click.echo(f"{sum(summary.states.values())} scans: {counts}{standing}")
    found = (look_up(out, task.scan.key) for task in todo.tasks if summary.states["failed"])
    failed = [record for record in found if record is not None and record.state == "failed"]
    for record in failed[:FAILURES_SHOWN]:
        click.echo(f"  {record.scan}  {record.code}  {record.file}: {record.message}")
    if len(failed) > FAILURES_SHOWN:
        click.echo(f"  and {len(failed) - FAILURES_SHOWN} more: bolus status {out}")
    click.echo(f"Maps and scans.tsv are in {printable(str(out))}")
