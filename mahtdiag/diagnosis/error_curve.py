"""The cumulative error curve of a run, in two numbers: the area under it and the share that fails."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.statistics.intervals import Interval, by_unit, mean_interval, share_interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """Share of judged keypoints whose error does not exceed x, for x from 0 to `threshold`.

    `errors`: the known ones, ascending, `[M]`; `judged` counts them and the `missed`, which are within no
    threshold. `auc`: area under the curve over `threshold`, 0 to 1. `failures`: share of judged keypoints
    beyond the threshold or missed, 1 − success detection rate. Intervals are over units, None for too few.
    """

    threshold: float
    errors: Floats
    judged: int
    missed: int
    auc: float
    auc_ci95: Interval | None
    failures: float
    failures_ci95: Interval | None

    def share(self, x: Floats) -> Floats:
        """The curve at errors x."""
        return np.searchsorted(self.errors, x, side="right") / self.judged


def error_curve(error: Floats, missed: Bools, threshold: float, units: Ints) -> ErrorCurve | None:
    """The curve of errors `[N, K]`, NaN where unknown; None where none is known.

    AUC = ∫₀ᵗ F(x) dx / t = mean over judged keypoints of max(0, 1 − error/t), a missed one counting 0.
    Source: as in the evaluation of facial landmarks, Sagonas et al., 300 Faces In-The-Wild Challenge (2016).
    """
    known = np.isfinite(error)
    judged = known | missed
    if not known.any():
        return None
    filled = np.where(known, error, np.inf)
    area = np.where(known, np.clip(1.0 - np.where(known, error, 0.0) / threshold, 0.0, None), 0.0)
    beyond = judged & (filled > threshold)
    counts, areas, fails = (by_unit(each.sum(axis=1), units) for each in (judged, area, beyond))
    total = float(counts.sum())
    # As that of the success detection rate, which it adds up to 1 with.
    within = share_interval(counts - fails, counts)
    return ErrorCurve(
        threshold=threshold,
        errors=np.sort(error[known]),
        judged=int(total),
        missed=int(missed.sum()),
        auc=float(areas.sum()) / total,
        auc_ci95=mean_interval(areas, counts),
        failures=float(fails.sum()) / total,
        failures_ci95=None if within is None else (1.0 - within[1], 1.0 - within[0]),
    )
