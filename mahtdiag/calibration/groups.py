"""The same numbers per keypoint, vertebra, corner, axis, view or subgroup: the worst groups first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.samples import FloatArray, IntArray, Points
from mahtdiag.calibration.tally import Numbers, Tally, numbers

MIN_KEYPOINTS = 20


@dataclass(frozen=True, slots=True)
class GroupCalibration:
    """Calibration of one group; `enough` is False below 20 keypoints, whose numbers are noise.

    `kind` says what was grouped by ("vertebra"), `name` which group ("L5"). `bias_x`, `bias_y`: mean z, None
    for the axis that a group by axis leaves out. `coverage_90`: per axis, nominal 0.9.
    """

    kind: str
    name: str
    n_keypoints: int
    n_images: int
    enough: bool
    mace: float
    sigma_scale: float
    bias_x: float | None
    bias_y: float | None
    sharpness_px: float
    nll: float
    crps_px: float
    coverage_90: float


@dataclass(frozen=True, slots=True)
class Grouping:
    """Labels of one kind: the names in use and, per usable keypoint, which one."""

    kind: str
    names: tuple[str, ...]
    codes: IntArray


def read_groupings(points: Points, labels: Mapping[str, ArrayLike]) -> tuple[Grouping, ...]:
    """Spread labels to the usable keypoints.

    `labels`: kind -> labels that spread to [N, K] (per keypoint [K], per image [N, 1]). An empty label leaves
    the keypoint out of that kind. Raises ValueError if a shape does not fit.
    """
    found = []
    for kind, values in labels.items():
        array = np.asarray(values).astype(str)
        names, flat = np.unique(array, return_inverse=True)
        codes = np.asarray(points.pick(flat.reshape(array.shape), f"groups[{kind!r}]"), dtype=np.intp)
        found.append(Grouping(kind, tuple(names.tolist()), codes))
    return tuple(found)


def group_calibration(
    points: Points, sums: Tally, groupings: Sequence[Grouping]
) -> tuple[GroupCalibration, ...]:
    """Numbers of every group of every kind, and of both axes; largest MACE first, small groups last.

    `sums`: `tally.tally` with the codes of `groupings` as its other groups, in the same order.
    """
    if points.n == 0:
        return ()
    x, y = _groups_of_kind("axis", ("x", "y"), sums.by_axis, [points.n_images] * 2)
    found = [replace(x, bias_y=None), replace(y, bias_x=None)]
    for grouping, total in zip(groupings, sums.by_other, strict=True):
        images = _images_by_group(points, grouping.codes, len(grouping.names))
        found += _groups_of_kind(grouping.kind, grouping.names, total, images)
    return tuple(sorted(found, key=lambda g: (not g.enough, -g.mace, g.kind, g.name)))


def _images_by_group(points: Points, codes: IntArray, groups: int) -> list[int]:
    # Sorted pairs of group and image keep memory at one value per keypoint.
    pairs = np.sort(codes * points.n_images + points.image)
    first = np.concatenate([[True], pairs[1:] != pairs[:-1]])
    counts: list[int] = np.bincount(pairs[first] // points.n_images, minlength=groups).tolist()
    return counts


def _groups_of_kind(
    kind: str, names: Sequence[str], sums: FloatArray, images: list[int]
) -> list[GroupCalibration]:
    result = numbers(sums)
    return [
        _group(kind, name, result, i, images[i]) for i, name in enumerate(names) if name and sums[i, 0] > 0
    ]


def _group(kind: str, name: str, result: Numbers, i: int, images: int) -> GroupCalibration:
    count = int(result.n[i])
    return GroupCalibration(
        kind=kind,
        name=name,
        n_keypoints=count,
        n_images=images,
        enough=count >= MIN_KEYPOINTS,
        mace=float(result.mace[i]),
        sigma_scale=float(result.sigma_scale[i]),
        bias_x=float(result.bias_x[i]),
        bias_y=float(result.bias_y[i]),
        sharpness_px=float(result.sharpness_px[i]),
        nll=float(result.nll[i]),
        crps_px=float(result.crps_px[i]),
        coverage_90=float(result.coverage[i, 2]),
    )
