"""`bolus submit`: the same as `bolus run`, handed in as cluster jobs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bolus_cluster.cli.run import FILE, run
from bolus_cluster.site import SCHEDULERS, Site

# What a job is told anew, or what makes no sense for one.
NOT_PASSED = frozenset({"bids_dir", "out_dir", "level", "shard", "dry_run", "cluster", "site", "help"})


def submit(
    bids_dir: Path, out_dir: Path, scheduler: str | None, array: int | None, site: Path | None,
    dry_run: bool, **asked: Any,
) -> None:  # fmt: skip
    """Hand in what `bolus run BIDS_DIR OUT_DIR participant` would do, with the same options.

    With --array N: N jobs that share nothing but OUT_DIR, each a part of the scans. Without it: one job that
    hands the scans out to --workers N, which are jobs of their own. Either goes on where it was when a node
    is lost or its time is over; handing the same in again does nothing where all is done.
    """
    from bolus_cluster import plan
    from bolus_cluster.ledger.records import LOGS
    from bolus_cluster.site import find, load
    from bolus_cluster.submit import hand_in, script

    here = load(site)
    scheduler = scheduler or here.scheduler
    if not scheduler:
        raise click.UsageError(f"say --scheduler {'|'.join(SCHEDULERS)}, or `scheduler` in the site's file.")
    if array is None and asked["workers"] is None:
        raise click.UsageError(
            "say --array N for N jobs, or --workers N for one that hands out to N workers."
        )
    options = {name: value for name, value in asked.items() if name in plan.Request.__dataclass_fields__}
    todo = plan.plan(plan.Request(bids_dir, out_dir, **options))
    click.echo(f"{len(todo.tasks)} scans to compute, {len(todo.standing)} stand as they are", err=True)
    words = [str(bids_dir.absolute()), str(out_dir.absolute()), "participant", *_said(asked)]
    logs = Path(here.logs) if here.logs else out_dir.absolute() / LOGS
    if array is not None:
        text = script.array_script(scheduler, here, words, logs, array)
    else:
        told = find(site)
        words += ["--site", str(told.absolute())] if told else []
        text = script.driver_script(scheduler, here, words, logs)
    if dry_run:
        click.echo(text, nl=False)
        return
    job = hand_in.hand_in(scheduler, text, logs, site)
    click.echo(f"Job {job.job} is with {scheduler}: {job.follow}; to end it: {job.end}")
    click.echo(f"How far it is: bolus status {out_dir}; what it says: {logs}")


def _said(asked: dict[str, Any]) -> list[str]:
    """The options of `bolus run` as they were given, files and folders with their full path."""
    context = click.get_current_context()
    words: list[str] = []
    for option in SHARED:
        name = option.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = asked[name]
        for each in value if option.multiple else [value]:
            given = each.absolute() if isinstance(each, Path) else each
            words += [option.opts[0]] if option.is_flag else [option.opts[0], str(given)]
    return words


def _epilog() -> str:
    keys = "\n".join(f"  {each.name:21} {each.metadata['meaning']}" for each in fields(Site))
    return f"\b\nKeys of the site's file (TOML), every one optional:\n{keys}"


SHARED = [each for each in run.params if isinstance(each, click.Option) and each.name not in NOT_PASSED]
OWN = [
    click.Argument(["bids_dir"], type=click.Path(path_type=Path, file_okay=False)),
    click.Argument(["out_dir"], type=click.Path(path_type=Path, file_okay=False)),
    click.Option(
        ["--scheduler"],
        type=click.Choice(SCHEDULERS),
        help="Whose jobs they are [default: as the site's file says].",
    ),
    click.Option(
        ["--array"], type=click.IntRange(min=1), metavar="N", help="N jobs, each with a part of the scans."
    ),
    click.Option(
        ["--site"],
        type=FILE,
        metavar="TOML",
        help="Queue, account, resources ... [default: $BOLUS_SITE or ~/.config/bolus/site.toml].",
    ),
    click.Option(["--dry-run"], is_flag=True, help="Print the script and hand in nothing."),
]
command = click.Command(
    "submit",
    callback=submit,
    params=[*OWN, *SHARED],
    help=submit.__doc__,
    epilog=_epilog(),
    short_help="The same, handed in as jobs of a cluster.",
)
