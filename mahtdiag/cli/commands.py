"""Every command of `mahtdiag`, by name."""

from typing import Annotated

import typer

from mahtdiag import __version__
from mahtdiag.cli.anatomy import anatomy_command
from mahtdiag.cli.calibration import calibration_command
from mahtdiag.cli.compare import compare_command
from mahtdiag.cli.evaluate import evaluate_command
from mahtdiag.cli.export import export_command
from mahtdiag.cli.figures import figures_command
from mahtdiag.cli.init import init_command
from mahtdiag.cli.inspect import inspect_command
from mahtdiag.cli.report import report_command
from mahtdiag.cli.runs import runs_command
from mahtdiag.cli.schema import schema_command
from mahtdiag.errors import ExitStatus

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Evaluate and diagnose networks that find vertebral landmarks on lumbar spine radiographs.",
)
app.command("evaluate")(evaluate_command)
app.command("anatomy")(anatomy_command)
app.command("calibration")(calibration_command)
app.command("compare")(compare_command)
app.command("report")(report_command)
app.command("runs")(runs_command)
app.command("figures")(figures_command)
app.command("export")(export_command)
app.command("init")(init_command)
app.command("inspect")(inspect_command)
app.command("schema")(schema_command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mahtdiag {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Evaluate and diagnose networks that find vertebral landmarks on lumbar spine radiographs."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(int(ExitStatus.NOT_DONE))
