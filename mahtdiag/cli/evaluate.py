"""`mahtdiag evaluate`: options in, tables or JSON out."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mahtdiag.schema.frames import CoordinateConvention, ResizeMode
from mahtdiag.schema.model_spec import DecodeMethod, UncertaintyFrame, UncertaintyKind, UncertaintySource

if TYPE_CHECKING:
    from mahtdiag.workflows.evaluate import Evaluation


class ViewChoice(StrEnum):
    """`--view`."""

    AP = "AP"
    LA = "LA"
    AUTO = "auto"


class OutputFormat(StrEnum):
    """`--format`."""

    TABLE = "table"
    JSON = "json"


class PrecisionChoice(StrEnum):
    """`--precision`."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


MODEL, DATA, READING, RUNNING, OUTPUT = (
    "Network",
    "Data",
    "Reading the output",
    "Execution",
    "Result",
)
_Resize = Annotated[ResizeMode | None, typer.Option("--resize", rich_help_panel=MODEL, help="Fill the input, or keep the aspect ratio and pad.")]  # fmt: skip


def evaluate_command(
    checkpoint: Annotated[str | None, typer.Argument(help="Trained network: the product's own checkpoint, TorchScript, or a state dict.")] = None,
    data: Annotated[str | None, typer.Argument(help="Folder of radiographs with annotations (BUU-LSPINE layout).")] = None,
    view: Annotated[ViewChoice, typer.Option("--view", rich_help_panel=DATA, help="View of the radiographs; auto: from folder, annotations and network.")] = ViewChoice.AUTO,
    pixel_spacing: Annotated[float | None, typer.Option("--pixel-spacing", metavar="MM", rich_help_panel=DATA, help="Spacing of all images without their own.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="PKG.MODULE:FACTORY", rich_help_panel=MODEL, help="Builds the network of a bare state dict; needs --trust.")] = None,
    trust: Annotated[bool, typer.Option("--trust", rich_help_panel=MODEL, help="Allow checkpoints and factories that run code.")] = False,
    input_size: Annotated[str | None, typer.Option("--input-size", metavar="HxW", rich_help_panel=MODEL, help="Size of the network's input.")] = None,
    resize: _Resize = None,
    normalize: Annotated[str | None, typer.Option("--normalize", metavar="unit|imagenet|MEAN/STD", rich_help_panel=MODEL, help="From grey values to network values.")] = None,
    channels: Annotated[int | None, typer.Option("--channels", metavar="1|3", rich_help_panel=MODEL, help="Channels of the network's input.")] = None,
    coords: Annotated[CoordinateConvention | None, typer.Option("--coords", rich_help_panel=MODEL, help="Where pixel centres lie under a resize.")] = None,
    decode: Annotated[DecodeMethod | None, typer.Option("--decode", rich_help_panel=READING, help="From heatmap to place.")] = None,
    heatmap_sigma: Annotated[float | None, typer.Option("--heatmap-sigma", metavar="PX", rich_help_panel=READING, help="σ of the target heatmaps, in heatmap cells.")] = None,
    softargmax_beta: Annotated[float | None, typer.Option("--softargmax-beta", metavar="B", rich_help_panel=READING, help="Factor before the softmax of soft-argmax.")] = None,
    uncertainty: Annotated[UncertaintySource | None, typer.Option("--uncertainty", rich_help_panel=READING, help="Where σ comes from.")] = None,
    uncertainty_as: Annotated[UncertaintyKind | None, typer.Option("--uncertainty-as", rich_help_panel=READING, help="What the head emits.")] = None,
    uncertainty_frame: Annotated[UncertaintyFrame | None, typer.Option("--uncertainty-frame", rich_help_panel=READING, help="Unit of the head's σ: input pixels or heatmap cells.")] = None,
    device: Annotated[str | None, typer.Option("--device", metavar="auto|cpu|cuda|cuda:N|mps", rich_help_panel=RUNNING, help="Where the network runs.")] = None,
    batch_size: Annotated[str | None, typer.Option("--batch-size", metavar="N|auto", rich_help_panel=RUNNING, help="Images per forward pass.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", rich_help_panel=RUNNING, help="Threads that decode images.")] = None,
    precision: Annotated[PrecisionChoice | None, typer.Option("--precision", rich_help_panel=RUNNING, help="Of the forward pass; the analysis stays in float32.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", rich_help_panel=OUTPUT, help="Run folder. [default: runs/<UTC time>-<checkpoint>]")] = None,
    resume: Annotated[bool, typer.Option("--resume", rich_help_panel=OUTPUT, help="Continue the interrupted run in --out.")] = False,
    overlays: Annotated[str | None, typer.Option("--overlays", metavar="worst:N|all|none", rich_help_panel=OUTPUT, help="Which overlays to draw. [default: worst:12]")] = None,
    allow_failures: Annotated[int | None, typer.Option("--allow-failures", metavar="N", rich_help_panel=OUTPUT, help="Images that may fail without failing the command. [default: 0]")] = None,
    output_format: Annotated[OutputFormat, typer.Option("--format", rich_help_panel=OUTPUT, help="json: run.json on stdout.")] = OutputFormat.TABLE,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", rich_help_panel=OUTPUT, help="Settings. [default: ./mahtdiag.toml, then [tool.mahtdiag] in pyproject.toml]")] = None,
) -> None:  # fmt: skip
    """Run a checkpoint over annotated radiographs and say where and why it goes wrong.

    Exit status: 0 done, 1 a gate failed, 2 could not be done (or images failed), 130 interrupted.
    """
    from mahtdiag.config.command_line import settings_from_options
    from mahtdiag.config.reading import read_settings

    options = settings_from_options(
        model={
            "checkpoint": checkpoint, "factory": model, "input_size": input_size, "resize": resize,
            "normalize": normalize, "channels": channels, "coords": coords, "decode": decode,
            "heatmap_sigma": heatmap_sigma, "softargmax_beta": softargmax_beta, "uncertainty": uncertainty,
            "uncertainty_as": uncertainty_as, "uncertainty_frame": uncertainty_frame,
        },
        data={
            "path": data, "view": None if view is ViewChoice.AUTO else view, "pixel_spacing_mm": pixel_spacing,
        },
        evaluate={
            "device": device, "batch_size": batch_size, "workers": workers, "precision": precision,
            "overlays": overlays, "allow_failures": allow_failures,
        },
    )  # fmt: skip
    cwd = Path.cwd()
    settings = read_settings(config, cwd).overridden_by(options)

    from rich.console import Console

    from mahtdiag.errors import UsageError
    from mahtdiag.reports.progress import progress_for
    from mahtdiag.workflows.evaluate import EvaluateRequest, evaluate

    if resume and out is None:
        raise UsageError("--resume needs --out DIR, the run folder to continue")
    watcher = progress_for(Console(stderr=True))
    evaluation = evaluate(EvaluateRequest(settings, out, resume, trust, cwd), watcher)
    if output_format is OutputFormat.JSON:
        typer.echo((evaluation.path / "run.json").read_text(encoding="utf-8"), nl=False)
    else:
        _print_tables(evaluation)
    raise typer.Exit(int(evaluation.status))


def _print_tables(evaluation: "Evaluation") -> None:
    from rich.console import Console

    from mahtdiag.reports.evaluation import evaluation_report
    from mahtdiag.workflows.evaluation_view import view_of

    Console().print(evaluation_report(view_of(evaluation)))
