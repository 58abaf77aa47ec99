"""The front door: the command `bolus`; nothing heavy is imported until a command runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bolus.errors import BolusError
from bolus_cluster.cli.look import doctor, methods, status
from bolus_cluster.cli.run import run
from bolus_cluster.cli.submit import command as submit
from bolus_cluster.cli.tryout import demo, phantom
from bolus_cluster.cli.verify import verify

SECTIONS: Mapping[str, tuple[click.Command, ...]] = {
    "Process a cohort": (run, submit, status, verify),
    "Try it": (demo, phantom),
    "Look up": (methods, doctor),
}
ENDED = 130
TERMINATED = 143


class Door(click.Group):
    """The commands under their headings, and every refusal as a block that one can read."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, one line each."""
        width = max(len(name) for name in self.commands)
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(f"{each.name:{width}}", each.get_short_help_str(90)) for each in commands]
                )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it refuses ends with the exit code of the contract."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as end:
            click.echo("\nEnded. What is done stays done: the same command goes on from there.", err=True)
            ctx.exit(TERMINATED if type(end).__name__ == "Terminated" else ENDED)
        except BrokenPipeError:
            raise
        except Exception as error:
            ctx.exit(_tell(error))


@click.group(cls=Door, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bolus")
def main() -> None:
    """Perfusion maps of the brain from DSC and ASL, for cohorts of thousands of scans.

    Start with `bolus demo`; the main job is `bolus run BIDS_DIR OUT_DIR participant`.
    """


for _commands in SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)


def _tell(error: Exception) -> int:
    """Print a refusal on stderr and return its exit code; of a mistake in bolus, the traceback as well."""
    import traceback

    from bolus_cluster.run import exit_code
    from bolus_cluster.workers.attempt import translate

    problem = translate(error, str(Path.cwd()), "the lines above")
    if not isinstance(error, BolusError | OSError | MemoryError):
        click.echo("".join(traceback.format_exception(error)), err=True)
    click.secho(f"{problem.code}  {problem.file}", fg="red", bold=True, err=True)
    for label, text in (("saw", problem.seen), ("expected", problem.expected), ("do", problem.mend)):
        indent = " " * 12
        click.echo(click.wrap_text(text, 100, f"  {label:10}", indent), err=True)
    return exit_code(problem)
