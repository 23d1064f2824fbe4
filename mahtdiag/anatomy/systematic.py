"""Errors that all predictions share: a shift, a scale, a rotation, exchanged axes, and what they point to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_PARAMETERS = 5
_OUTLINES = 2
_OUTLIER_MADS = 5.0
_CORNERS = 4
_FEWEST = 3
# Predictions that move less than this part of what labels do follow something else.
_LEAST_FOLLOWED = 0.05


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted number with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the interval does not hold this value."""
        return not self.low <= value <= self.high

    def clearly_excludes(self, value: float) -> bool:
        """Whether one twice as wide would not hold it either.

        Of seven numbers of a correct setup one lies beyond its own 95 % too often to be worth a sentence.
        """
        low, high = 2 * self.low - self.value, 2 * self.high - self.value
        return not low <= value <= high


@dataclass(frozen=True, slots=True)
class SystematicError:
    """The transformation that best brings predictions onto labels.

    label ≈ centre + S⁻¹·(prediction − centre + shift), where S scales and turns; shift, scales and rotation
    are what has to be done to predictions (rotation clockwise on screen); `centre` is the mean label. Scales
    are those of the places of vertebrae; `outline_x`, `outline_y` those of the corners about the middle of
    their vertebra. Shifts in the unit of the points given. `axes_exchanged`: exchanging x and y of the
    predictions would more than halve the median error; the numbers are then those after the exchange.
    """

    shift_x: Fitted
    shift_y: Fitted
    scale_x: Fitted
    scale_y: Fitted
    rotation_deg: Fitted
    outline_x: Fitted
    outline_y: Fitted
    centre: tuple[float, float]
    keypoints: int
    images: int
    axes_exchanged: bool


def fit_systematic_error(
    pred: Floats, label: Floats, *, resamples: int = 2000, seed: int = 0
) -> SystematicError | None:
    """Least-squares shift, scale per axis and (small) rotation over a whole set, `[N, K, 2]` each.

    Predictions are regressed on labels: the noise is in them, and a regression the other way round would take
    it for a scale. Places are the middles of vertebrae (four keypoints each), over the corners that both
    have; outlines are the corners about them. Vertebrae whose residual is more than 5 robust standard
    deviations (1.4826 · MAD) from the median residual are left out: they are mistakes of another kind (see
    `error_types`). Intervals: percentiles over resampled images (Efron and Tibshirani, 1993). Missing
    keypoints are left out. None where fewer than two images are left, where the points do not determine the
    fit (all on one line), or where predictions do not follow the labels (constant ones).
    """
    pred, label = known_points(pred), known_points(label)
    known: Bools = np.isfinite(pred[..., 0]) & np.isfinite(label[..., 0])
    if not known.any():
        return None
    exchanged = _axes_exchanged(pred[known], label[known])
    pred = pred[..., ::-1] if exchanged else pred
    (middle, of_pred), corners = (_middles(points, known) for points in (label, pred)), _corners(known)
    at = np.isfinite(middle[..., 0])
    at = at & _ordinary(of_pred - middle, at)
    used = known & np.repeat(at, _CORNERS, axis=1)[:, : known.shape[1]]
    images = int(at.any(axis=1).sum())
    if images < 2:
        return None
    centre = middle[at].mean(axis=0)
    sums = np.concatenate(
        [
            _moments(middle - centre, of_pred - middle, at),
            _outline_sums(pred - of_pred[:, corners], label - middle[:, corners], used),
        ],
        axis=1,
    )
    fitted = _solve(sums.sum(axis=0)[None])[0]
    if not np.isfinite(fitted).all():
        return None
    low, high = np.nanpercentile(_resampled(sums, resamples, seed), [2.5, 97.5], axis=0)
    shift_x, shift_y, *scales, turn, outline_x, outline_y = (
        Fitted(float(v), float(a), float(b)) for v, a, b in zip(fitted, low, high, strict=True)
    )
    inverse = [_inverse(1.0, scale) for scale in scales]
    outlines = [_inverse(0.0, outline) for outline in (outline_x, outline_y)]
    if None in inverse or None in outlines:
        return None
    scale_x, scale_y, outline_x, outline_y = (each for each in (*inverse, *outlines) if each is not None)
    # A turn is one of axes that may have been scaled as well.
    per_turn = -float(np.degrees(np.sqrt(abs(scale_x.value * scale_y.value))))
    return SystematicError(
        shift_x=_times(-1.0, shift_x),
        shift_y=_times(-1.0, shift_y),
        scale_x=scale_x,
        scale_y=scale_y,
        rotation_deg=_times(per_turn, turn),
        outline_x=outline_x,
        outline_y=outline_y,
        centre=(float(centre[0]), float(centre[1])),
        keypoints=int(used.sum()),
        images=images,
        axes_exchanged=exchanged,
    )


def moved_as_others(pred: Floats, label: Floats) -> Floats | None:
    """Labels `[N, K, 2]`, each image shifted, scaled and turned as all others are in their predictions.

    Outlines are scaled as places are. None where fewer than three images are known or nothing can be fitted.
    """
    pred, label = known_points(pred), known_points(label)
    known: Bools = np.isfinite(pred[..., 0]) & np.isfinite(label[..., 0])
    if np.count_nonzero(np.any(known, axis=1)) < _FEWEST:
        return None
    middle, of_pred = (_middles(points, known) for points in (label, pred))
    at = np.isfinite(middle[..., 0])
    if not at.any():
        return None
    at = at & _ordinary(of_pred - middle, at)
    centre = middle[at].mean(axis=0)
    sums = _moments(middle - centre, of_pred - middle, at)
    none = np.zeros((len(sums), 2 * _OUTLINES))
    fitted = _solve(np.concatenate([sums.sum(axis=0) - sums, none], axis=1))[:, :_PARAMETERS]
    if not np.isfinite(fitted).all() or (np.abs(1 + fitted[:, 2:4]) < _LEAST_FOLLOWED).any():
        return None
    shift_x, shift_y, more_x, more_y, turn = fitted.T[:, :, None]
    x, y = np.moveaxis(label - centre, -1, 0)
    moves: Floats = np.stack([shift_x + more_x * x - turn * y, shift_y + more_y * y + turn * x], axis=-1)
    return label + moves


