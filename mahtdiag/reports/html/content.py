"""What the page shows, before it is drawn or written."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.anatomy import AnatomyReport
from mahtdiag.diagnosis.numbers import RunNumbers
from mahtdiag.reports.ci.record import GateCase
from mahtdiag.reports.figures.calibration import PlotData
from mahtdiag.reports.tables.calibration import CalibrationResult
from mahtdiag.schema.samples import Failure
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values of one kind: the checkpoint, the data, the machine."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CalibrationPage:
    """What is known of σ; `plots` is None where no keypoint has both an error and a σ."""

    tables: CalibrationResult
    plots: PlotData | None


@dataclass(frozen=True, slots=True)
class ReportContent:
    """A finished run of N evaluated images with K keypoints.

    `error_px` and `error_mm` `[N, K]`, `losses` by name `[N]`; NaN where there is no value. `calibration` is
    None where `no_calibration` says why.
    """

    title: str
    subtitle: str
    view: View
    evaluated: int
    failed: int
    numbers: RunNumbers
    error_px: Floats
    error_mm: Floats
    losses: Mapping[str, Floats]
    loss_weights: Mapping[str, float]
    anatomy: AnatomyReport
    calibration: CalibrationPage | None
    no_calibration: str
    gates: tuple[GateCase, ...]
    failures: tuple[Failure, ...]
    provenance: tuple[Facts, ...]
    notes: tuple[str, ...]

    @property
    def unit(self) -> str:
        """Millimetres where the pixel spacing is known for some image, else pixels."""
        return "px" if self.numbers.get("radial_error_mm.mean") is None else "mm"
