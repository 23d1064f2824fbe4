"""What kind of mistake is each keypoint: prediction against label, and what repairing each kind would gain.

After Ronchi and Perona, Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation, ICCV 2017, and
Bolya et al., TIDE, ECCV 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points
from mahtdiag.anatomy.whole_vertebrae import hidden_keypoints, whole_vertebrae
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, Skeleton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GOOD_WIDTHS = 0.1
"""An error up to this share of the vertebra's width is good."""

NEAR_WIDTHS = 0.5
"""A prediction within this share of the width of a label keypoint was aimed at it."""


_FEWEST_SHIFTED = 3


class ErrorType(IntEnum):
    """Kind of error of one keypoint; UNKNOWN where its label or its prediction is missing."""

    UNKNOWN = -1
    GOOD = 0
    JITTER = 1
    MISS = 2
    LEFT_RIGHT_SWAP = 3
    ENDPLATE_SWAP = 4
    LEVEL_UP = 5
    LEVEL_DOWN = 6

    @property
    def title(self) -> str:
        """Name as printed in tables."""
        return _TITLES[self]


_TITLES = {
    ErrorType.UNKNOWN: "unknown",
    ErrorType.GOOD: "good",
    ErrorType.JITTER: "jitter",
    ErrorType.MISS: "miss",
    ErrorType.LEFT_RIGHT_SWAP: "left-right swap",
    ErrorType.ENDPLATE_SWAP: "endplate swap",
    ErrorType.LEVEL_UP: "level shift −1",
    ErrorType.LEVEL_DOWN: "level shift +1",
}


@dataclass(frozen=True, slots=True)
class ErrorTypes:
    """Error type of every keypoint, `[N, K]` each; `repaired_px` is the error left if it were undone.

    A swap or shift repaired leaves the distance to the label keypoint that was hit; jitter and misses
    repaired leave the largest error that is still good. NaN where the type is UNKNOWN.
    """

    types: NDArray[np.int8]
    error_px: Floats
    repaired_px: Floats

    @staticmethod
    def chain(parts: "Sequence[ErrorTypes]") -> "ErrorTypes":
        """Those of consecutive images, as of one set."""
        return ErrorTypes(
            *(np.concatenate([getattr(part, of.name) for part in parts]) for of in fields(ErrorTypes))
        )


@dataclass(frozen=True, slots=True)
class RepairRow:
    """One kind of error over a set: keypoints, shares (0…1), and the mean error if only it were repaired."""

    error_type: ErrorType
    keypoints: int
    keypoint_share: float
    error_share: float
    repaired_mean: float


def label_widths_px(label_px: Floats, skeleton: Skeleton | None = None) -> Floats:
    """Width of each keypoint's vertebra in the label, `[N, K, 2]` to `[N, K]`.

    Mean length of its annotated endplates; NaN for a vertebra without one. `skeleton` has to be given where
    the first vertebra has no four corners.
    """
    return _widths_px(whole_vertebrae(label_px, skeleton))[:, hidden_keypoints(skeleton) :]


def _widths_px(label_px: Floats) -> Floats:
    lengths = _distance(label_px[:, 1::2], label_px[:, 0::2])
    vertebra = np.arange(label_px.shape[1]) // CORNERS_PER_VERTEBRA
    known = np.isfinite(lengths)
    starts = np.arange(0, lengths.shape[1], 2)
    total = np.add.reduceat(np.where(known, lengths, 0.0), starts, axis=1)
    count = np.add.reduceat(known.astype(np.float64), starts, axis=1)
    widths: Floats = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
    return widths[:, vertebra]


def classify_errors(pred_px: Floats, label_px: Floats, skeleton: Skeleton | None = None) -> ErrorTypes:
    """The error type of every keypoint.

    With s the label vertebra's width: good up to 0.1 s. Otherwise the label keypoint nearest to the
    prediction decides: its own makes it jitter up to 0.5 s; another one within 0.5 s makes it a swap (of the
    same endplate: left-right; of the other endplate) or a level shift (neighbouring vertebra, + is
    downwards); all else is a miss. `[N, K, 2]` original pixels in. Unknown where the prediction, the label or
    s is missing. `skeleton` has to be given where the first vertebra has no four corners.
    """
    hidden = hidden_keypoints(skeleton)
    if hidden:
        whole = classify_errors(whole_vertebrae(pred_px, skeleton), whole_vertebrae(label_px, skeleton))
        return ErrorTypes(*(getattr(whole, of.name)[:, hidden:] for of in fields(ErrorTypes)))
    pred_px, label_px = known_points(pred_px), known_points(label_px)
    width = _widths_px(label_px)
    error = _distance(pred_px, label_px)
    unknown = np.isnan(error) | np.isnan(width)
    types = np.where(unknown, ErrorType.UNKNOWN, ErrorType.GOOD).astype(np.int64)
    repaired = np.where(unknown, np.nan, np.minimum(error, GOOD_WIDTHS * width))
    # Most keypoints of most models are good: only the others are worth a search.
    image, own = np.nonzero(~unknown & (error > GOOD_WIDTHS * width))
    hit, distance = _nearest_label(pred_px[image, own], own, label_px, image, error[image, own])
    near = distance <= NEAR_WIDTHS * width[image, own]
    found = np.where(near, _types_of_hits(hit, own), ErrorType.MISS)
    types[image, own] = found
    repaired[image, own] = np.where(
        found >= ErrorType.LEFT_RIGHT_SWAP, distance, GOOD_WIDTHS * width[image, own]
    )
    return ErrorTypes(types.astype(np.int8), np.where(unknown, np.nan, error), repaired)