def _times(factor: float, fitted: Fitted) -> Fitted:
    low, high = sorted((factor * fitted.low, factor * fitted.high))
    return Fitted(factor * fitted.value, low, high)


def _inverse(offset: float, fitted: Fitted) -> Fitted | None:
    """1/(offset + fitted) and its interval; None where that holds infinity: nothing follows anything."""
    value, low, high = offset + fitted.value, offset + fitted.low, offset + fitted.high
    if low * high <= 0 or not np.isfinite([low, high]).all():
        return None
    return Fitted(1 / value, 1 / high, 1 / low)


def _corners(known: Bools) -> NDArray[np.intp]:
    """The vertebra of each keypoint, `[K]`."""
    return np.arange(known.shape[1]) // _CORNERS


def _middles(points: Floats, known: Bools) -> Floats:
    """Mean place of the known keypoints of each vertebra, `[N, V, 2]`; NaN where fewer than two are known."""
    starts = np.arange(0, points.shape[1], _CORNERS)
    count = np.add.reduceat(known.astype(np.int64), starts, axis=1)
    total = np.add.reduceat(np.where(known[..., None], points, 0.0), starts, axis=1)
    middle: Floats = np.where(count[..., None] >= 2, total / np.maximum(count, 1)[..., None], np.nan)
    return middle


def _outline_sums(pred: Floats, label: Floats, used: Bools) -> Floats:
    """Per image Σ label·prediction and Σ label² in x and y of corners about their middles, `[N, 4]`."""
    both = [np.where(used[..., None], values, 0.0).astype(np.float64) for values in (label * pred, label**2)]
    return np.concatenate([values.sum(axis=1) for values in both], axis=1)


def _axes_exchanged(pred: Floats, label: Floats) -> bool:
    """`[M, 2]` each."""
    as_given = np.median(np.linalg.norm(pred - label, axis=-1))
    exchanged = np.median(np.linalg.norm(pred[:, ::-1] - label, axis=-1))
    return bool(exchanged < 0.5 * as_given)


def _ordinary(residual: Floats, known: Bools) -> Bools:
    """Vertebrae `[N, V]` whose residual is not far out."""
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


def _solve(sums: Floats) -> Floats:
    """Shift x, y, scale − 1 in x, y, rotation in radians, and the two ratios of outlines; NaN if singular.

    `[B, 15]` to `[B, 7]`. Model: dx = tx + ex·x − r·y, dy = ty + ey·y + r·x.
    """
    moments, outlines = np.split(sums, [sums.shape[1] - 2 * _OUTLINES], axis=1)
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
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = outlines[:, :_OUTLINES] / outlines[:, _OUTLINES:]
    return np.concatenate([solution, ratio], axis=1)


def _resampled(moments: Floats, resamples: int, seed: int) -> Floats:
    """The fit of every resample of the images, `[resamples, 7]`."""
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
_SMALLEST_OUTLINE = 0.03


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
    wrong = [
        (axis, e) for axis, e in scales if e.clearly_excludes(1.0) and abs(e.value - 1) >= _SMALLEST_SCALE
    ]
    mirrored = [axis for axis, e in wrong if e.high < 0]
    if mirrored:
        return _MIRRORED["".join(mirrored)]
    if wrong:
        factors = " and ".join(_factor(axis, e) for axis, e in wrong)
        where = "In heatmap cells places" if in_cells else "Places"
        return f"{where} of vertebrae have to be scaled by {factors}{_outlines_beside(frame)}."
    if in_cells is not None and (sentence := _explain_shift(in_px, in_cells)):
        return sentence
    turn = in_px.rotation_deg
    if turn.clearly_excludes(0.0) and abs(turn.value) >= _SMALLEST_ROTATION_DEG:
        return f"Predictions have to be turned by {turn.value:.1f}° ({turn.low:.1f} to {turn.high:.1f})."
    return _explain_outlines(frame)


def _outlines_beside(error: SystematicError) -> str:
    """Whether outlines share the scale of places."""
    off = [
        e
        for e in (error.outline_x, error.outline_y)
        if e.clearly_excludes(1.0) and abs(e.value - 1) >= _SMALLEST_OUTLINE
    ]
    return ", and so have their outlines" if off else "; their outlines have the right size"


def _explain_outlines(error: SystematicError) -> str | None:
    sides = (("width", error.outline_x), ("height", error.outline_y))
    wrong = [
        (side, e) for side, e in sides if e.clearly_excludes(1.0) and abs(e.value - 1) >= _SMALLEST_OUTLINE
    ]
    if not wrong:
        return None
    shown = " and ".join(f"{1 / e.value:.2f} times their {side}" for side, e in wrong)
    return f"Vertebrae lie where they belong, but are outlined at {shown}."


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
    shifted = [axis for axis, e in cells.items() if e.clearly_excludes(0.0) and low <= abs(e.value)]
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
