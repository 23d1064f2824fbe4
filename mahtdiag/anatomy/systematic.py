"""Errors that all predictions share: a shift, a scale, a rotation, exchanged axes, and what they point to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_PARAMETERS = 5
_OUTLIER_MADS = 5.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted number with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the interval does not hold this value."""
        return not self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class SystematicError:
    """The transformation that best brings predictions onto labels.

    label ≈ prediction + shift + (scale − 1) · (prediction − centre), turned by `rotation_deg` about the
    centre (clockwise on screen); `centre` is the mean prediction. Shifts in the unit of the points given.
    `axes_exchanged`: exchanging x and y of the predictions would more than halve the median error.
    """

    shift_x: Fitted
    shift_y: Fitted
    scale_x: Fitted
    scale_y: Fitted
    rotation_deg: Fitted
    centre: tuple[float, float]
    keypoints: int
    images: int
    axes_exchanged: bool


def fit_systematic_error(
    pred: Floats, label: Floats, *, resamples: int = 2000, seed: int = 0
) -> SystematicError | None:
    """Least-squares shift, scale per axis and (small) rotation over a whole set, `[N, K, 2]` each.

    Keypoints whose residual is more than 5 robust standard deviations (1.4826 · MAD) from the median residual
    are left out: they are mistakes of another kind (see `error_types`). Intervals: percentiles over resampled
    images (Efron and Tibshirani, 1993). Missing keypoints are left out. None where fewer than two images are
    left or the points do not determine the fit (all on one line).
    """
    pred, label = known_points(pred), known_points(label)
    known: Bools = np.isfinite(pred[..., 0]) & np.isfinite(label[..., 0])
    if not known.any():
        return None
    exchanged = _axes_exchanged(pred[known], label[known])
    known = known & _ordinary(label - pred, known)
    images = int(known.any(axis=1).sum())
    centre = pred[known].mean(axis=0)
    moments = _moments(pred - centre, label - pred, known)
    fitted = _solve(moments.sum(axis=0)[None])[0]
    if images < 2 or not np.isfinite(fitted).all():
        return None
    low, high = np.nanpercentile(_resampled(moments, resamples, seed), [2.5, 97.5], axis=0)
    shift_x, shift_y, scale_x, scale_y, turn = (
        Fitted(float(v), float(a), float(b)) for v, a, b in zip(fitted, low, high, strict=True)
    )
    return SystematicError(
        shift_x=shift_x,
        shift_y=shift_y,
        scale_x=Fitted(1 + scale_x.value, 1 + scale_x.low, 1 + scale_x.high),
        scale_y=Fitted(1 + scale_y.value, 1 + scale_y.low, 1 + scale_y.high),
        rotation_deg=Fitted(*(float(np.degrees(v)) for v in (turn.value, turn.low, turn.high))),
        centre=(float(centre[0]), float(centre[1])),
        keypoints=int(known.sum()),
        images=images,
        axes_exchanged=exchanged,
    )


def _axes_exchanged(pred: Floats, label: Floats) -> bool:
    """`[M, 2]` each."""
    as_given = np.median(np.linalg.norm(pred - label, axis=-1))
    exchanged = np.median(np.linalg.norm(pred[:, ::-1] - label, axis=-1))
    return bool(exchanged < 0.5 * as_given)


def _ordinary(residual: Floats, known: Bools) -> Bools:
    """Keypoints `[N, K]` whose residual is not far out."""
    middle = np.median(residual[known], axis=0)
    away = np.linalg.norm(residual - middle, axis=-1)
    near: Bools = away <= _OUTLIER_MADS * 1.4826 * np.median(away[known]) + 1e-9
    return near


def _moments(place: Floats, residual: Floats, known: Bools) -> Floats:
    """Per image the sums that the normal equations need, `[N, 11]`."""
    x, y, dx, dy = (
        np.where(known, v, 0.0) for v in (*np.moveaxis(place, -1, 0), *np.moveaxis(residual, -1, 0))
    )
    parts = (known, x, y, x * x, y * y, x * y, dx, dy, x * dx, y * dy, x * dy - y * dx)
    return np.stack([part.sum(axis=1, dtype=np.float64) for part in parts], axis=1)