def _distance(a_px: Floats, b_px: Floats) -> Floats:
    """Distance between points `[..., 2]`; NumPy reduces a last axis of two slowly."""
    x, y = a_px[..., 0] - b_px[..., 0], a_px[..., 1] - b_px[..., 1]
    return np.asarray(np.sqrt(x * x + y * y))


def _nearest_label(
    pred_px: Floats, own: Ints, label_px: Floats, image: Ints, error: Floats
) -> tuple[Ints, Floats]:
    """Label keypoint nearest to each of M predictions, its own on a tie, and the distance to it, `[M]` each.

    `pred_px` `[M, 2]` is keypoint `own` `[M]` of `image` `[M]`, off by `error` `[M]`; `label_px` `[N, K, 2]`.
    """
    hit, distance = own.copy(), error.copy()
    for other in range(label_px.shape[1]):
        away = _distance(pred_px, label_px[image, other])
        closer = away < distance
        hit[closer] = other
        distance[closer] = away[closer]
    return hit, distance


def _types_of_hits(hit: Ints, own: Ints) -> Ints:
    """What it means that keypoint `own` lies at the place of keypoint `hit`, `[M]` each."""
    level = hit // CORNERS_PER_VERTEBRA - own // CORNERS_PER_VERTEBRA
    meaning = np.full(hit.shape, int(ErrorType.MISS), dtype=np.int64)
    meaning[level == 1] = ErrorType.LEVEL_DOWN
    meaning[level == -1] = ErrorType.LEVEL_UP
    meaning[level == 0] = ErrorType.ENDPLATE_SWAP
    meaning[hit // 2 == own // 2] = ErrorType.LEFT_RIGHT_SWAP
    meaning[hit == own] = ErrorType.JITTER
    return meaning


def whole_image_level_shift(pred_px: Floats, label_px: Floats, skeleton: Skeleton | None = None) -> Ints:
    """Whether a whole image is marked one level off, `[N]`: +1 too low, −1 too high, 0 otherwise.

    Shifted: every vertebra (three at least) lies nearer to the label of its neighbour on that side than to
    its own, by the mean over its keypoints, and within 0.5 of that neighbour's width. The most dangerous
    mistake of a model of the spine: each outline looks right, each name is wrong. `skeleton` has to be given
    where the first vertebra has no four corners.
    """
    pred_px, label_px = (known_points(whole_vertebrae(points, skeleton)) for points in (pred_px, label_px))
    shift = np.zeros(pred_px.shape[0], dtype=np.int64)
    width = _widths_px(label_px)
    for step in (1, -1):
        offset = CORNERS_PER_VERTEBRA * step
        here = slice(max(0, -offset), pred_px.shape[1] - max(0, offset))
        there = slice(max(0, offset), pred_px.shape[1] - max(0, -offset))
        own = _distance(pred_px[:, here], label_px[:, here])
        moved = _distance(pred_px[:, here], label_px[:, there])
        # Only keypoints that have both labels tell which of the two is nearer.
        known = np.isfinite(own) & np.isfinite(moved) & np.isfinite(width[:, there])
        counted = _sum_per_vertebra(known, known) > 0
        beside = _sum_per_vertebra(moved, known)
        near = beside <= NEAR_WIDTHS * _sum_per_vertebra(width[:, there], known)
        nearer = (beside < _sum_per_vertebra(own, known)) & near
        shift[(counted.sum(axis=1) >= _FEWEST_SHIFTED) & (nearer | ~counted).all(axis=1)] = step
    return shift


def _sum_per_vertebra(values: Floats | NDArray[np.bool_], known: NDArray[np.bool_]) -> Floats:
    """Sum over the known keypoints of each vertebra, `[N, K]` to `[N, V]`."""
    starts = np.arange(0, known.shape[1], CORNERS_PER_VERTEBRA)
    return np.add.reduceat(np.where(known, values, 0.0), starts, axis=1)


def repair_table(errors: ErrorTypes, mm_per_px: Floats | None = None) -> tuple[RepairRow, ...]:
    """What each kind of error costs, the largest gain first; empty where nothing is known.

    `repaired_mean` is the mean radial error over all known keypoints if exactly the mistakes of this kind
    were undone, in pixels, or with `mm_per_px` of each image `[N]` in millimetres. Good keypoints have a row
    too: it shows what no repair can remove.
    """
    known = errors.types != ErrorType.UNKNOWN
    kinds = [kind for kind in ErrorType if kind is not ErrorType.UNKNOWN and (errors.types == kind).any()]

    def sums(px: Floats) -> tuple[float, list[float]]:
        """Of all that is known, and of each kind."""
        values = px if mm_per_px is None else px * mm_per_px[:, None]
        return float(values[known].sum()), [float(values[errors.types == kind].sum()) for kind in kinds]

    # One after the other: of many images each is large.
    count, (total, was), (_, left) = int(known.sum()), sums(errors.error_px), sums(errors.repaired_px)
    rows = []
    for kind, error, rest in zip(kinds, was, left, strict=True):
        keypoints, gain = int((errors.types == kind).sum()), error - rest
        share = error / total if total > 0 else 0.0
        rows.append(RepairRow(kind, keypoints, keypoints / count, share, (total - gain) / count))
    return tuple(sorted(rows, key=lambda row: row.repaired_mean))
