"""Whether vertebrae are predicted too narrow, wide, low or tall, and by what each corner lies off."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points
from mahtdiag.anatomy.systematic import Fitted
from mahtdiag.statistics.intervals import by_unit, estimate_interval, jackknife, mean_interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

CORNERS = 4
FEWEST_UNITS = 20
"""Patients, or images, below which nothing is said of body scales."""
_OUTLIER_MADS = 5.0
# Tails of the interval that a sentence rests on: two sizes of a right network are looked at.
_STRICT_TAIL = 0.0025
_SIDE = np.array([-1.0, 1.0, -1.0, 1.0])
_END = np.array([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of bodies: `scale` is predicted over labelled size, with 95 % interval.

    `clear`: whether an interval of 99.5 % excludes 1. `gain`: the share of the mean error of corners that
    dividing each predicted body by `scale` about its middle saves, with 95 % interval; below 0 it costs.
    """

    scale: Fitted
    clear: bool
    gain: Fitted


@dataclass(frozen=True, slots=True)
class BodyErrors:
    """Bodies of `vertebrae` in all images of `units` patients, or images.

    `width`, `height`: sizes along and across the endplates of the label. `gain`: as that of an axis, of both
    undone together. `corners`: mean error (to the right, down) of the upper left, upper right, lower left and
    lower right corner in the axes of the labelled body, in percent of its width, with 95 % intervals.
    """

    width: Axis
    height: Axis
    gain: Fitted
    corners: tuple[tuple[Fitted, Fitted], ...]
    vertebrae: int
    units: int


