"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import click

from bolus_cluster.workers.attempt import Row

Watch = Callable[[Row], None]


@contextmanager
def watching(total: int, verbose: bool = False) -> Iterator[Watch]:
    """Give a function that is told each finished scan of `total`, and shows it on stderr.

    Verbose: what is done to each scan is shown as well, a line per step.
    """
    shown = _bar(total) if total and sys.stderr.isatty() else nullcontext(_lines(total))
    with shown as watch:
        if not verbose:
            yield watch
            return
        logger = logging.getLogger("bolus")
        handler = logging.StreamHandler()  # made now: while there is a bar, its lines appear above it
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield watch
        finally:
            logger.setLevel(logging.NOTSET)
            logger.removeHandler(handler)


def line(row: Row) -> str:
    """One finished scan in one line."""
    if row.state == "failed":
        return f"{row.scan}  failed  {row.code}  {row.file}: {row.message}"
    doubts = f"  {row.message}" if row.message else ""
    return f"{row.scan}  {row.state}  {row.seconds:.1f} s{doubts}"


def _lines(total: int) -> Watch:
    width = len(str(total))
    first = 0.0  # when the first was done: what it took to start says nothing of the pace
    done = 0

    def watch(row: Row) -> None:
        nonlocal done, first
        done += 1
        first = first or time.monotonic()
        rest = ""
        if 1 < done < total:
            left = (time.monotonic() - first) / (done - 1) * (total - done)
            rest = f"  ({duration(left)} left)"
        click.echo(f"[{done:{width}d}/{total}] {line(row)}{rest}", err=True)

    return watch


@contextmanager
def _bar(total: int) -> Iterator[Watch]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("[red]{task.fields[failures]}[/red]"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    done = failures = 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total, rate="", failures="")

        def watch(row: Row) -> None:
            nonlocal done, failures
            done += 1
            failures += row.state == "failed"
            if row.state == "failed" or row.message:
                colour = "red" if row.state == "failed" else "yellow"
                progress.console.print(f"[{colour}]{escape(line(row))}[/{colour}]")
            per_hour = 3600 * done / max(time.monotonic() - started, 1e-6)
            told = f"{failures} failed" if failures else ""
            progress.update(task, advance=1, rate=f"{per_hour:,.0f} scans/h", failures=told)

        yield watch


def duration(seconds: float) -> str:
    """A time in the two units that matter."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
