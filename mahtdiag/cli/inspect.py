"""`mahtdiag inspect`: what a checkpoint is, and what to type to evaluate it."""

from pathlib import Path
from typing import Annotated

import typer

from mahtdiag.cli import options
from mahtdiag.cli.output import kept_for_the_result, write_result
from mahtdiag.config.option_keys import RESULT
from mahtdiag.errors import ExitStatus

Image = Annotated[
    Path | None,
    typer.Option("--image", metavar="FILE", help="Show the network this image (default: a black one)."),
]
Format = Annotated[
    options.OutputFormat, options.in_panel(RESULT, "--format", "json: everything, for programs.")
]


def inspect_command(
    context: typer.Context,
    checkpoint: options.Checkpoint = None,
    model: options.Model = None,
    model_args: options.ModelArgs = None,
    weights: options.Weights = None,
    trust: options.Trust = False,
    image: Image = None,
    image_timeout: options.ImageTimeout = None,
    input_size: options.InputSize = None,
    resize: options.Resize = None,
    normalize: options.Normalize = None,
    channels: options.Channels = None,
    coords: options.Coords = None,
    preset: options.Preset = None,
    output: options.Output = None,
    keypoints: options.Keypoints = None,
    heatmap_sigma: options.HeatmapSigma = None,
    output_format: Format = options.OutputFormat.TABLE,
    config: options.Config = None,
) -> None:
    """Say what a checkpoint is, and what its network takes and returns; without --trust no code runs.

    ONNX graphs (onnxruntime calculates them within limits) and weights of built-in networks hold none.

    Exit status: 0 done, 2 the file cannot be read, or its network cannot be loaded or run.
    """
    given = options.given_in(context)
    cwd = Path.cwd()

    from mahtdiag.config.project_file import read_settings
    from mahtdiag.config.settings import settings_from_options
    from mahtdiag.reports.rendering import Result
    from mahtdiag.reports.tables.inspection import inspection_content, inspection_parts
    from mahtdiag.workflows.inspect.job import InspectRequest, inspect_checkpoint

    settings = read_settings(config, cwd).overridden_by(settings_from_options(given))
    with kept_for_the_result():
        found = inspect_checkpoint(InspectRequest(settings, trust, image))
    result = Result(lambda _: inspection_parts(found), lambda: inspection_content(found))
    write_result(result, output_format)
    raise typer.Exit(int(ExitStatus.NOT_DONE if found.problems else ExitStatus.OK))
