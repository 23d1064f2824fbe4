"""Student's t instead of the normal: a scale and degrees of freedom for errors with heavy tails."""

from dataclasses import dataclass
from math import exp, log, pi

import numpy as np
from scipy import special

from mahtdiag.calibration.scores import LEVELS, FloatArray, IntArray, blocks, mean_absolute_gap

DEGREES = (0.5, 200.0)
"""Degrees of freedom that are looked for; a normal has none, and is within 0.005 of 200."""

_CELLS = 4096
_RANGE = (-60.0, 60.0)


@dataclass(frozen=True, slots=True)
class StudentT:
    """error / (σ · scale) follows Student's t with so many `degrees` of freedom."""

    scale: float
    degrees: float


@dataclass(frozen=True, slots=True)
class StudentScores:
    """How a Student-t fits: MACE of axes and of ellipses, mean NLL and CRPS (pixels), share in 90 %."""

    mace: float
    radial_mace: float
    nll: float
    crps_px: float
    coverage_90: float


def squares_by_size(z: FloatArray, part: IntArray, parts: int) -> FloatArray:
    """Count and sum of z² in cells of ln z², [parts, cells, 2]: what `fit_student` needs of z [M, 2].

    4,096 cells over ln z² from −60 to 60: within a cell z² differs by 3 %, and its mean is exact.
    """
    low, high = _RANGE
    count, total = np.zeros((2, parts * _CELLS))
    for some in blocks(len(z)):
        square = z[some] * z[some]
        place = (np.log(np.clip(square, exp(low), exp(high))) - low) * (_CELLS - 1) / (high - low)
        cell = part[some].astype(np.intp)[:, np.newaxis] * _CELLS + np.round(place).astype(np.intp)
        count += np.bincount(cell.ravel(), minlength=parts * _CELLS)
        np.add.at(total, cell.ravel(), square.ravel())
    return np.stack([count, total], axis=-1).reshape(parts, _CELLS, 2)


def fit_student(squares: FloatArray) -> StudentT:
    """Scale and degrees of freedom of the greatest likelihood, about a middle of 0.

    `squares`: [cells, 2] from `squares_by_size`, parts added up. Degrees from 0.5 to 200.
    Raises ValueError where all residuals are 0. Source: Lange, Little, Taylor, J. Am. Stat. Assoc. 84 (1989).
    """
    from scipy import optimize

    filled = squares[:, 0] > 0
    count, square = squares[filled, 0], squares[filled, 1] / squares[filled, 0]
    if not square.any():
        raise ValueError("all residuals are 0: there is no distribution to fit")
    count = count / count.sum()
    typical = float(count @ square)

    def loss(at: FloatArray) -> float:
        log_scale, degrees = float(at[0]), exp(float(at[1]))
        tail = 0.5 * (degrees + 1.0) * np.log1p(square / (typical * exp(2.0 * log_scale) * degrees))
        return log_scale + _log_norm(degrees) + float(count @ tail)

    starts = [np.array([-0.5 * log(2.0), log(degrees)]) for degrees in (3.0, 30.0)]
    bounds = [(-30.0, 5.0), (log(DEGREES[0]), log(DEGREES[1]))]
    found = min((optimize.minimize(loss, s, bounds=bounds) for s in starts), key=lambda result: result.fun)
    return StudentT(exp(float(found.x[0])) * typical**0.5, exp(float(found.x[1])))


def _log_norm(degrees: float) -> float:
    """−ln of the density at 0."""
    return float(special.gammaln(0.5 * degrees) - special.gammaln(0.5 * (degrees + 1.0))) + 0.5 * log(
        degrees * pi
    )


def student_scores(z: FloatArray, sigma_px: FloatArray, student: StudentT) -> FloatArray:
    """Per keypoint of one Student-t, [M, 6]: share of the curve that |z| needs by axis (2) and in the plane,
    NLL, CRPS in pixels, and whether it lies in the 90 % interval; means over both axes.

    z = residual / σ [M, 2]. In the plane the t of the axes is that of two dimensions: d²/2 ~ F(2, ν).
    CRPS: Jordan, Krüger, Lerch, J. Stat. Softw. 90 (2019).
    """
    nu, scale = student.degrees, student.scale
    size = np.abs(z) / scale
    needed = 2.0 * special.stdtr(nu, size) - 1.0
    plane = -np.expm1(-0.5 * nu * np.log1p((size**2).sum(axis=1) / nu))
    nll = _log_norm(nu) + 0.5 * (nu + 1.0) * np.log1p(size**2 / nu) + np.log(sigma_px * scale)
    return np.column_stack(
        [
            needed,
            plane,
            nll.mean(axis=1),
            (_crps(size, nu) * sigma_px * scale).mean(axis=1),
            (needed <= 0.9).mean(axis=1),
        ]
    )


def _crps(size: FloatArray, nu: float) -> FloatArray:
    """CRPS of the standard t at |z|; infinite with one degree of freedom or fewer."""
    if nu <= 1.0:
        return np.full(size.shape, np.inf)
    density = np.exp(-_log_norm(nu) - 0.5 * (nu + 1.0) * np.log1p(size**2 / nu))
    spread = 2.0 * np.sqrt(nu) / (nu - 1.0) * special.beta(0.5, nu - 0.5) / special.beta(0.5, 0.5 * nu) ** 2
    inside = size * (2.0 * special.stdtr(nu, size) - 1.0)
    return np.asarray(inside + 2.0 * density * (nu + size**2) / (nu - 1.0) - spread, dtype=np.float64)


def summary_of(scores: FloatArray) -> StudentScores:
    """Means over keypoints, and MACE, of what `student_scores` gives [M, 6]."""
    sums = StudentSums()
    sums.add(scores)
    return sums.summary()


class StudentSums:
    """The same of scores that come some keypoints at a time."""

    def __init__(self) -> None:
        self._n = 0
        self._total = np.zeros(3)
        self._axis, self._plane = np.zeros((2, len(LEVELS) + 1), dtype=np.int64)

    def add(self, scores: FloatArray) -> None:
        """The scores of further keypoints [n, 6]."""
        self._n += len(scores)
        self._total = np.concatenate([self._total[np.newaxis], scores[:, 3:]]).sum(axis=0)
        for counts, needed in ((self._axis, scores[:, :2]), (self._plane, scores[:, 2])):
            counts += np.bincount(np.searchsorted(LEVELS, needed.ravel()), minlength=len(counts))

    def summary(self) -> StudentScores:
        """Of all that were added."""
        reached = [np.cumsum(counts)[:-1] / counts.sum() for counts in (self._axis, self._plane)]
        nll, crps, inside = self._total / self._n
        axis, plane = (float(mean_absolute_gap(curve)) for curve in reached)
        return StudentScores(axis, plane, float(nll), float(crps), float(inside))
