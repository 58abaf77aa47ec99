"""`bolus demo` and `bolus phantom`: a cohort whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bolus.phantom.design import Labeling


@click.command(short_help="Make a small cohort, process it, show truth against estimate.")
@click.argument("out_dir", type=click.Path(path_type=Path, file_okay=False), default=Path("bolus-demo"))
def demo(out_dir: Path) -> None:
    """Make two synthetic subjects in OUT_DIR (default: bolus-demo), process them, compare with the truth."""
    from bolus_cluster.demo import run_demo

    click.get_current_context().exit(run_demo(out_dir))


@click.command(short_help="Make a synthetic BIDS cohort of any size, with its truth.")
@click.argument("out_dir", type=click.Path(path_type=Path, file_okay=False))
@click.option("--subjects", type=click.IntRange(min=1), required=True, metavar="N", help="How many subjects.")
@click.option(
    "--sessions",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Sessions per subject.",
)
@click.option(
    "--shape",
    type=(int, int, int),
    default=(64, 64, 12),
    show_default=True,
    metavar="X Y Z",
    help="Voxels of an image.",
)
@click.option(
    "--volumes",
    type=click.IntRange(min=24),
    default=60,
    show_default=True,
    metavar="N",
    help="Volumes of a DSC series.",
)
@click.option("--snr", type=float, default=100.0, show_default=True, help="Signal to noise of one image.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another cohort.")
@click.option(
    "--contrast",
    "contrasts",
    type=click.Choice(["dsc", "asl"]),
    multiple=True,
    default=("dsc", "asl"),
    help="Only this kind of scan (repeat) [default: both].",
)
@click.option(
    "--labeling",
    type=click.Choice(["PCASL", "PASL"]),
    default="PCASL",
    show_default=True,
    help="How the ASL is labelled.",
)
@click.option(
    "--echo-time",
    "echo_times",
    type=float,
    multiple=True,
    default=(0.03,),
    metavar="SECONDS",
    help="Of the DSC; repeat it, rising, for several echoes [default: 0.03].",
)
def phantom(
    out_dir: Path, subjects: int, sessions: int, shape: tuple[int, int, int], volumes: int, snr: float,
    seed: int, contrasts: tuple[str, ...], labeling: Labeling, echo_times: tuple[float, ...],
) -> None:  # fmt: skip
    """Write a BIDS cohort with DSC and ASL to OUT_DIR, its truth below OUT_DIR/derivatives/phantom."""
    from bolus.phantom import write_cohort

    write_cohort(
        out_dir, subjects, sessions=sessions, shape=shape, volumes=volumes, snr=snr, seed=seed,
        contrasts=contrasts, labeling=labeling, echo_times=echo_times,
    )  # fmt: skip
    click.echo(f"The cohort is in {out_dir}. Next: bolus run {out_dir} {out_dir}-maps participant")
