"""Whether the expected radial error of a heatmap tells the true one: ranking, and size by bins."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.ranking import rank, rank_bins, spearman, spearman_influence
from mahtdiag.statistics.intervals import Interval, by_unit, estimate_interval

Floats = NDArray[np.float64]

BINS = 5


@dataclass(frozen=True, slots=True)
class ExpectedErrorReport:
    """Expected against true radial errors of `n_keypoints` keypoints that have both.

    `spearman`: rank correlation, None where it is undefined; `ci95`: its interval over units by name.
    `ratio`: mean true over mean expected error. Bins of equal count by expected error, the lowest first:
    `expected_px` and `true_px` are means of the `counts` keypoints in each, None where it is empty.
    """

    n_keypoints: int
    spearman: float | None
    ratio: float | None
    expected_px: tuple[float | None, ...]
    true_px: tuple[float | None, ...]
    counts: tuple[int, ...]
    ci95: dict[str, Interval | None] = field(default_factory=dict)


def expected_error_report(
    expected_px: Floats, error_px: Floats, units: NDArray[np.int64]
) -> ExpectedErrorReport | None:
    """How expected errors `[N, K]` relate to true ones `[N, K]`; None where no keypoint has both.

    NaN is left out. `units` `[N]`: images of one patient have the same; the interval is over them and None
    below 10 (see `estimate_interval`). McCouat, Voiculescu, Contour-Hugging Heatmaps for Landmark Detection,
    CVPR 2022, show the same relation by bins.
    """
    known = np.isfinite(expected_px) & np.isfinite(error_px)
    if not known.any():
        return None
    expected, error = rank(expected_px[known]), rank(error_px[known])
    rho, influence = spearman(expected, error), spearman_influence(expected, error)
    interval = None
    if rho is not None and influence is not None:
        unit = np.broadcast_to(units[:, np.newaxis], known.shape)[known]
        sums = by_unit(influence, unit)
        found = estimate_interval(rho, sums * len(sums) / influence.size)
        interval = None if found is None else (max(-1.0, found[0]), min(1.0, found[1]))
    bins = rank_bins(expected, BINS)
    counts = np.bincount(bins, minlength=BINS)
    means = [
        tuple(float(t / c) if c else None for t, c in zip(total, counts, strict=True))
        for total in (np.bincount(bins, weights=of.values, minlength=BINS) for of in (expected, error))
    ]
    total = float(expected.values.sum())
    return ExpectedErrorReport(
        n_keypoints=int(known.sum()),
        spearman=rho,
        ratio=float(error.values.sum()) / total if total > 0 else None,
        expected_px=means[0],
        true_px=means[1],
        counts=tuple(int(c) for c in counts),
        ci95={"spearman": interval},
    )