def fit_bodies(pred: Floats, label: Floats, units: Ints) -> BodyErrors | None:
    """Scale of bodies and bias of corners over a set, `[N, K, 2]` each; units `[N]`.

    Each body with four known corners has the axes of its label: x along both endplates, y across. Its width
    is the mean difference of right and left corners along x, its height that of lower and upper ones along y;
    scale = Σ predicted / Σ labelled, in which noise of neither has a part (in a regression on labels theirs
    would). Bodies whose middle or size lies more than 5 robust standard deviations from the median are
    mistakes of another kind and are left out. Intervals over units are those of smooth functions of sums
    (`statistics.intervals.estimate_interval`). None below `FEWEST_UNITS`.
    """
    pred, label = known_points(pred), known_points(label)
    whole = pred.shape[1] // CORNERS * CORNERS
    shape = (len(pred), whole // CORNERS, CORNERS, 2)
    p, t = pred[:, :whole].reshape(shape), label[:, :whole].reshape(shape)
    known = np.asarray(np.isfinite(p).all(axis=(2, 3)) & np.isfinite(t).all(axis=(2, 3)))
    if not known.any():
        return None
    image = np.nonzero(known)[0]
    at_p, at_t = p[known], t[known]
    along = (at_t * _SIDE[:, None]).sum(axis=1)
    length = np.hypot(*along.T)
    # A body without a width has no axes.
    sound = length > 0
    at_p, at_t, image, along = at_p[sound], at_t[sound], image[sound], along[sound] / length[sound, None]
    frame = np.stack([along, np.stack([-along[:, 1], along[:, 0]], axis=1)], axis=1)
    in_p, in_t = (
        np.einsum("bkx,bix->bki", v - at_t.mean(axis=1, keepdims=True), frame) for v in (at_p, at_t)
    )
    kept = _size(in_t, 1) > 0
    if not kept.any():
        return None
    kept[kept] = _ordinary(in_p[kept], in_t[kept])
    in_p, in_t, image = in_p[kept], in_t[kept], image[kept]
    codes = np.asarray(units)[image]
    if len(np.unique(codes)) < FEWEST_UNITS:
        return None
    width, height = _axis(in_p, in_t, 0, codes), _axis(in_p, in_t, 1, codes)
    if width is None or height is None:
        return None
    both = _gain(in_p, in_t, (width.scale.value, height.scale.value), codes)
    offsets = 100.0 * (in_p - in_t) / _size(in_t, 0)[:, None, None]
    bias = [tuple(_mean(offsets[:, corner, axis], codes) for axis in (0, 1)) for corner in range(CORNERS)]
    corners = tuple((x, y) for x, y in bias if x is not None and y is not None)
    if both is None or len(corners) < CORNERS:
        return None
    return BodyErrors(width, height, both, corners, len(in_p), len(np.unique(codes)))


def _divided(bodies: Floats, scale: tuple[float, float]) -> Floats:
    """Bodies `[…, 4, 2]` divided along and across their own endplates, so that no label has a part in it."""
    middle = bodies.mean(axis=-2, keepdims=True)
    along = (bodies * _SIDE[:, None]).sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = along / np.hypot(along[..., 0], along[..., 1])[..., None]
    frame = np.stack([along, np.stack([-along[..., 1], along[..., 0]], axis=-1)], axis=-2)
    local = np.einsum("...kx,...ix->...ki", bodies - middle, frame) / np.array(scale)
    return np.asarray(middle + np.einsum("...ki,...ix->...kx", local, frame), dtype=np.float64)


def _size(bodies: Floats, axis: int) -> Floats:
    """Width or height of bodies `[B, 4, 2]` in the axes of their labels."""
    return np.asarray((bodies[..., axis] * (_SIDE, _END)[axis]).sum(axis=1) / 2.0)


def _ordinary(pred: Floats, label: Floats) -> Bools:
    """Bodies whose middle and sizes are not far out, of all of them."""
    width = _size(label, 0)
    ways = np.stack(
        [*(pred.mean(axis=1) / width[:, None]).T, *(_size(pred, a) / _size(label, a) - 1.0 for a in (0, 1))]
    )
    middle = np.median(ways, axis=1, keepdims=True)
    spread = 1.4826 * np.median(np.abs(ways - middle), axis=1, keepdims=True)
    near: Bools = np.all(np.abs(ways - middle) <= _OUTLIER_MADS * spread + 1e-9, axis=0)
    return near


def _axis(pred: Floats, label: Floats, axis: int, codes: Ints) -> Axis | None:
    """Scale along an axis and what undoing it saves."""
    sums = by_unit(np.stack([_size(pred, axis), _size(label, axis)], axis=1), codes)

    def ratio(of: Floats) -> Floats:
        return np.asarray(of[..., 0] / of[..., 1])

    scale = float(ratio(sums.sum(axis=0)))
    influence = jackknife(ratio, sums)
    both = estimate_interval(scale, influence), estimate_interval(scale, influence, _STRICT_TAIL)
    if both[0] is None or both[1] is None or scale <= 0:
        return None
    gain = _gain(pred, label, (scale, 1.0) if axis == 0 else (1.0, scale), codes)
    if gain is None:
        return None
    low, high = both[1]
    return Axis(Fitted(scale, *both[0]), not low <= 1.0 <= high, gain)


def _gain(pred: Floats, label: Floats, scale: tuple[float, float], codes: Ints) -> Fitted | None:
    """The share of the mean error of corners that dividing by the scales saves."""
    errors = [np.hypot(*np.moveaxis(v - label, -1, 0)).sum(axis=1) for v in (pred, _divided(pred, scale))]
    saved = by_unit(np.stack([errors[0], errors[0] - errors[1]], axis=1), codes)

    def share(of: Floats) -> Floats:
        return np.asarray(of[..., 1] / of[..., 0])

    gain = float(share(saved.sum(axis=0)))
    ends = estimate_interval(gain, jackknife(share, saved))
    return None if ends is None else Fitted(gain, *ends)


def _mean(values: Floats, codes: Ints) -> Fitted | None:
    sums = by_unit(np.stack([values, np.ones(len(values))], axis=1), codes)
    ends = mean_interval(sums[:, 0], sums[:, 1])
    return None if ends is None else Fitted(float(values.mean()), *ends)
