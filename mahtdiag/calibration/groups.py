"""The same numbers per keypoint, vertebra, corner, axis, view or subgroup: the worst groups first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.by_chance import MIN_UNITS, MaceByChance, by_group
from mahtdiag.calibration.scores import FloatArray, IntArray, Points, blocks
from mahtdiag.calibration.sums import COLUMNS, Sums, numbers

MIN_KEYPOINTS = 20
_SHOWN = ("mace", "sigma_scale", "bias_x", "bias_y", "sharpness_px", "nll", "crps_px")


@dataclass(frozen=True, slots=True)
class GroupCalibration:
    """Calibration of one group; `enough` is False below 20 keypoints or 10 units, whose numbers are noise.

    `kind` says what was grouped by ("vertebra"), `name` which group ("L5"). `bias_x`, `bias_y`: mean z, None
    for the axis that a group by axis leaves out. `coverage_90`: per axis, nominal 0.9. `mace_by_chance`,
    `mace_by_chance_most`: what a calibrated group of this size shows on average, and at most in 19 of 20;
    None below 10 units.
    """

    kind: str
    name: str
    n_keypoints: int
    n_images: int
    enough: bool
    mace: float
    mace_by_chance: float | None
    mace_by_chance_most: float | None
    sigma_scale: float
    bias_x: float | None
    bias_y: float | None
    sharpness_px: float
    nll: float
    crps_px: float
    coverage_90: float


@dataclass(frozen=True, slots=True)
class Grouping:
    """Labels of one kind: the names in use, and which one each keypoint index, image, or usable keypoint has.

    `codes`: [K], [images] or [M], by `over`. Labels that depend on one thing alone are added up from that
    thing's sums, without a second pass.
    """

    kind: str
    names: tuple[str, ...]
    over: Literal["keypoint", "image", "both"]
    codes: IntArray


def read_groupings(points: Points, labels: Mapping[str, ArrayLike]) -> tuple[Grouping, ...]:
    """Give every usable keypoint its group.

    `labels`: kind -> labels that spread to [N, K] (per keypoint [K], per image [N, 1]). An empty label leaves
    the keypoint out of that kind. Raises ValueError if a shape does not fit.
    """
    found = []
    images, keypoints = points.kept.shape
    for kind, values in labels.items():
        array = np.atleast_2d(np.asarray(values).astype(str))
        if array.ndim != 2 or array.shape[0] not in (1, images) or array.shape[1] not in (1, keypoints):
            raise ValueError(f"groups[{kind!r}]: shape {array.shape} does not spread to {points.kept.shape}")
        names, flat = np.unique(array, return_inverse=True)
        codes = np.asarray(flat.reshape(array.shape), dtype=np.intp)
        over: Literal["keypoint", "image", "both"] = "both"
        if array.shape[0] == 1:
            over, codes = "keypoint", np.broadcast_to(codes[0], (keypoints,))
        elif array.shape[1] == 1:
            over, codes = "image", codes[points.kept.any(axis=1), 0]
        else:
            codes = codes[points.kept]
        found.append(Grouping(kind, tuple(names.tolist()), over, codes))
    return tuple(found)


def group_calibration(
    points: Points, sums: Sums, groupings: Sequence[Grouping]
) -> tuple[GroupCalibration, ...]:
    """Numbers of every group of every kind, and of both axes; largest MACE first, small groups last.

    `sums`: `sums.sums_of` with the codes of the groupings over both as its other groups, in their order.
    """
    if points.n == 0:
        return ()
    everything = np.zeros(points.n, dtype=np.int8)
    chances = [each for axis in (0, 1) for each in by_group(points, everything, 1, (axis,))]
    x, y = _groups_of_kind("axis", ("x", "y"), sums.by_axis, [points.n_images] * 2, chances)
    found = [replace(x, bias_y=None), replace(y, bias_x=None)]
    others = iter(sums.by_other)
    for grouping in groupings:
        count, codes = len(grouping.names), _codes_of_points(points, grouping)
        total = next(others) if grouping.over == "both" else _add_up(sums, grouping, count)
        chances = list(by_group(points, codes, count))
        images = _images_by_group(points, codes, count)
        found += _groups_of_kind(grouping.kind, grouping.names, total, images, chances)
    return tuple(sorted(found, key=lambda g: (not g.enough, -g.mace, g.kind, g.name)))


def _codes_of_points(points: Points, grouping: Grouping) -> IntArray:
    """The group of each usable keypoint [M]."""
    small = grouping.codes.astype(np.min_scalar_type(len(grouping.names)))
    places = {"keypoint": points.keypoint, "image": points.image}
    return small if grouping.over == "both" else small[places[grouping.over]]


def _add_up(sums: Sums, grouping: Grouping, groups: int) -> FloatArray:
    of = sums.by_image
    columns: Iterable[FloatArray] = (
        sums.by_keypoint.T if grouping.over == "keypoint" else map(of.column, range(COLUMNS))
    )
    return np.stack([np.bincount(grouping.codes, column, groups) for column in columns], axis=1)


def _images_by_group(points: Points, codes: IntArray, groups: int) -> list[int]:
    # Pairs of group and image as a table of marks: one byte each, no sorting.
    seen = np.zeros((groups, points.n_images), dtype=np.bool_)
    for part in blocks(points.n):
        seen[codes[part], points.image[part]] = True
    counts: list[int] = seen.sum(axis=1).tolist()
    return counts


def _groups_of_kind(
    kind: str,
    names: Sequence[str],
    sums: FloatArray,
    images: list[int],
    chances: Sequence[tuple[int, MaceByChance | None]],
) -> list[GroupCalibration]:
    result = numbers(sums)
    return [
        GroupCalibration(
            kind=kind,
            name=name,
            n_keypoints=int(result.n[i]),
            n_images=images[i],
            enough=int(result.n[i]) >= MIN_KEYPOINTS and units >= MIN_UNITS,
            mace_by_chance=None if chance is None else chance.mean,
            mace_by_chance_most=None if chance is None else chance.most,
            coverage_90=float(result.coverage[i, 2]),
            **result.floats(*_SHOWN, group=i),
        )
        for i, (name, (units, chance)) in enumerate(zip(names, chances, strict=True))
        if name and sums[i, 0] > 0
    ]