def _solve(moments: Floats) -> Floats:
    """Shift x, y, scale − 1 in x, y, and rotation in radians, `[B, 11]` to `[B, 5]`; NaN if singular.

    Model: dx = tx + ex·x − r·y, dy = ty + ey·y + r·x.
    """
    n, x, y, xx, yy, xy, dx, dy, xdx, ydy, turn = moments.T
    zero = np.zeros_like(n)
    matrix = np.array(
        [
            [n, zero, x, zero, -y],
            [zero, n, zero, y, x],
            [x, zero, xx, zero, -xy],
            [zero, y, zero, yy, xy],
            [-y, x, -xy, xy, xx + yy],
        ]
    ).transpose(2, 0, 1)
    right = np.stack([dx, dy, xdx, ydy, turn], axis=1)
    solution = np.full((n.size, _PARAMETERS), np.nan)
    # Columns of like size, so that the test for singularity does not depend on the unit.
    size = np.sqrt(np.maximum(np.diagonal(matrix, axis1=1, axis2=2), 1e-300))
    balanced = matrix / size[:, :, None] / size[:, None, :]
    sound = np.linalg.eigvalsh(balanced)[:, 0] > 1e-10
    solved = np.linalg.solve(balanced[sound], (right / size)[sound][..., None])[..., 0]
    solution[sound] = solved / size[sound]
    return solution


def _resampled(moments: Floats, resamples: int, seed: int) -> Floats:
    """The fit of every resample of the images, `[resamples, 5]`."""
    rng = np.random.default_rng(seed)
    images = moments.shape[0]
    sums = np.empty((resamples, moments.shape[1]))
    for n in range(resamples):
        times = np.bincount(rng.integers(0, images, images), minlength=images)
        sums[n] = times @ moments
    return _solve(sums)


HALF_CELL = (0.3, 0.6)
"""Shifts in heatmap cells that a pixel-centre mismatch can make: (1 − 1/s)/2 for s pixels per cell."""

_SMALLEST_SCALE = 0.01
_SMALLEST_ROTATION_DEG = 0.5


def explain_systematic_error(in_px: SystematicError, in_cells: SystematicError | None) -> str | None:
    """A plain sentence on what the shared error points to, or None where there is nothing worth saying.

    In this order: exchanged axes, mirroring, scale (from 1 %), shift (from 0.3 heatmap cells), rotation
    (from 0.5°); each only where its interval excludes that there is none. Scales are those in heatmap cells
    where these are known.
    """
    if in_px.axes_exchanged:
        return "Exchanging x and y of the predictions would more than halve the error: the axes are confused."
    # Among images of several sizes a shift of a cell grows with the coordinates, like a scale: in pixels the
    # two cannot be told apart.
    frame = in_cells or in_px
    scales = [(axis, e) for axis, e in (("x", frame.scale_x), ("y", frame.scale_y))]
    wrong = [(axis, e) for axis, e in scales if e.excludes(1.0) and abs(e.value - 1) >= _SMALLEST_SCALE]
    mirrored = [axis for axis, e in wrong if e.high < 0]
    if mirrored:
        return _MIRRORED["".join(mirrored)]
    if wrong:
        factors = " and ".join(_factor(axis, e) for axis, e in wrong)
        where = "In heatmap cells predictions" if in_cells else "Predictions"
        return f"{where} have to be scaled by {factors}: the image size or resize mode does not match."
    if in_cells is not None and (sentence := _explain_shift(in_px, in_cells)):
        return sentence
    turn = in_px.rotation_deg
    if turn.excludes(0.0) and abs(turn.value) >= _SMALLEST_ROTATION_DEG:
        return f"Predictions have to be turned by {turn.value:.1f}° ({turn.low:.1f} to {turn.high:.1f})."
    return None


_MIRRORED = {
    "x": "Predictions mirror the labels, left for right: flipped images, or corners named from behind.",
    "y": "Predictions show the labels upside down: flipped images, or rows counted from the bottom.",
    "xy": "Predictions show the labels turned by 180°: turned images, or both axes counted from their ends.",
}


def _factor(axis: str, scale: Fitted) -> str:
    """Three decimals, or as many as a small factor needs to be seen."""
    values = (f"{v:.3f}" if abs(v) >= 0.1 else f"{v:.3g}" for v in (scale.value, scale.low, scale.high))
    return "{} in {axis} ({} to {})".format(*values, axis=axis)


def _explain_shift(in_px: SystematicError, in_cells: SystematicError) -> str | None:
    cells = {"x": in_cells.shift_x, "y": in_cells.shift_y}
    pixels = {"x": in_px.shift_x, "y": in_px.shift_y}
    low, high = HALF_CELL
    shifted = [axis for axis, e in cells.items() if e.excludes(0.0) and low <= abs(e.value)]
    if not shifted:
        return None
    amounts = ", ".join(
        f"{cells[axis].value:+.2f} cells ({pixels[axis].value:+.1f} px) in {axis}" for axis in shifted
    )
    if all(abs(cells[axis].value) <= high for axis in shifted):
        return (
            f"Predictions have to be shifted by {amounts}: about half a heatmap cell, a mismatch of "
            "pixel-centre conventions (--coords)."
        )
    return f"Predictions have to be shifted by {amounts}: an offset between image and heatmap, or a crop."
