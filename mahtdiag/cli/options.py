"""Every option that several commands share or that is a setting; what settings say stands in `config`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mahtdiag.config import option_keys as keys
from mahtdiag.config.option_keys import NETWORK, RESULT, OptionKey
from mahtdiag.errors import UsageError
from mahtdiag.reports.rendering import FORMATS, TABLE
from mahtdiag.schema import choices, preprocessing
from mahtdiag.schema.choices import (
    CoordinateConvention,
    DecodeMethod,
    FacingSide,
    ImageChoice,
    UncertaintyKind,
)
from mahtdiag.schema.output_spec import CoordsFrame
from mahtdiag.schema.read_options import SpacingSource


class ViewChoice(StrEnum):
    """`--view`."""

    AP = "AP"
    LA = "LA"
    AUTO = "auto"


if TYPE_CHECKING:
    from mahtdiag.config.settings import Settings

    class OutputFormat(StrEnum):
        """`--format`."""

        TABLE = TABLE

else:
    OutputFormat = StrEnum("OutputFormat", {format.name.upper(): format.name for format in FORMATS})


def in_panel(
    panel: str | None, name: str, text: str, metavar: str | None = None, short: str | None = None
) -> Any:
    """An option that help shows in this panel, with this text and this name of its value."""
    return typer.Option(name, *filter(None, [short]), metavar=metavar, rich_help_panel=panel, help=text)


def _setting(key: OptionKey) -> Any:
    """An option with the words of its key."""
    return in_panel(key.panel, key.option, key.help, key.metavar)


Checkpoint = Annotated[str | None, typer.Argument(help=keys.CHECKPOINT.help)]
Data = Annotated[str | None, typer.Argument(help=keys.DATA.help)]
View = Annotated[ViewChoice | None, _setting(keys.VIEW)]
Levels = Annotated[str | None, _setting(keys.LEVELS)]
PixelSpacing = Annotated[float | None, _setting(keys.PIXEL_SPACING)]
Patient = Annotated[str | None, _setting(keys.PATIENT)]
Subgroups = Annotated[str | None, _setting(keys.SUBGROUPS)]
DataFormat = Annotated[str | None, _setting(keys.DATA_FORMAT)]
CompleteOnly = Annotated[bool | None, in_panel(keys.DATA_SET, "--complete-only", keys.COMPLETE_ONLY.help)]
Predictions = Annotated[
    Path | None,
    in_panel(keys.DATA_SET, "--predictions", "Predictions in a file (COCO results, CSV, …) instead of"
             " a checkpoint: evaluate --predictions FILE DATA.", "FILE"),
]  # fmt: skip
NoLabels = Annotated[bool | None, in_panel(keys.DATA_SET, "--no-labels", keys.NO_LABELS.help)]
SpacingFrom = Annotated[SpacingSource | None, _setting(keys.SPACING_FROM)]
DicomWindow = Annotated[str | None, _setting(keys.DICOM_WINDOW)]
Exif = Annotated[preprocessing.Exif | None, _setting(keys.EXIF)]
ImageTimeout = Annotated[float | None, _setting(keys.IMAGE_TIMEOUT)]
MissingValue = Annotated[float | None, _setting(keys.MISSING_VALUE)]
Labels2 = Annotated[str | None, _setting(keys.LABELS2)]
Facing = Annotated[FacingSide | None, _setting(keys.FACING)]
Model = Annotated[str | None, _setting(keys.FACTORY)]
ModelArgs = Annotated[list[str] | None, _setting(keys.MODEL_ARGS)]
Weights = Annotated[str | None, _setting(keys.WEIGHTS)]
InputSize = Annotated[str | None, _setting(keys.INPUT_SIZE)]
Resize = Annotated[str | None, _setting(keys.RESIZE)]
Normalize = Annotated[str | None, _setting(keys.NORMALIZE)]
Channels = Annotated[int | None, _setting(keys.CHANNELS)]
Interpolation = Annotated[preprocessing.Interpolation | None, _setting(keys.INTERPOLATION)]
FullScale = Annotated[str | None, _setting(keys.FULL_SCALE)]
Invert = Annotated[bool | None, in_panel(NETWORK, "--invert", keys.INVERT.help)]
Flip = Annotated[preprocessing.Flip | None, _setting(keys.FLIP)]
Stride = Annotated[str | None, _setting(keys.STRIDE)]
HeatmapOrigin = Annotated[str | None, _setting(keys.HEATMAP_ORIGIN)]
ChannelOrder = Annotated[preprocessing.ChannelOrder | None, _setting(keys.CHANNEL_ORDER)]
Coords = Annotated[CoordinateConvention | None, _setting(keys.COORDS)]
Decode = Annotated[DecodeMethod | None, _setting(keys.DECODE)]
HeatmapSigma = Annotated[float | None, _setting(keys.HEATMAP_SIGMA)]
SoftargmaxBeta = Annotated[float | None, _setting(keys.SOFTARGMAX_BETA)]
Preset = Annotated[str | None, _setting(keys.PRESET)]
Output = Annotated[list[str] | None, _setting(keys.OUTPUT)]
CoordinateFrame = Annotated[CoordsFrame | None, _setting(keys.COORDS_FRAME)]
Keypoints = Annotated[str | None, _setting(keys.KEYPOINTS)]
Uncertainty = Annotated[str | None, _setting(keys.UNCERTAINTY)]
UncertaintyAs = Annotated[UncertaintyKind | None, _setting(keys.UNCERTAINTY_AS)]
UncertaintyFrame = Annotated[choices.UncertaintyFrame | None, _setting(keys.UNCERTAINTY_FRAME)]
Recalibration = Annotated[str | None, _setting(keys.RECALIBRATION)]
ExpectedError = Annotated[bool | None, _setting(keys.EXPECTED_ERROR)]
Device = Annotated[str | None, _setting(keys.DEVICE)]
BatchSize = Annotated[str | None, _setting(keys.BATCH_SIZE)]
Workers = Annotated[int | None, _setting(keys.WORKERS)]
Precision = Annotated[choices.Precision | None, _setting(keys.PRECISION)]
Overlays = Annotated[str | None, _setting(keys.OVERLAYS)]
OverlayStyle = Annotated[choices.OverlayStyle | None, _setting(keys.OVERLAY_STYLE)]
OverlayHeatmaps = Annotated[bool | None, in_panel(RESULT, "--overlay-heatmaps", keys.OVERLAY_HEATMAPS.help)]
ErrorUnit = Annotated[choices.LeadingUnit | None, _setting(keys.ERROR_UNIT)]
AllowFailures = Annotated[int | None, _setting(keys.ALLOW_FAILURES)]
Accept = Annotated[list[str] | None, _setting(keys.ACCEPT)]
StrictSetup = Annotated[bool | None, _setting(keys.STRICT_SETUP)]

Trust = Annotated[bool, in_panel(NETWORK, "--trust", "Allow checkpoints and factories that run code.")]
Out = Annotated[
    Path | None, in_panel(RESULT, "--out", "Run folder (default: runs/<UTC time>-<checkpoint>).", "DIR")
]
Resume = Annotated[bool, in_panel(RESULT, "--resume", "Continue the interrupted run in --out.")]
Quiet = Annotated[bool, in_panel(RESULT, "--quiet", "Print the closing summary alone.", short="-q")]
Verbose = Annotated[bool, in_panel(RESULT, "--verbose", "Print every row of every table.", short="-v")]
AllLevels = Annotated[
    bool, in_panel(RESULT, "--all-levels", "Of a spine of several regions: a row for each vertebra.")
]
Format = Annotated[OutputFormat, in_panel(RESULT, "--format", "json: run.json on stdout.")]
Junit = Annotated[
    Path | None,
    in_panel(
        RESULT,
        "--junit",
        "Also write JUnit XML, a test case per gate; - prints it instead of tables.",
        "FILE",
    ),
]
Markdown = Annotated[
    Path | None,
    in_panel(RESULT, "--markdown", "Also write a Markdown summary; - prints it instead of tables.", "FILE"),
]
Config = Annotated[
    Path | None,
    in_panel(
        RESULT,
        "--config",
        "Settings (default: ./mahtdiag.toml, then tool.mahtdiag in pyproject.toml).",
        "FILE",
    ),
]


OF_NETWORKS = tuple(
    key.option
    for key in (
        *(keys.PRESET, keys.OUTPUT, keys.COORDS_FRAME, keys.KEYPOINTS),
        *(keys.FACTORY, keys.MODEL_ARGS, keys.WEIGHTS),
        *(
            keys.NORMALIZE,
            keys.CHANNELS,
            keys.INTERPOLATION,
            keys.CHANNEL_ORDER,
            keys.FULL_SCALE,
            keys.INVERT,
            keys.FLIP,
            keys.STRIDE,
            keys.HEATMAP_ORIGIN,
            keys.DECODE,
            keys.HEATMAP_SIGMA,
            keys.SOFTARGMAX_BETA,
            keys.UNCERTAINTY,
            keys.UNCERTAINTY_AS,
        ),
        *(keys.UNCERTAINTY_FRAME, keys.RECALIBRATION, keys.EXPECTED_ERROR, keys.DEVICE, keys.PRECISION),
        keys.OVERLAY_HEATMAPS,
    )
)
"""Options that say something of networks alone."""


def given_in(context: typer.Context) -> dict[str, object]:
    """Values by the names of options, and of arguments in capitals; those not given are None."""
    names = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    return {
        name if name.startswith("-") else name.upper(): None if value in ([], ()) else value
        for name, value in ((names[parameter], value) for parameter, value in context.params.items())
    }


def with_image_timeout(settings: "Settings", seconds: float | None) -> "Settings":
    """The settings with `--image-timeout` over them, for commands that take none of the others."""
    from mahtdiag.config.settings import settings_from_options

    asked = {keys.IMAGE_TIMEOUT.option: seconds}
    return settings if seconds is None else settings.overridden_by(settings_from_options(asked))


class Detail(StrEnum):
    """How much a command prints."""

    CLOSING = "closing"
    USUAL = "usual"
    ALL = "all"


def detail_of(quiet: bool, verbose: bool, output_format: OutputFormat) -> Detail:
    """What `--quiet` and `--verbose` ask for. Raises UsageError for both, or beside another format."""
    if quiet and verbose:
        raise UsageError("--quiet with --verbose: leave one of them out")
    if (quiet or verbose) and output_format != TABLE:
        given = "--quiet" if quiet else "--verbose"
        raise UsageError(f"{given} with --format {output_format}: it is about tables; leave it out")
    return Detail.CLOSING if quiet else Detail.ALL if verbose else Detail.USUAL


def image_choice(option: str, text: str) -> ImageChoice:
    """Which images an option names; raises UsageError."""
    try:
        return ImageChoice.parse(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from None
