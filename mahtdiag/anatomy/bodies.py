"""Whether vertebrae are predicted too narrow, wide, short or tall, and by what each corner lies off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.pairs import PointPairs
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
    return fit_body_pairs(PointPairs.of(pred, label), units)


def fit_body_pairs(pairs: PointPairs, units: Ints) -> BodyErrors | None:
    """The same of points that come in blocks: of a keypoint less than 60 bytes are held."""
    found = [(_ways(*bodies), image + rows.start) for rows, *bodies, image in _in_axes(pairs)]
    if not any(len(image) for _, image in found):
        return None
    kept = _ordinary(np.concatenate([ways for ways, _ in found], axis=1))
    codes = np.asarray(units)[np.concatenate([image for _, image in found])[kept]]
    count = len(np.unique(codes))
    if count < FEWEST_UNITS:
        return None
    del found
    width, height = (_ratio(pairs, kept, axis, codes) for axis in (0, 1))
    if width is None or height is None:
        return None
    wider, taller = width.scale.value, height.scale.value
    gains = _gains(pairs, kept, [(wider, 1.0), (1.0, taller), (wider, taller)], codes)
    corners = _corner_bias(pairs, kept, codes)
    if corners is None or gains is None:
        return None
    return BodyErrors(
        width=Axis(width.scale, width.clear, gains[0]),
        height=Axis(height.scale, height.clear, gains[1]),
        gain=gains[2],
        corners=corners,
        vertebrae=int(kept.sum()),
        units=count,
    )


def _in_axes(pairs: PointPairs) -> Iterator[tuple[slice, Floats, Floats, Ints]]:
    """Of each block its rows, and of its bodies with a size predictions and labels `[B, 4, 2]`, and images.

    About the middle of the label, in its axes; an image is numbered within its block.
    """
    for rows, pred, label in pairs.placed():
        whole = pred.shape[1] // CORNERS * CORNERS
        shape = (len(pred), whole // CORNERS, CORNERS, 2)
        p, t = pred[:, :whole].reshape(shape), label[:, :whole].reshape(shape)
        known = np.asarray(np.isfinite(p).all(axis=(2, 3)) & np.isfinite(t).all(axis=(2, 3)))
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
        tall = _size(in_t, 1) > 0
        yield rows, in_p[tall], in_t[tall], image[tall]


def _kept(pairs: PointPairs, kept: Bools) -> Iterator[tuple[Floats, Floats]]:
    """The bodies that are no mistakes, block by block."""
    first = 0
    for _, pred, label, _ in _in_axes(pairs):
        of_block = kept[first : first + len(pred)]
        first += len(pred)
        yield pred[of_block], label[of_block]


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


def _ways(pred: Floats, label: Floats) -> Floats:
    """How bodies `[B, 4, 2]` differ from their labels, `[4, B]`: middles in x and y, width and height."""
    width = _size(label, 0)
    return np.stack(
        [*(pred.mean(axis=1) / width[:, None]).T, *(_size(pred, a) / _size(label, a) - 1.0 for a in (0, 1))]
    )


def _ordinary(ways: Floats) -> Bools:
    """Bodies whose middle and sizes are not far out, of all of them."""
    near = np.ones(ways.shape[1], dtype=np.bool_)
    for values in ways:
        away = np.abs(values - np.median(values))
        near &= away <= _OUTLIER_MADS * (1.4826 * np.median(away)) + 1e-9
    return near


@dataclass(frozen=True, slots=True)
class _Ratio:
    scale: Fitted
    clear: bool


def _ratio(pairs: PointPairs, kept: Bools, axis: int, codes: Ints) -> _Ratio | None:
    """Scale along an axis."""
    sizes = [np.stack([_size(pred, axis), _size(label, axis)], axis=1) for pred, label in _kept(pairs, kept)]
    sums = by_unit(np.concatenate(sizes), codes)

    def ratio(of: Floats) -> Floats:
        return np.asarray(of[..., 0] / of[..., 1])

    scale = float(ratio(sums.sum(axis=0)))
    influence = jackknife(ratio, sums)
    both = estimate_interval(scale, influence), estimate_interval(scale, influence, _STRICT_TAIL)
    if both[0] is None or both[1] is None or scale <= 0:
        return None
    low, high = both[1]
    return _Ratio(Fitted(scale, *both[0]), not low <= 1.0 <= high)


def _gains(
    pairs: PointPairs, kept: Bools, scales: Sequence[tuple[float, float]], codes: Ints
) -> list[Fitted] | None:
    """The shares of the mean error of corners that dividing by each of the scales saves."""
    errors = [
        np.stack(
            [
                np.hypot(*np.moveaxis(v - label, -1, 0)).sum(axis=1)
                for v in (pred, *(_divided(pred, scale) for scale in scales))
            ],
            axis=1,
        )
        for pred, label in _kept(pairs, kept)
    ]
    before, *after = np.concatenate(errors).T
    found = [_gain(before, error, codes) for error in after]
    known = [gain for gain in found if gain is not None]
    return known if len(known) == len(found) else None


def _gain(before: Floats, after: Floats, codes: Ints) -> Fitted | None:
    saved = by_unit(np.stack([before, before - after], axis=1), codes)

    def share(of: Floats) -> Floats:
        return np.asarray(of[..., 1] / of[..., 0])

    gain = float(share(saved.sum(axis=0)))
    ends = estimate_interval(gain, jackknife(share, saved))
    return None if ends is None else Fitted(gain, *ends)


def _corner_bias(pairs: PointPairs, kept: Bools, codes: Ints) -> tuple[tuple[Fitted, Fitted], ...] | None:
    """Mean error of each corner along both axes, in percent of the label's width."""
    offsets = np.concatenate(
        [100.0 * (pred - label) / _size(label, 0)[:, None, None] for pred, label in _kept(pairs, kept)]
    )
    bias = [tuple(_mean(offsets[:, corner, axis], codes) for axis in (0, 1)) for corner in range(CORNERS)]
    corners = tuple((x, y) for x, y in bias if x is not None and y is not None)
    return corners if len(corners) == CORNERS else None


def _mean(values: Floats, codes: Ints) -> Fitted | None:
    sums = by_unit(np.stack([values, np.ones(len(values))], axis=1), codes)
    ends = mean_interval(sums[:, 0], sums[:, 1])
    return None if ends is None else Fitted(float(values.mean()), *ends)
