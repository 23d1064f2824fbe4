"""Every command of `mahtdiag`, by name."""

from collections.abc import Callable
from typing import Annotated

import typer

from mahtdiag import __version__
from mahtdiag.cli.anatomy import anatomy_command
from mahtdiag.cli.calibration import calibration_command
from mahtdiag.cli.compare import compare_command
from mahtdiag.cli.demo import demo_command
from mahtdiag.cli.evaluate import evaluate_command
from mahtdiag.cli.explain import explain_command, rules_command
from mahtdiag.cli.export import export_command
from mahtdiag.cli.figures import figures_command
from mahtdiag.cli.help import hide_python_types
from mahtdiag.cli.init import init_command
from mahtdiag.cli.inspect import inspect_command
from mahtdiag.cli.output import write_text
from mahtdiag.cli.report import report_command
from mahtdiag.cli.runs import runs_command
from mahtdiag.cli.schema import schema_command
from mahtdiag.errors import ExitStatus

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Evaluate and diagnose networks that find vertebral landmarks on lumbar spine radiographs.",
)
COMMANDS: tuple[tuple[str, Callable[..., None], str, str], ...] = (
    ("evaluate", evaluate_command, "evaluate model.pt data/", "evaluate --predictions coco.json data/ -q"),
    ("anatomy", anatomy_command, "anatomy --view AP", "anatomy --labels data/ --report labels.html"),
    ("calibration", calibration_command, "calibration", "calibration --fit factors.json"),
    ("compare", compare_command, "compare runs/old runs/new", "compare 2 1 --margin miss_rate=0.01"),
    ("report", report_command, "report", "report runs/new --out page.html"),
    ("runs", runs_command, "runs", "runs models/ --sort calibration.mace"),
    ("figures", figures_command, "figures --out figures", "figures runs/new --out figures --format svg"),
    ("export", export_command, "export --to coco out.json", "export --to labelme review --suspicious 20"),
    ("init", init_command, "init", "init runs/new"),
    ("inspect", inspect_command, "inspect model.pt", "inspect model.pt --model nets:build --trust"),
    ("rules", rules_command, "rules", "rules --format json"),
    ("explain", explain_command, "explain A201", "explain network.heatmaps"),
    ("demo", demo_command, "demo", "demo --out try"),
    ("schema", schema_command, "schema", "schema > run.schema.json"),
)
"""Every command: its name, what it does, and two examples of it, which help shows."""

hide_python_types()
for name, command, *examples in COMMANDS:
    shown = "\n\n".join(f"mahtdiag {example}" for example in examples)
    # What it is asked for may be an option of another command.
    parsing = {"ignore_unknown_options": command is explain_command}
    app.command(name, epilog=f"Examples:\n\n{shown}", context_settings=parsing)(command)


def _version(asked: bool) -> None:
    if asked:
        write_text(f"mahtdiag {__version__}\n")
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
        write_text(f"{context.get_help()}\n")
        raise typer.Exit(int(ExitStatus.NOT_DONE))
