"""The record that holds every calibration number, and its plain form for JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TypeAlias

import numpy as np

from mahtdiag.calibration.bootstrap import Interval
from mahtdiag.calibration.faults import Fault
from mahtdiag.calibration.groups import GroupCalibration
from mahtdiag.calibration.ranking import QuantileBins, Sparsification
from mahtdiag.calibration.samples import FloatArray

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Observed share inside the region of a nominal level, with its 95 % interval over images."""

    observed: float
    ci95: Interval | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Observed share by level with its pointwise 95 % band over images (None where there is no interval)."""

    levels: FloatArray
    observed: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class RadialCalibration:
    """Calibration of the predicted ellipse: MACE, coverage by level, curve, and sqrt(mean d²/2).

    `ci95` holds intervals over images by number.
    """

    mace: float | None = None
    sigma_scale: float | None = None
    coverage: dict[str, Coverage] = field(default_factory=dict)
    curve: Curve | None = None
    ci95: dict[str, Interval | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdversarialGroups:
    """Worst MACE over random subgroups by their share of all residuals: mean and spread over trials."""

    share: FloatArray
    worst_mace: FloatArray
    spread: FloatArray


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """Every calibration number, with what it rests on; a number that the data cannot define is None.

    Names and units are those of `calibration --format json`; `check`, `interval` and `crps_px` are pixels,
    `ause` is a share of the mean error. `reasons` says for each None why. `ci95` holds intervals over images
    by number.
    `at_min_share`, `at_max_share`: share of σ (axes counted apart) at or beyond the clamp bounds.
    `missing`: keypoints without label; `invalid_sigma`, `invalid_residual`: labelled ones left out and why.
    `verdict` says it in words, `status` in one ("calibrated", "faulty", "inconclusive", "undefined").
    """

    n_keypoints: int
    n_images: int
    missing: int
    invalid_sigma: int
    invalid_residual: int
    mace: float | None = None
    rmsce: float | None = None
    miscalibration_area: float | None = None
    sharpness_px: float | None = None
    nll: float | None = None
    crps_px: float | None = None
    check: float | None = None
    interval: float | None = None
    ence: float | None = None
    bias_x: float | None = None
    bias_y: float | None = None
    coverage: dict[str, Coverage] = field(default_factory=dict)
    radial: RadialCalibration = field(default_factory=RadialCalibration)
    sigma_scale: float | None = None
    spearman: float | None = None
    ause: float | None = None
    auc_large_error: float | None = None
    quantile_bins: QuantileBins | None = None
    at_min_share: float | None = None
    at_max_share: float | None = None
    verdict: str = ""
    status: str = "undefined"
    faults: tuple[Fault, ...] = ()
    groups: tuple[GroupCalibration, ...] = ()
    ci95: dict[str, Interval | None] = field(default_factory=dict)
    curve: Curve | None = None
    sparsification: Sparsification | None = None
    adversarial: AdversarialGroups | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """Plain data for JSON: no NaN, no arrays; keys are the field names."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


def _plain(value: object) -> Json:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return [float(v) for v in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    raise TypeError(f"{type(value).__name__} has no plain form")
