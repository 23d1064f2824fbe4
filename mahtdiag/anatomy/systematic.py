"""Errors that all predictions share: a shift, a scale, a rotation, sizes of outlines, exchanged axes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points
from mahtdiag.anatomy.pairs import PointPairs
from mahtdiag.statistics.intervals import SumsByUnit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_PARAMETERS = 5
_OUTLINES = 2
_FITTED = _PARAMETERS + _OUTLINES
_OUTLIER_MADS = 5.0
_CORNERS = 4
# Of each corner its number, and sums of labels and predictions in x and y.
_CORNER_SUMS = 5 * _CORNERS
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
        """Whether one twice as wide would not hold it either; no where it is not known.

        Of seven numbers of a correct setup one lies beyond its own 95 % too often to be worth a sentence.
        """
        low, high = 2 * self.low - self.value, 2 * self.high - self.value
        return low > value or high < value


@dataclass(frozen=True, slots=True)
class SystematicError:
    """The transformation that best brings predictions onto labels.

    label ≈ centre + S⁻¹·(prediction − centre + shift), where S scales and turns; shift, scales and rotation
    are what has to be done to predictions (rotation clockwise on screen); `centre` is the mean label. Scales
    are those of the places of vertebrae; `outline_x`, `outline_y` those of the corners about the middle of
    their vertebra. Shifts in the unit of the points given. `axes_exchanged`: exchanging x and y of the
    predictions would more than halve the median error; the numbers are then those after the exchange.
    `corners`: mean offset (x, y) of the upper left, upper right, lower left and lower right corners of
    predictions about the middle of their vertebra, that no size of outlines explains; `half_size` half the
    mean width and height of the labels. `units`: patients, or images.
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
    corners: tuple[tuple[Fitted, Fitted], ...]
    half_size: tuple[float, float]
    units: int


def fit_systematic_error(
    pred: Floats, label: Floats, units: Ints | None = None, *, resamples: int = 2000, seed: int = 0
) -> SystematicError | None:
    """Least-squares shift, scale per axis and (small) rotation over a whole set, `[N, K, 2]` each.

    Predictions are regressed on labels: the noise is in them, and a regression the other way round would take
    it for a scale. Places are the middles of vertebrae (four keypoints each), over the corners that both
    have; outlines are the corners about them. Vertebrae whose residual is more than 5 robust standard
    deviations (1.4826 · MAD) from the median residual are left out: they are mistakes of another kind (see
    `error_types`). Intervals: percentiles over resampled `units` `[N]`, each image by itself by
    default (Efron and Tibshirani, 1993). Missing
    keypoints are left out. None where fewer than two images are left, where the points do not determine the
    fit (all on one line), or where predictions do not follow the labels (constant ones).
    """
    return fit_pairs(PointPairs.of(pred, label), units, resamples=resamples, seed=seed)


def fit_pairs(
    pairs: PointPairs, units: Ints | None = None, *, resamples: int = 2000, seed: int = 0
) -> SystematicError | None:
    """The same of points that come in blocks: of a keypoint less than 60 bytes are held."""
    exchanged = _axes_exchanged(pairs)
    if exchanged is None:
        return None
    moved = _exchanged(pairs) if exchanged else pairs
    middle, of_pred = _all_middles(moved)
    at = np.isfinite(middle[..., 0])
    at = at & _ordinary(of_pred - middle, at)
    seen: Bools = np.any(at, axis=1)
    images = int(seen.sum())
    if images < 2:
        return None
    centre = middle[at].mean(axis=0)
    units = np.arange(len(at)) if units is None else units
    sums, half_size, keypoints = _sums(moved, middle, of_pred, at, centre, units)
    fitted = _solve(sums.sum(axis=0)[None])[0]
    if not np.isfinite(fitted[:_FITTED]).all():
        return None
    low, high = _percentiles(_resampled(sums, resamples, seed))
    ends = zip(fitted, low, high, strict=True)
    numbers = [Fitted(float(v), float(a), float(b)) for v, a, b in ends]
    shift_x, shift_y, *scales, turn, outline_x, outline_y = numbers[:_FITTED]
    offsets = numbers[_FITTED:]
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
        keypoints=keypoints,
        images=images,
        axes_exchanged=exchanged,
        corners=tuple(zip(offsets[::2], offsets[1::2], strict=True)),
        half_size=half_size,
        units=len(sums),
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
    none = np.zeros((len(sums), _CORNER_SUMS + 2 * _OUTLINES))
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


