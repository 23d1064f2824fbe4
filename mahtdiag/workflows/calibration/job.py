"""`calibration`: does σ mean what it says? Numbers, pictures, words, and what to do about it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mahtdiag.calibration.conformal import conformal_limit, conformal_scores
from mahtdiag.config.gates import GateSettings
from mahtdiag.config.settings import CalibrationSettings
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS
from mahtdiag.errors import ExitStatus, RunFolderError, UsageError
from mahtdiag.reports.tables.recalibration import RecalibrationResult
from mahtdiag.reports.tables.setup import plausibility_note
from mahtdiag.runs.factors import Recalibration, harm_of, read_recalibration, unknown_of, write_recalibration
from mahtdiag.runs.files import remove_abandoned, replacing, require_own
from mahtdiag.runs.reading import Run, open_run
from mahtdiag.schema.choices import FactorKind
from mahtdiag.workflows.calibration.judged_sigma import (
    SECTION,
    JudgedSigma,
    choices_of,
    judge_sigma,
    require_sigma,
)
from mahtdiag.workflows.calibration.recalibration import (
    cross_fit,
    fitted_file,
    judge_factors,
    require_harmless,
    require_other_data,
)
from mahtdiag.workflows.gates.judging import judge_baseline, judged, notes_on, status_of

if TYPE_CHECKING:
    # Figures are imported where they are drawn.
    from mahtdiag.reports.figures.calibration import PlotData

PICTURES = "calibration"
AS_THE_RUN = CalibrationSettings()
PLOTTED_COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """What a user asked for; `run` None means the latest. `fit` and `apply` name a recalibration file.

    `factors`: which factors `fit` writes; None those of the likelihood, unless they make σ worse.
    `settings`: how σ is judged; what they leave open is as the run was judged.
    """

    run: Path | None
    fit: Path | None
    apply: Path | None
    pictures: bool
    cwd: Path
    settings: CalibrationSettings = AS_THE_RUN
    factors: FactorKind | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of a run's σ, and what can be done about it.

    `recalibrated`: cross-fitted on this run, or None with the reason in `no_recalibration`. `applied`: the
    factors of a file on this run.
    """

    sigma: JudgedSigma
    recalibrated: RecalibrationResult | None
    no_recalibration: str | None
    applied: RecalibrationResult | None = None
    fitted: Path | None = None
    pictures: tuple[Path, ...] = ()
    gates: tuple[GateResult, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def run(self) -> Run:
        """The run that is judged."""
        return self.sigma.run

    @property
    def status(self) -> ExitStatus:
        """0, or 1 if a gate on calibration failed."""
        return status_of(self.gates)


def calibrate(request: CalibrationRequest) -> Calibration:
    """Judge the σ of a run; write pictures into its folder and factors into a file if asked.

    Raises MahtdiagError where the run cannot be read or has no σ, or the factors cannot be fitted or judged.
    """
    if request.fit is not None and request.apply is not None:
        raise UsageError("--fit and --apply exclude each other: fit on one run, then apply to another")
    if request.factors is not None and request.fit is None:
        raise UsageError("--factors says what --fit writes: name a file with --fit")
    run = open_run(request.run, request.cwd)
    factors = None if request.apply is None else read_recalibration(request.cwd / request.apply)
    if factors is not None and request.apply is not None:
        require_sigma(run)
        require_other_data(run, factors, request.apply)
    found = calibration_of(run, request.settings)
    reservations = () if request.fit is None else _write_factors(found, request.fit, request)
    unseen = unknown_of(request.apply or Path(), 0 if factors is None else factors.unknown_images)
    pictures, notes = _write_pictures(found.sigma) if request.pictures else ((), ())
    return replace(
        found,
        applied=None if factors is None else _applied(found.sigma, factors, request.apply),
        fitted=request.fit,
        pictures=pictures,
        notes=(
            *plausibility_note(run.label, run.document.setup_entries),
            *_interrupted(run),
            *reservations,
            *unseen,
            *notes,
        ),
    )


def _write_factors(found: Calibration, fit: Path, request: CalibrationRequest) -> tuple[str, ...]:
    """Write the file; what its factors make worse, and what cannot be told of its images, in words."""
    if found.recalibrated is None:
        raise UsageError(f"--fit {fit}: {found.no_recalibration}")
    kind, worse = require_harmless(found.recalibrated, request.factors, fit)
    content = fitted_file(found.sigma, found.recalibrated, kind, worse, fit)
    write_recalibration(fit, content, request.cwd)
    return (*harm_of(fit, worse), *unknown_of(fit, content.unknown_images))


def calibration_of(run: Run, settings: CalibrationSettings = AS_THE_RUN) -> Calibration:
    """The judged σ of an open run, and what factors fitted on it are worth; raises as `judge_sigma`."""
    sigma = judge_sigma(run, choices_of(settings, run.document))
    try:
        return Calibration(sigma, cross_fit(sigma), None)
    except ValueError as error:
        return Calibration(sigma, None, str(error))


def _applied(sigma: JudgedSigma, factors: Recalibration, file: Path | None) -> RecalibrationResult:
    try:
        return judge_factors(sigma, factors)
    except ValueError as error:
        raise UsageError(f"--apply {file}: {error}; choose a run with labels and σ") from error


def _interrupted(run: Run) -> tuple[str, ...]:
    if run.document.status == "complete":
        return ()
    return (f"{run.path} was interrupted: the images that it got to are judged",)


def with_gates(calibration: Calibration, gates: GateSettings) -> Calibration:
    """The same with the gates on metrics that begin with `calibration.`; others are for other commands."""
    run, only = calibration.run, f"{SECTION}."
    limits = judged(gates.limits, {SECTION: calibration.sigma.numbers()}, run.view, only=only)
    by = calibration.sigma.table.conditions
    results = (*limits, *judge_baseline(gates.baseline, run, by.limits, by.rules, only=only))
    return replace(calibration, gates=results, notes=(*calibration.notes, *notes_on(results)))


def _write_pictures(sigma: JudgedSigma) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Draw and write; a run folder that cannot be written to costs the pictures, not the numbers."""
    if sigma.report.n_keypoints == 0:
        return (), ("no pictures: no keypoint has both a label and a valid σ",)
    from mahtdiag.reports.figures.registry import SIGMA_FIGURES, FigureData, titled_files

    folder = sigma.run.path / PICTURES
    written: list[Path] = []
    try:
        require_own(sigma.run.path, PICTURES)
        folder.mkdir(exist_ok=True)
        remove_abandoned(folder)
        data = FigureData(sigma.table, ERROR_UNITS[0], {}, sigma=plot_data(sigma))
        for name, content in titled_files([figure.name for figure in SIGMA_FIGURES], data):
            with replacing(folder / name) as file:
                file.write(content)
            written.append(folder / name)
    except RunFolderError as error:
        return (), (f"pictures not written: {error.problems[0]}",)
    except OSError as error:
        return tuple(written), (f"{folder}: pictures not written ({error.strerror or error})",)
    return tuple(written), ()


def plot_data(sigma: JudgedSigma) -> "PlotData":
    """What the pictures of a judged run show."""
    from mahtdiag.reports.figures.calibration import PlotData

    points = sigma.points()
    distance, _ = conformal_scores(points)
    return PlotData(
        skeleton=sigma.run.skeleton,
        report=sigma.report,
        z=points.residual_px / points.sigma_px,
        # One σ for both axes, so that the ellipse d·σ can be drawn as a line over it.
        sigma_px=np.sqrt(np.mean(points.sigma_px**2, axis=1)),
        error_px=np.hypot(points.residual_px[:, 0], points.residual_px[:, 1]),
        conformal_coverage=PLOTTED_COVERAGE,
        conformal_limit=conformal_limit(distance, PLOTTED_COVERAGE, sigma.table.units[:, np.newaxis]),
    )
