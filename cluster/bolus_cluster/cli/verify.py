"""`bolus verify`: is every output still what was written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bolus_cluster.ledger.verify import Finding

SHOWN = 1000


@click.command(short_help="Every output against its recorded hash.")
@click.argument("out_dir", type=click.Path(path_type=Path, file_okay=False, exists=True))
def verify(out_dir: Path) -> None:
    """Hash every output of OUT_DIR and name each that is damaged, missing or foreign, and the store's files.

    Exit codes: 0 all is as it was written; 1 something is not; 2 this is no output folder.
    """
    from bolus.errors import BolusError, Code
    from bolus_cluster.counting import counting
    from bolus_cluster.ledger.lock import holders
    from bolus_cluster.ledger.records import LEDGER, records
    from bolus_cluster.ledger.verify import Finding, Seen
    from bolus_cluster.ledger.verify import verify as verified
    from bolus_cluster.store.notes import COHORT, INDEX, behind, index

    if not (out_dir / LEDGER).is_dir():
        mend = "Give the OUT_DIR of a `bolus run`."
        raise BolusError(Code.PATH, out_dir, "no ledger (.bolus/scans)", "the output folder of a run", mend)
    store = index(out_dir)
    total = sum(len(record.outputs) for record in records(out_dir)) + len(store or ())
    seen = Seen()
    with counting() as tick:

        def one_more() -> None:
            tick("files", seen.files + 1, total)

        found = list(verified(out_dir, store or {}, one_more, seen))
    if store is None and any((out_dir / name).exists() for name in (COHORT, INDEX)):
        found.append(Finding("unreadable", INDEX.as_posix()))
    for finding in found[:SHOWN]:
        click.echo(f"{finding.fault:10}  {finding.file}")
    if len(found) > SHOWN:
        click.echo(f"and {len(found) - SHOWN} more")
    size = f"{seen.size / 2**30:.2f} GiB" if seen.size >= 2**30 else f"{seen.size / 2**20:.1f} MiB"
    click.echo(f"{seen.files} files of {seen.scans} scans, {size}: {_told(found)}")
    if store is not None and (late := behind(out_dir)):
        click.echo(f"{COHORT} is older than the maps of {late} scans: run the level `group` again.")
    for line in _mend(out_dir, found):
        click.echo(line)
    for holder in holders(out_dir).values():
        click.echo(
            f"A run is at work here (process {holder.pid} on {holder.host}): verify again when it has ended."
        )
    click.get_current_context().exit(1 if found else 0)


def _told(found: list[Finding]) -> str:
    from collections import Counter

    counts = Counter(finding.fault for finding in found)
    return ", ".join(f"{count} {fault}" for fault, count in counts.items()) or "all as they were written"


def _mend(out: Path, found: list[Finding]) -> list[str]:
    scans = {finding.scan for finding in found if finding.scan}
    lines = []
    if scans:
        names = ", ".join(sorted(scans)[:3]) + (f" and {len(scans) - 3} more" if len(scans) > 3 else "")
        lines.append(
            f"Do: run the same `bolus run BIDS_DIR {out} participant` again: it computes {names} anew."
        )
    if any(not each.scan and each.fault in ("damaged", "missing", "unreadable") for each in found):
        lines.append(
            f"Do: `bolus run BIDS_DIR {out} group` again: it builds anew what is damaged of the store."
        )
    if any(finding.fault == "unfinished" for finding in found):
        lines.append("Unfinished files are what a crash left: the next run removes them.")
    if any(finding.fault == "foreign" for finding in found):
        lines.append("No scan of the ledger has written the foreign files: move them to another folder.")
    return lines