def _corner_sums(pred: Floats, label: Floats, used: Bools) -> Floats:
    """Per image and corner: number, Σ label and Σ prediction in x and y about their middles, `[N, 20]`.

    The ends of a skeleton that have no four corners are left out.
    """
    whole = pred.shape[1] // _CORNERS * _CORNERS
    shape = (len(pred), whole // _CORNERS, _CORNERS, -1)
    known = used[:, :whole].reshape(shape)
    x = [np.where(known, v[:, :whole].reshape(shape), 0.0) for v in (label, pred)]
    sums: Floats = np.concatenate([known, *x], axis=-1).astype(np.float64).sum(axis=1)
    return np.reshape(sums, (len(pred), _CORNER_SUMS))


def _outline_sums(pred: Floats, label: Floats, used: Bools) -> Floats:
    """Per image Σ label·prediction and Σ label² in x and y of corners about their middles, `[N, 4]`."""
    both = [np.where(used[..., None], values, 0.0).astype(np.float64) for values in (label * pred, label**2)]
    return np.concatenate([values.sum(axis=1) for values in both], axis=1)


def _axes_exchanged(pairs: PointPairs) -> bool | None:
    """Whether exchanging x and y of predictions more than halves the median error; None without any."""
    as_given, exchanged = [], []
    for pred, label in pairs.known():
        known = np.isfinite(pred[..., 0]) & np.isfinite(label[..., 0])
        of_pred, of_label = pred[known], label[known]
        as_given.append(np.linalg.norm(of_pred - of_label, axis=-1))
        exchanged.append(np.linalg.norm(of_pred[:, ::-1] - of_label, axis=-1))
    if not any(len(away) for away in as_given):
        return None
    before, after = (_median(away) for away in (as_given, exchanged))
    return bool(after < 0.5 * before)


def _median(parts: list[Floats]) -> float:
    """The median of all of them, which are let go of."""
    values = np.concatenate(parts)
    parts.clear()
    return float(np.median(values, overwrite_input=True))


def _exchanged(pairs: PointPairs) -> PointPairs:
    """The same with x and y of the predictions exchanged."""
    return PointPairs(pairs.images, lambda: ((pred[..., ::-1], label) for pred, label in pairs.blocks()))


def _all_middles(pairs: PointPairs) -> tuple[Floats, Floats]:
    """Middles of the vertebrae of labels and predictions, over the corners that both have, `[N, V, 2]`."""
    found: list[list[Floats]] = [[], []]
    for pred, label in pairs.known():
        known = np.isfinite(pred[..., 0]) & np.isfinite(label[..., 0])
        for middles, points in zip(found, (label, pred), strict=True):
            middles.append(_middles(points, known))
    middle, of_pred = (np.concatenate(middles) for middles in found)
    return middle, of_pred


def _sums(
    pairs: PointPairs, middle: Floats, of_pred: Floats, at: Bools, centre: Floats, units: Ints
) -> tuple[Floats, tuple[float, float], int]:
    """What the fit is a function of, by unit `[U, 35]`; half the size of outlines; the keypoints used."""
    seen: Bools = np.any(at, axis=1)
    by_unit, keypoints = SumsByUnit(units[seen]), _used(pairs, at)
    squares = np.empty((keypoints, 2))
    first = 0
    for rows, pred, label in pairs.placed():
        known = np.isfinite(pred[..., 0]) & np.isfinite(label[..., 0])
        used, corners = _corners_of(known, at[rows]), _corners(known)
        around = pred - of_pred[rows][:, corners], label - middle[rows][:, corners]
        parts = [
            _moments(middle[rows] - centre, of_pred[rows] - middle[rows], at[rows]),
            _corner_sums(*around, used),
            _outline_sums(*around, used),
        ]
        by_unit.add(np.concatenate(parts, axis=1)[seen[rows]])
        last = first + int(used.sum())
        squares[first:last] = around[1][used] ** 2
        first = last
    # Root mean square of the corners about their middles, in x and y.
    x, y = np.sqrt(np.mean(squares, axis=0))
    return by_unit.total, (float(x), float(y)), keypoints


def _used(pairs: PointPairs, at: Bools) -> int:
    """How many keypoints of ordinary vertebrae are known."""
    return sum(
        int(_corners_of(np.isfinite(pred[..., 0]) & np.isfinite(label[..., 0]), at[rows]).sum())
        for rows, pred, label in pairs.placed()
    )


def _corners_of(known: Bools, at: Bools) -> Bools:
    """Known corners of these vertebrae, `[n, K]`."""
    corners: Bools = known & np.repeat(at, _CORNERS, axis=1)[:, : known.shape[1]]
    return corners


def _ordinary(residual: Floats, known: Bools) -> Bools:
    """Vertebrae `[N, V]` whose residual is not far out; none where none is known."""
    if not known.any():
        return known
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

    Then the offsets of the four corners in x and y that these ratios leave. `[B, 35]` to `[B, 15]`. Model:
    dx = tx + ex·x − r·y, dy = ty + ey·y + r·x.
    """
    ends = sums.shape[1] - 2 * _OUTLINES
    moments, of_corners, outlines = np.split(sums, [ends - _CORNER_SUMS, ends], axis=1)
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
        count, label, pred = np.split(of_corners.reshape(len(sums), _CORNERS, -1), [1, 3], axis=-1)
        offsets = (pred - ratio[:, None] * label) / np.maximum(count, 1)
        offsets[np.broadcast_to(count.sum(axis=0) == 0, offsets.shape)] = np.nan
    return np.concatenate([solution, ratio, offsets.reshape(len(sums), 2 * _CORNERS)], axis=1)


def _percentiles(drawn: Floats) -> tuple[Floats, Floats]:
    """2.5 % and 97.5 % of every column, NaN where nothing is known of it."""
    known = np.isfinite(drawn).any(axis=0)
    ends = np.full((2, drawn.shape[1]), np.nan)
    ends[:, known] = np.nanpercentile(drawn[:, known], [2.5, 97.5], axis=0)
    return ends[0], ends[1]


def _resampled(moments: Floats, resamples: int, seed: int) -> Floats:
    """The fit of every resample of the units, `[resamples, 15]`."""
    rng = np.random.default_rng(seed)
    images = moments.shape[0]
    sums = np.empty((resamples, moments.shape[1]))
    for n in range(resamples):
        times = np.bincount(rng.integers(0, images, images), minlength=images)
        sums[n] = times @ moments
    return _solve(sums)
