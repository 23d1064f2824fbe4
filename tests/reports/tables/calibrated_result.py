"""A judged run as the tables and pictures see it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.conformal import conformal_limit, conformal_scores, fit_conformal_table
from mahtdiag.calibration.nll_changes import nll_changes
from mahtdiag.calibration.recalibration import (
    cross_fitted_sigma,
    cross_fitted_student,
    fit_sigma_scale,
    fit_student_t,
    recalibration_row,
)
from mahtdiag.calibration.report import calibration_report
from mahtdiag.calibration.scores import collect_points
from mahtdiag.reports.figures.calibration import PlotData
from mahtdiag.reports.tables.calibration import CalibrationResult
from mahtdiag.reports.tables.recalibration import RecalibrationResult
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]
Change = Callable[[Floats, Floats], tuple[Floats, Floats]]


def residuals(images: int = 40, view: View = View.AP, factor: float = 1.0) -> tuple[Floats, Floats]:
    """Residuals and σ [N, K, 2] of a model whose σ is too small by `factor`."""
    rng = np.random.default_rng(0)
    one = np.exp(rng.normal(2.0, 0.5, size=(images, view.skeleton.keypoints, 1)))
    sigma = np.repeat(one, 2, axis=2)
    return sigma * rng.normal(size=sigma.shape), sigma / factor


def result_of(residual: Floats, sigma: Floats, view: View = View.AP) -> CalibrationResult:
    """All tables of these residuals."""
    ages = np.resize(["20 to 39", "80 and older"], len(residual))[:, None]
    groups = {
        "vertebra": np.array(view.skeleton.vertebra_of),
        "keypoint": np.array(view.skeleton.keypoint_names),
        "age band": ages,
    }
    report = calibration_report(residual, sigma, at_min=np.zeros(sigma.shape, dtype=np.bool_), groups=groups)
    recalibration = None
    if report.n_images >= 2:
        after, own, core = cross_fitted_sigma(residual, sigma, scopes=("global", "keypoint", "core"))
        changes = nll_changes(residual, sigma, after, own, core)
        student, student_change = cross_fitted_student(residual, sigma)
        recalibration = RecalibrationResult(
            rows=(
                recalibration_row(None, residual, sigma),
                recalibration_row("global", residual, after),
                recalibration_row("keypoint", residual, own),
                recalibration_row("core", residual, core),
                student,
            ),
            scale=fit_sigma_scale(residual, sigma),
            student=fit_student_t(residual, sigma),
            changes={
                "global": changes[0],
                "keypoint": changes[1],
                "core": changes[2],
                "student_t": student_change,
            },
            conformal=fit_conformal_table(*conformal_scores(collect_points(residual, sigma))),
            where="Fitted here.",
        )
    return CalibrationResult(
        title="Calibration of a-checkpoint.pt on data",
        source="AP view",
        large_error="10 % of vertebra width",
        report=report,
        recalibration=recalibration,
        no_recalibration=None if recalibration else "1 usable image(s): cross-fitting needs at least 2",
        applied=None,
        closing=("10 pictures: runs/a/calibration",),
    )


def plot_data(residual: Floats, sigma: Floats, view: View = View.AP) -> PlotData:
    """All pictures of these residuals."""
    report = calibration_report(residual, sigma, groups={"keypoint": np.array(view.skeleton.keypoint_names)})
    points = collect_points(residual, sigma)
    distance, error = conformal_scores(points)
    return PlotData(
        skeleton=view.skeleton,
        report=report,
        z=points.residual_px / points.sigma_px,
        sigma_px=np.sqrt(np.mean(points.sigma_px**2, axis=1)),
        error_px=error[points.kept],
        conformal_coverage=0.9,
        conformal_limit=conformal_limit(distance, 0.9),
    )
