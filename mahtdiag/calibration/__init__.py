"""Can the uncertainty be trusted? Reliability, scores, ranking, recalibration, conformal regions."""

from mahtdiag.calibration.recalibration import (
    Change,
    ConformalRadii,
    ConformalRow,
    ConformalTable,
    RecalibrationRow,
    SigmaScale,
    apply_sigma_scale,
    conformal_coverage,
    conformal_limit,
    conformal_scores,
    cross_fitted_coverage,
    cross_fitted_sigma,
    fit_conformal,
    fit_conformal_table,
    fit_sigma_scale,
    judge_conformal_table,
    nll_changes,
    recalibration_row,
)
from mahtdiag.calibration.report import CalibrationReport, calibration_report
from mahtdiag.calibration.scores import collect_points
from mahtdiag.calibration.verdict import FAULTS, Fault, HeadUnits

__all__ = [
    "FAULTS",
    "CalibrationReport",
    "Change",
    "ConformalRadii",
    "ConformalRow",
    "ConformalTable",
    "Fault",
    "HeadUnits",
    "RecalibrationRow",
    "SigmaScale",
    "apply_sigma_scale",
    "calibration_report",
    "collect_points",
    "conformal_coverage",
    "conformal_limit",
    "conformal_scores",
    "cross_fitted_coverage",
    "cross_fitted_sigma",
    "fit_conformal",
    "fit_conformal_table",
    "fit_sigma_scale",
    "judge_conformal_table",
    "nll_changes",
    "recalibration_row",
]
