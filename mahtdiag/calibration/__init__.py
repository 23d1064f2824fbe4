"""Can the uncertainty be trusted? Reliability, scores, ranking, recalibration, conformal regions."""

from mahtdiag.calibration.conformal import (
    ConformalRadii,
    conformal_coverage,
    conformal_limit,
    fit_conformal,
)
from mahtdiag.calibration.faults import FAULTS, Fault, HeadUnits
from mahtdiag.calibration.recalibration import (
    RecalibrationRow,
    SigmaScale,
    apply_sigma_scale,
    cross_fitted_sigma,
    fit_sigma_scale,
    recalibration_table,
)
from mahtdiag.calibration.record import CalibrationReport
from mahtdiag.calibration.report import calibration_report

__all__ = [
    "FAULTS",
    "CalibrationReport",
    "ConformalRadii",
    "Fault",
    "HeadUnits",
    "RecalibrationRow",
    "SigmaScale",
    "apply_sigma_scale",
    "calibration_report",
    "conformal_coverage",
    "conformal_limit",
    "cross_fitted_sigma",
    "fit_conformal",
    "fit_sigma_scale",
    "recalibration_table",
]
