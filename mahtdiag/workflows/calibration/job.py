"""`calibration`: does σ mean what it says? Numbers, pictures, words, and what to do about it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mahtdiag.calibration import CalibrationReport, collect_points, conformal_limit, conformal_scores
from mahtdiag.config.settings import CalibrationSettings
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.errors import ExitStatus, UsageError
from mahtdiag.reports.figures.calibration import PlotData, calibration_pictures
from mahtdiag.runs.files import replacing
from mahtdiag.runs.reading import Run, open_run
from mahtdiag.runs.recalibration import Recalibration, read_recalibration, write_recalibration
from mahtdiag.workflows.calibration.choices import choices_of
from mahtdiag.workflows.calibration.inputs import CalibrationInputs, judge, read_inputs
from mahtdiag.workflows.calibration.recalibration import (
    Recalibrated,
    cross_fit,
    fitted_file,
    judge_factors,
    require_other_data,
)
from mahtdiag.workflows.gates.judging import status_of

PICTURES = "calibration"
AS_THE_RUN = CalibrationSettings()
PLOTTED_COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """What a user asked for; `run` None means the latest. `fit` and `apply` name a recalibration file.

    `settings`: how σ is judged; what they leave open is as the run was judged.
    """

    run: Path | None
    fit: Path | None
    apply: Path | None
    pictures: bool
    cwd: Path
    settings: CalibrationSettings = AS_THE_RUN


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of a run's σ.

    `recalibrated`: cross-fitted on this run, or None with the reason in `no_recalibration`. `applied`: the
    factors of a file on this run, and `factors` that file's content.
    """

    run: Run
    inputs: CalibrationInputs
    report: CalibrationReport
    recalibrated: Recalibrated | None
    no_recalibration: str | None
    factors: Recalibration | None
    applied: Recalibrated | None
    fitted: Path | None
    pictures: tuple[Path, ...]
    gates: tuple[GateResult, ...]
    notes: tuple[str, ...]
    cwd: Path

    def shown(self, path: Path) -> str:
        """A path as a user in the current folder would write it."""
        return str(path.relative_to(self.cwd) if path.is_relative_to(self.cwd) else path)

    @property
    def status(self) -> ExitStatus:
        """0, or 1 if a gate on calibration failed."""
        return status_of(self.gates)


def calibrate(request: CalibrationRequest, run: Run | None = None) -> Calibration:
    """Judge the σ of a run, which may be open already; write pictures and factors if asked.

    Raises MahtdiagError where the run cannot be read or has no σ, or the factors cannot be fitted or judged.
    """
    if request.fit is not None and request.apply is not None:
        raise UsageError("--fit and --apply exclude each other: fit on one run, then apply to another")
    run = run or open_run(request.run, request.cwd)
    factors = None if request.apply is None else read_recalibration(request.cwd / request.apply)
    inputs = read_inputs(run, choices_of(request.settings, run.document))
    if factors is not None and request.apply is not None:
        require_other_data(inputs, factors, request.apply)
    report = judge(inputs)
    recalibrated, reason = _cross_fit(inputs)
    if request.fit is not None:
        if recalibrated is None:
            raise UsageError(f"--fit {request.fit}: {reason}")
        write_recalibration(request.cwd / request.fit, fitted_file(inputs, recalibrated, request.fit))
    pictures, notes = _write_pictures(inputs, report) if request.pictures else ((), ())
    return Calibration(
        run=run,
        inputs=inputs,
        report=report,
        recalibrated=recalibrated,
        no_recalibration=reason,
        factors=factors,
        applied=None if factors is None else _judged(inputs, factors, request.apply),
        fitted=request.fit,
        pictures=pictures,
        gates=(),
        notes=(*_interrupted(run), *notes),
        cwd=request.cwd,
    )


def _cross_fit(inputs: CalibrationInputs) -> tuple[Recalibrated | None, str | None]:
    try:
        return cross_fit(inputs), None
    except ValueError as error:
        return None, str(error)


def _judged(inputs: CalibrationInputs, factors: Recalibration, file: Path | None) -> Recalibrated:
    try:
        return judge_factors(inputs, factors)
    except ValueError as error:
        raise UsageError(f"--apply {file}: {error}; choose a run with labels and σ") from error


def _interrupted(run: Run) -> tuple[str, ...]:
    if run.document.status == "complete":
        return ()
    return (f"{run.path} was interrupted: the images that it got to are judged",)


def _write_pictures(
    inputs: CalibrationInputs, report: CalibrationReport
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Draw and write; a run folder that cannot be written to costs the pictures, not the numbers."""
    if report.n_keypoints == 0:
        return (), ("no pictures: no keypoint has both a label and a valid σ",)
    folder = inputs.run.path / PICTURES
    written: list[Path] = []
    try:
        folder.mkdir(exist_ok=True)
        for name, content in calibration_pictures(plot_data(inputs, report)):
            with replacing(folder / name) as file:
                file.write(content)
            written.append(folder / name)
    except OSError as error:
        return tuple(written), (f"{folder}: pictures not written ({error.strerror or error})",)
    return tuple(written), ()


def plot_data(inputs: CalibrationInputs, report: CalibrationReport) -> PlotData:
    """What the pictures of a judged run show."""
    points = collect_points(inputs.residual_px, inputs.sigma_px, inputs.covariance_px2)
    distance, _ = conformal_scores(points)
    return PlotData(
        skeleton=inputs.run.view.skeleton,
        report=report,
        z=points.residual_px / points.sigma_px,
        # One σ for both axes, so that the ellipse d·σ can be drawn as a line over it.
        sigma_px=np.sqrt(np.mean(points.sigma_px**2, axis=1)),
        error_px=np.hypot(points.residual_px[:, 0], points.residual_px[:, 1]),
        conformal_coverage=PLOTTED_COVERAGE,
        conformal_limit=conformal_limit(distance, PLOTTED_COVERAGE),
    )
