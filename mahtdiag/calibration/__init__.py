"""Can the uncertainty be trusted? Reliability, scores, ranking, recalibration, conformal regions."""

from mahtdiag.calibration.conformal import (
    ConformalRadii,
    conformal_coverage,
    conformal_limit,
    fit_conformal,
)
from mahtdiag.calibration.faults import FAULTS, Fault, HeadUnits
from mahtdiag.calibration.judgement import (
    Change,
    ConformalRow,
    ConformalTable,
    conformal_scores,
    cross_fitted_coverage,
    fit_conformal_table,
    judge_conformal_table,
    nll_changes,
)
from mahtdiag.calibration.recalibration import (
    RecalibrationRow,
    SigmaScale,
    apply_sigma_scale,
    cross_fitted_sigma,
    fit_sigma_scale,
    recalibration_row,
    recalibration_table,
)
from mahtdiag.calibration.record import CalibrationReport
from mahtdiag.calibration.report import calibration_report
from mahtdiag.calibration.samples import collect_points

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
    "recalibration_table",
]
