"""Every option of the command line, declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mahtdiag.errors import UsageError
from mahtdiag.schema.choices import (
    CoordinateConvention,
    DecodeMethod,
    ImageChoice,
    ResizeMode,
    UncertaintyKind,
)
from mahtdiag.schema.choices import UncertaintyFrame as FrameOfSigma


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
Checkpoint = Annotated[
    str | None,
    typer.Argument(
        help="Trained network: the product's own checkpoint, TorchScript, or a state dict; "
        "A.pt,B.pt,… is an ensemble.",
    ),
]
Data = Annotated[
    str | None,
    typer.Argument(
        help="Folder of radiographs with annotations (BUU-LSPINE layout).",
    ),
]
View = Annotated[
    ViewChoice | None,
    typer.Option(
        "--view",
        rich_help_panel=DATA,
        help="View of the radiographs; auto (default): from folder, annotations and network.",
    ),
]
PixelSpacing = Annotated[
    float | None,
    typer.Option(
        "--pixel-spacing",
        metavar="MM",
        rich_help_panel=DATA,
        help="Spacing of all images without their own.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="PKG.MODULE:FACTORY",
        rich_help_panel=MODEL,
        help="Builds the network of a bare state dict; needs --trust.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        rich_help_panel=MODEL,
        help="Allow checkpoints and factories that run code.",
    ),
]
InputSize = Annotated[
    str | None,
    typer.Option(
        "--input-size",
        metavar="HxW",
        rich_help_panel=MODEL,
        help="Size of the network's input.",
    ),
]
Resize = Annotated[
    ResizeMode | None,
    typer.Option(
        "--resize",
        rich_help_panel=MODEL,
        help="Fill the input, or keep the aspect ratio and pad.",
    ),
]
Normalize = Annotated[
    str | None,
    typer.Option(
        "--normalize",
        metavar="unit|imagenet|MEAN/STD",
        rich_help_panel=MODEL,
        help="From grey values to network values.",
    ),
]
Channels = Annotated[
    int | None,
    typer.Option(
        "--channels",
        metavar="1|3",
        rich_help_panel=MODEL,
        help="Channels of the network's input.",
    ),
]
Coords = Annotated[
    CoordinateConvention | None,
    typer.Option(
        "--coords",
        rich_help_panel=MODEL,
        help="Where pixel centres lie under a resize.",
    ),
]
Decode = Annotated[
    DecodeMethod | None,
    typer.Option(
        "--decode",
        rich_help_panel=READING,
        help="From heatmap to place.",
    ),
]
HeatmapSigma = Annotated[
    float | None,
    typer.Option(
        "--heatmap-sigma",
        metavar="PX",
        rich_help_panel=READING,
        help="σ of the target heatmaps, in heatmap cells.",
    ),
]
SoftargmaxBeta = Annotated[
    float | None,
    typer.Option(
        "--softargmax-beta",
        metavar="B",
        rich_help_panel=READING,
        help="Factor before the softmax of soft-argmax.",
    ),
]
Uncertainty = Annotated[
    str | None,
    typer.Option(
        "--uncertainty",
        metavar="auto|head|heatmap|none|mc-dropout:N",
        rich_help_panel=READING,
        help="Where σ comes from; mc-dropout:N also from N passes with active dropout.",
    ),
]
UncertaintyAs = Annotated[
    UncertaintyKind | None,
    typer.Option(
        "--uncertainty-as",
        rich_help_panel=READING,
        help="What the head emits.",
    ),
]
UncertaintyFrame = Annotated[
    FrameOfSigma | None,
    typer.Option(
        "--uncertainty-frame",
        rich_help_panel=READING,
        help="Unit of the head's σ: input pixels or heatmap cells.",
    ),
]
Recalibration = Annotated[
    str | None,
    typer.Option(
        "--recalibration",
        metavar="FILE",
        rich_help_panel=READING,
        help="Multiply σ by the factors that calibration --fit has written.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N|mps",
        rich_help_panel=RUNNING,
        help="Where the network runs.",
    ),
]
BatchSize = Annotated[
    str | None,
    typer.Option(
        "--batch-size",
        metavar="N|auto",
        rich_help_panel=RUNNING,
        help="Images per forward pass.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        rich_help_panel=RUNNING,
        help="Threads that decode images.",
    ),
]
Precision = Annotated[
    PrecisionChoice | None,
    typer.Option(
        "--precision",
        rich_help_panel=RUNNING,
        help="Of the forward pass; the analysis stays in float32.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        rich_help_panel=OUTPUT,
        help="Run folder (default: runs/<UTC time>-<checkpoint>).",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        rich_help_panel=OUTPUT,
        help="Continue the interrupted run in --out.",
    ),
]
Overlays = Annotated[
    str | None,
    typer.Option(
        "--overlays",
        metavar="worst:N|all|none",
        rich_help_panel=OUTPUT,
        help="Which overlays to draw (default: worst:12).",
    ),
]
AllowFailures = Annotated[
    int | None,
    typer.Option(
        "--allow-failures",
        metavar="N",
        rich_help_panel=OUTPUT,
        help="Images that may fail without failing the command (default: 0).",
    ),
]
Format = Annotated[
    OutputFormat,
    typer.Option(
        "--format",
        rich_help_panel=OUTPUT,
        help="json: run.json on stdout.",
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        metavar="FILE",
        rich_help_panel=OUTPUT,
        help="Also write JUnit XML, a test case per gate; - prints it instead of tables.",
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        "--markdown",
        metavar="FILE",
        rich_help_panel=OUTPUT,
        help="Also write a Markdown summary; - prints it instead of tables.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        rich_help_panel=OUTPUT,
        help="Settings (default: ./mahtdiag.toml, then tool.mahtdiag in pyproject.toml).",
    ),
]


def image_choice(option: str, text: str) -> ImageChoice:
    """Which images an option names; raises UsageError."""
    try:
        return ImageChoice.parse(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from None
