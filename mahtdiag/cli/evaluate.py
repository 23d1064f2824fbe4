"""`mahtdiag evaluate`: options in, tables or JSON out."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mahtdiag.cli import options
from mahtdiag.cli.ci import ci_results
from mahtdiag.cli.output import kept_for_the_result, progress_shown, tell, write_result
from mahtdiag.engine.ranks import Ranks, of_this_process
from mahtdiag.errors import MahtdiagError, UsageError
from mahtdiag.opening import read_bytes
from mahtdiag.runs.files import RUN_FILES, remove_files

if TYPE_CHECKING:
    from mahtdiag.reports.ci.record import CiRecord
    from mahtdiag.workflows.evaluate.job import EvaluateRequest, Evaluation


def evaluate_command(
    context: typer.Context,
    checkpoint: options.Checkpoint = None,
    data: options.Data = None,
    predictions: options.Predictions = None,
    view: options.View = None,
    levels: options.Levels = None,
    pixel_spacing: options.PixelSpacing = None,
    patient: options.Patient = None,
    subgroups: options.Subgroups = None,
    data_format: options.DataFormat = None,
    complete_only: options.CompleteOnly = None,
    no_labels: options.NoLabels = None,
    missing_value: options.MissingValue = None,
    labels2: options.Labels2 = None,
    spacing_from: options.SpacingFrom = None,
    dicom_window: options.DicomWindow = None,
    exif: options.Exif = None,
    image_timeout: options.ImageTimeout = None,
    model: options.Model = None,
    model_args: options.ModelArgs = None,
    weights: options.Weights = None,
    trust: options.Trust = False,
    input_size: options.InputSize = None,
    resize: options.Resize = None,
    normalize: options.Normalize = None,
    channels: options.Channels = None,
    interpolation: options.Interpolation = None,
    channel_order: options.ChannelOrder = None,
    full_scale: options.FullScale = None,
    invert: options.Invert = None,
    flip: options.Flip = None,
    stride: options.Stride = None,
    heatmap_origin: options.HeatmapOrigin = None,
    coords: options.Coords = None,
    decode: options.Decode = None,
    heatmap_sigma: options.HeatmapSigma = None,
    softargmax_beta: options.SoftargmaxBeta = None,
    preset: options.Preset = None,
    output: options.Output = None,
    coords_frame: options.CoordinateFrame = None,
    keypoints: options.Keypoints = None,
    uncertainty: options.Uncertainty = None,
    uncertainty_as: options.UncertaintyAs = None,
    uncertainty_frame: options.UncertaintyFrame = None,
    recalibration: options.Recalibration = None,
    expected_error: options.ExpectedError = None,
    device: options.Device = None,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    precision: options.Precision = None,
    out: options.Out = None,
    resume: options.Resume = False,
    overlays: options.Overlays = None,
    overlay_style: options.OverlayStyle = None,
    overlay_heatmaps: options.OverlayHeatmaps = None,
    error_unit: options.ErrorUnit = None,
    allow_failures: options.AllowFailures = None,
    accept: options.Accept = None,
    strict_setup: options.StrictSetup = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    all_levels: options.AllLevels = False,
    output_format: options.Format = options.OutputFormat.TABLE,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    config: options.Config = None,
) -> None:
    """Run a checkpoint over annotated radiographs and say where and why it goes wrong.

    Exit status: 0 done, 1 a gate failed, 2 could not be done (or images failed), 130 interrupted.
    """
    # Options that are settings are read from the context, by the names that their keys say.
    given = options.given_in(context)
    if predictions is not None:
        given = _without_network(given, trust)
    detail = options.detail_of(quiet, verbose, output_format)
    ask = partial(_request, given, config, out, resume=resume, trust=trust, predictions=predictions)
    ranks = of_this_process(lambda said: tell(f"note: {said}"))
    if ranks is not None and not ranks.first:
        _take_part(ask, ranks)
        return
    with ExitStack() as at_last, ci_results("evaluate", junit, markdown, output_format, out) as ci:
        evaluation = _evaluate(ask, ranks)
        from mahtdiag.workflows.evaluate.screen import of_evaluation

        record = cache(lambda: of_evaluation(evaluation))
        if not ci.take_stdout:
            _print(evaluation, record, output_format, detail, all_levels)
        ci.report(record)
        if evaluation.numbers is None and not resume:
            at_last.callback(remove_files, evaluation.run.path, RUN_FILES, with_parent=out is None)
        if evaluation.not_done is not None:
            raise MahtdiagError(evaluation.not_done)
        raise typer.Exit(int(evaluation.status))


def _without_network(given: dict[str, object], trust: bool) -> dict[str, object]:
    """The options as they are meant with `--predictions`: the only argument names the data.

    Raises UsageError for a checkpoint beside it, and for options of networks.
    """
    checkpoint, data = given.pop("CHECKPOINT"), given.get("DATA")
    if checkpoint is not None and data is not None:
        raise UsageError(f"--predictions with the checkpoint {checkpoint}: leave one of them out")
    wrong = [name for name in options.OF_NETWORKS if given.get(name) not in (None, False)]
    wrong += ["--trust"] if trust else []
    if wrong:
        raise UsageError(f"--predictions with {', '.join(wrong)}: no network is run; leave it out")
    return {**given, "DATA": checkpoint if data is None else data}


def _request(
    given: Mapping[str, object],
    config: Path | None,
    out: Path | None,
    *,
    resume: bool,
    trust: bool,
    predictions: Path | None,
) -> "EvaluateRequest":
    from mahtdiag.config.project_file import read_settings
    from mahtdiag.config.settings import settings_from_options

    cwd = Path.cwd()
    command_line = settings_from_options(given)
    settings = read_settings(config, cwd).overridden_by(command_line)

    from mahtdiag.workflows.evaluate.job import EvaluateRequest

    if resume and out is None:
        raise UsageError("--resume needs --out DIR, the run folder to continue")
    return EvaluateRequest(settings, out, resume, trust, cwd, predictions)


def _evaluate(ask: "Callable[[], EvaluateRequest]", ranks: Ranks | None) -> "Evaluation":
    request = ask()

    from mahtdiag.workflows.evaluate.job import evaluate

    # A network of the user's may print; standard output is for the result alone.
    with kept_for_the_result():
        return evaluate(replace(request, ranks=ranks), progress_shown())


def _take_part(ask: "Callable[[], EvaluateRequest]", ranks: Ranks) -> None:
    """The share of a process that is not the first: that one tells the result, here and to a pipeline."""
    from mahtdiag.workflows.evaluate.job import take_part

    with kept_for_the_result():
        take_part(ask, ranks)


def _print(
    evaluation: "Evaluation",
    record: "Callable[[], CiRecord]",
    output_format: options.OutputFormat,
    detail: options.Detail,
    all_levels: bool,
) -> None:
    from mahtdiag.reports.rendering import Result
    from mahtdiag.reports.tables.closing import with_closing
    from mahtdiag.reports.tables.evaluation import evaluation_parts
    from mahtdiag.workflows.evaluate.screen import result_of

    result = Result(
        lambda columns: with_closing(
            evaluation_parts(
                result_of(evaluation),
                columns,
                everything=detail is options.Detail.ALL,
                all_levels=all_levels,
            ),
            record(),
            quiet=detail is options.Detail.CLOSING,
        ),
        lambda: json.loads(read_bytes(evaluation.run.path / "run.json")),
    )
    write_result(result, output_format, str(evaluation.run.path))
