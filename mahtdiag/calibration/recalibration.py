"""What mends a wrong σ, fitted on some images and judged on others: factors on σ, and a Student-t."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.clustered import NORMAL_CORE
from mahtdiag.calibration.nll_changes import Change, changes_of, nll_change, usable_sigma
from mahtdiag.calibration.scores import (
    BoolArray,
    FloatArray,
    IntArray,
    Points,
    blocks,
    collect_points,
    nll,
)
from mahtdiag.calibration.student import (
    StudentSums,
    StudentT,
    fit_student,
    squares_by_size,
    student_scores,
)
from mahtdiag.calibration.sums import numbers, total_sums
from mahtdiag.schema.numerals import number

MIN_KEYPOINTS = 20
"""A keypoint with fewer labels takes the common factor."""

HARM = 0.01
"""A factor that raises MACE on other images by more, one percent of the errors per level, is harmful."""

HARM_NLL = 0.02
"""So is one that raises the NLL by more, as a factor does that is off by 15 % (the square of its ln)."""

_BLOCK = 2**16

Scope = Literal["global", "keypoint", "core"]
Mend = Literal["global", "keypoint", "core", "student_t"]
_SHOWN = ("mace", "nll", "crps_px", "sigma_scale", "sharpness_px", "radial_mace")


@dataclass(frozen=True, slots=True)
class SigmaScale:
    """Factors on σ: one for all (`common`), one per keypoint [K] (the common one where there is too little).

    `core`: the one that fits half of the errors, whatever the large ones do, median |z| / 0.6745. `n`:
    keypoints behind `common` and `core`; `counts`: behind each of `by_keypoint`.
    """

    common: float
    by_keypoint: FloatArray
    core: float
    n: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RecalibrationRow:
    """One line of the before/after table; `scope` is None for σ as it came.

    `sigma_scale` and `sharpness_px` speak of normal distributions, None for a Student-t.
    """

    scope: Mend | None
    mace: float
    radial_mace: float
    nll: float
    crps_px: float
    sigma_scale: float | None
    sharpness_px: float | None
    coverage_90: float


def fit_sigma_scale(residual_px: ArrayLike, sigma_px: ArrayLike) -> SigmaScale:
    """The factors on σ that minimise the Gaussian NLL: s = sqrt(mean z²), over all and per keypoint.

    Shapes [N, K, 2] both, one unit. Missing keypoints and unusable σ are left out.
    Raises ValueError if nothing is left or all residuals are 0 (a σ of 0 is no uncertainty).
    Source: Levi et al., Sensors 22 (2022); Laves et al., MIDL 2020.
    """
    return fit_scale(collect_points(residual_px, sigma_px))


def fit_scale(points: Points) -> SigmaScale:
    """`fit_sigma_scale` of points."""
    everything = np.zeros(points.n, dtype=np.int8)
    return _scale(_keypoint_sums(points, everything, 1)[0], _size(points, everything == 0))


def _size(points: Points, rows: BoolArray) -> FloatArray:
    """|z| of some points, [rows, 2]."""
    found, first = np.empty((2, int(rows.sum()))).T, 0
    for part in blocks(points.n):
        own = rows[part]
        z = points.residual_px[part][own] / points.sigma_px[part][own]
        found[first : first + len(z)] = np.abs(z)
        first += len(z)
    return found


def apply_sigma_scale(sigma_px: ArrayLike, scale: SigmaScale, scope: Scope = "global") -> FloatArray:
    """σ times its factor. Shape [N, K, 2] in and out; raises ValueError if K does not fit."""
    sigma = np.asarray(sigma_px, dtype=np.float64)
    if scope != "keypoint":
        return sigma * (scale.common if scope == "global" else scale.core)
    if sigma.ndim != 3 or sigma.shape[1] != len(scale.by_keypoint):
        raise ValueError(f"sigma_px {sigma.shape} must be [images, {len(scale.by_keypoint)}, 2]")
    return sigma * scale.by_keypoint[:, np.newaxis]


def cross_fitted_sigma(
    residual_px: ArrayLike,
    sigma_px: ArrayLike,
    *,
    scopes: Sequence[Scope] = ("global",),
    units: ArrayLike | None = None,
    folds: int = 5,
    seed: int = 0,
) -> tuple[FloatArray, ...]:
    """σ recalibrated so that no unit helped to fit its own factor: `folds` folds of whole units.

    Shapes [N, K, 2] in, and out for each of `scopes`; `units` [N] as in `scores.collect_points`. Images
    without a usable keypoint keep the factor of their fold.
    Raises ValueError with fewer than 2 usable units, or where the rest of them has nothing to fit.
    Source: cross-fitting, Stone, J. R. Stat. Soc. B 36 (1974).
    """
    before = np.asarray(sigma_px, dtype=np.float64)
    fitted = cross_fit_sigma(residual_px, before, units=units, folds=folds, seed=seed)
    return tuple(fitted.sigma_px(before, scope) for scope in scopes)


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """Factors that no unit helped to fit for itself: of each fold, and the fold of each image, `[N]`."""

    scales: tuple[SigmaScale, ...]
    fold: IntArray

    def sigma_px(self, before_px: FloatArray, scope: Scope) -> FloatArray:
        """σ with these factors. Shape [N, K, 2] in and out."""
        found = before_px.copy()
        for part, scale in enumerate(self.scales):
            found[self.fold == part] = apply_sigma_scale(before_px[self.fold == part], scale, scope)
        return found

    def sigma_of(self, points: Points, scope: Scope) -> FloatArray:
        """The same of points of these images, [M, 2]."""
        if scope == "keypoint":
            factors = np.stack([scale.by_keypoint for scale in self.scales])
        else:
            of_all = [scale.common if scope == "global" else scale.core for scale in self.scales]
            factors = np.repeat(np.array(of_all)[:, np.newaxis], points.kept.shape[1], axis=1)
        fold = self.fold[points.kept.any(axis=1)]
        return _scaled(points, lambda part: factors[fold[points.image[part]], points.keypoint[part]])


def scaled_sigma(points: Points, scale: SigmaScale, scope: Scope) -> FloatArray:
    """`apply_sigma_scale` of points, [M, 2]."""
    by_keypoint = scale.by_keypoint
    if scope != "keypoint":
        by_keypoint = np.full(len(by_keypoint), scale.common if scope == "global" else scale.core)
    return _scaled(points, lambda part: by_keypoint[points.keypoint[part]])


def _scaled(points: Points, factors: Callable[[slice], FloatArray]) -> FloatArray:
    found = np.empty((2, points.n)).T
    for part in blocks(points.n):
        found[part] = points.sigma_px[part] * factors(part)[:, np.newaxis]
    return found


def cross_fit_sigma(
    residual_px: ArrayLike,
    sigma_px: ArrayLike,
    *,
    units: ArrayLike | None = None,
    folds: int = 5,
    seed: int = 0,
) -> CrossFitted:
    """The factors alone; raises as `cross_fitted_sigma`."""
    return cross_fit_scale(collect_points(residual_px, sigma_px, units=units), folds=folds, seed=seed)


def cross_fit_scale(points: Points, *, folds: int = 5, seed: int = 0) -> CrossFitted:
    """`cross_fit_sigma` of points."""
    of_point, of_image, parts = _folds(points, folds, seed)
    sums = _keypoint_sums(points, of_point, parts)
    # Adding up the others, not subtracting this fold: nothing of it may remain, not even by rounding.
    scales = (
        _scale(np.delete(sums, part, axis=0).sum(axis=0), _size(points, np.asarray(of_point != part)))
        for part in range(parts)
    )
    return CrossFitted(tuple(scales), of_image)


def fit_student_t(residual_px: ArrayLike, sigma_px: ArrayLike) -> StudentT:
    """The Student-t that describes residual / σ best. Shapes [N, K, 2]; raises as `fit_sigma_scale`."""
    return fit_student_of(collect_points(residual_px, sigma_px))


def fit_student_of(points: Points) -> StudentT:
    """`fit_student_t` of points."""
    if points.n == 0:
        raise ValueError("no keypoint with a label and a valid σ: there is nothing to fit")
    everything = np.zeros(points.n, dtype=np.int8)
    return fit_student(squares_by_size(points.residual_px / points.sigma_px, everything, 1)[0])


def student_row(
    residual_px: ArrayLike, sigma_px: ArrayLike, student: StudentT, units: ArrayLike | None = None
) -> tuple[RecalibrationRow, Change]:
    """One line of the table, and the change of the NLL, for a Student-t fitted elsewhere."""
    return student_row_of(collect_points(residual_px, sigma_px, units=units), student)


def student_row_of(points: Points, student: StudentT) -> tuple[RecalibrationRow, Change]:
    """`student_row` of points."""
    if points.n == 0:
        raise ValueError("no keypoint with a label and a valid σ: there is nothing to judge")
    return _student_row(points, np.zeros(points.n, dtype=np.int8), [student])


def cross_fitted_student(
    residual_px: ArrayLike,
    sigma_px: ArrayLike,
    *,
    units: ArrayLike | None = None,
    folds: int = 5,
    seed: int = 0,
) -> tuple[RecalibrationRow, Change]:
    """`student_row` where no unit helped to fit its own distribution; raises as `cross_fitted_sigma`."""
    return cross_fit_student(collect_points(residual_px, sigma_px, units=units), folds=folds, seed=seed)


def cross_fit_student(points: Points, *, folds: int = 5, seed: int = 0) -> tuple[RecalibrationRow, Change]:
    """`cross_fitted_student` of points."""
    fold, _, parts = _folds(points, folds, seed)
    squares = squares_by_size(points.residual_px / points.sigma_px, fold, parts)
    students = [fit_student(np.delete(squares, part, axis=0).sum(axis=0)) for part in range(parts)]
    return _student_row(points, fold, students)


def _student_row(
    points: Points, fold: IntArray, students: Sequence[StudentT]
) -> tuple[RecalibrationRow, Change]:
    """`fold` [M]: which of the distributions judges each keypoint."""
    sums, change = StudentSums(), np.empty(points.n)
    for part in blocks(points.n):
        residual, sigma, own = points.residual_px[part], points.sigma_px[part], fold[part]
        z, scores = residual / sigma, np.empty((len(sigma), 6))
        for number_of, student in enumerate(students):
            rows = own == number_of
            scores[rows] = student_scores(z[rows], sigma[rows], student)
        sums.add(scores)
        change[part] = scores[:, 3] - nll(residual, sigma).mean(axis=1)
    found = sums.summary()
    row = RecalibrationRow(
        "student_t", found.mace, found.radial_mace, found.nll, found.crps_px, None, None, found.coverage_90
    )
    return row, changes_of(points, [change])[0]


def harms(
    before: RecalibrationRow, after: RecalibrationRow, change: Change, by_chance: float | None
) -> tuple[str, ...]:
    """What gets worse on images that were not fitted on, "MACE 0.023 to 0.144"; empty for a harmless factor.

    MACE if it rises by more than `HARM` to more than a right σ shows `by_chance` (None: not known), NLL if
    it rises by more than `HARM_NLL` and beyond chance.
    """
    rises = after.mace - before.mace > HARM and after.mace > (by_chance or 0.0)
    return _named(before, after, mace=rises, nll=change.is_rise and change.value > HARM_NLL)


def gains(
    before: RecalibrationRow, after: RecalibrationRow, change: Change, by_chance: float | None
) -> tuple[str, ...]:
    """What gets better on images that were not fitted on, as `harms` says what gets worse."""
    drops = before.mace - after.mace > HARM and before.mace > (by_chance or 0.0)
    return _named(before, after, mace=drops, nll=change.is_drop)


def _named(before: RecalibrationRow, after: RecalibrationRow, *, mace: bool, nll: bool) -> tuple[str, ...]:
    told = (("MACE", mace, before.mace, after.mace), ("NLL", nll, before.nll, after.nll))
    return tuple(f"{name} {number(old)} to {number(new)}" for name, is_told, old, new in told if is_told)


def recalibration_row(scope: Scope | None, residual_px: ArrayLike, sigma_px: ArrayLike) -> RecalibrationRow:
    """One line of the table for σ as given; `scope` only names it. Shapes [N, K, 2], pixels.

    Raises ValueError with no usable keypoint.
    """
    return row_of(scope, collect_points(residual_px, sigma_px))


def row_of(scope: Scope | None, points: Points) -> RecalibrationRow:
    """`recalibration_row` of points."""
    if points.n == 0:
        raise ValueError("no keypoint with a label and a valid σ: there is nothing to judge")
    found = numbers(total_sums(points))
    return RecalibrationRow(scope, **found.floats(*_SHOWN), coverage_90=float(found.coverage[2]))


def _folds(points: Points, folds: int, seed: int) -> tuple[IntArray, IntArray, int]:
    """A random fold of whole units, equal in size within one: of each point [M] and image [N]; how many.

    Images without a usable keypoint are in the first.
    """
    if points.n_units < 2:
        what = "image" if points.n_units == points.n_images else "patient"
        raise ValueError(f"{points.n_units} usable {what}(s): cross-fitting needs at least 2")
    parts = min(folds, points.n_units)
    of_unit = (np.random.default_rng(seed).permutation(points.n_units) % parts).astype(np.int16)
    of_image = np.zeros(len(points.kept), dtype=np.intp)
    of_image[points.kept.any(axis=1)] = of_unit[points.units_of_images]
    return of_unit[points.unit], of_image, parts


def _keypoint_sums(points: Points, part: IntArray, parts: int) -> FloatArray:
    """Sum of z² over both axes, and count, by part and keypoint: [parts, K, 2]."""
    keypoints = points.kept.shape[1]
    count, squares = np.zeros((2, parts * keypoints))
    for some in blocks(points.n):
        z = points.residual_px[some] / points.sigma_px[some]
        group = part[some].astype(np.intp) * keypoints + points.keypoint[some]
        np.add.at(squares, group, z[:, 0] ** 2 + z[:, 1] ** 2)
        count += np.bincount(group, minlength=parts * keypoints)
    both = np.stack([squares, count], axis=-1)
    return both.reshape(parts, keypoints, 2)


def _scale(sums: FloatArray, size: FloatArray) -> SigmaScale:
    squares, count = sums[:, 0], sums[:, 1]
    n, total = int(count.sum()), float(squares.sum())
    if n == 0:
        raise ValueError("no keypoint with a label and a valid σ: there is no factor to fit")
    if total <= 0.0:
        raise ValueError("all residuals are 0: a factor of 0 would leave no uncertainty")
    common = sqrt(total / (2 * n))
    enough = (count >= MIN_KEYPOINTS) & (squares > 0)
    own = np.sqrt(squares / (2.0 * np.maximum(count, 1.0)))
    # Half of the errors may be 0; a factor of 0 would leave no uncertainty.
    # `size` is not looked at again, so it may be sorted in its place.
    core = float(np.median(size.T, overwrite_input=True)) / NORMAL_CORE or common
    return SigmaScale(common, np.where(enough, own, common), core, n, tuple(int(c) for c in count))


def judge_mends(
    points: Points, after: Callable[[Points, Scope], FloatArray], scopes: Sequence[Scope]
) -> tuple[tuple[RecalibrationRow, ...], tuple[Change, ...]]:
    """`recalibration_row` of σ as it came and `after` each mend, and `nll_changes` of these."""
    rows, changes = [row_of(None, points)], list[Change]()
    usable = np.ones(points.n, dtype=np.bool_)
    for scope in scopes:
        sigma = after(points, scope)
        fine = np.asarray(usable_sigma(sigma).all(axis=1))
        usable &= fine
        rows.append(row_of(scope, _with_sigma(points, sigma, fine)))
    # What is unusable after one mend is left out of all.
    judged = points if usable.all() else _with_sigma(points, points.sigma_px, usable)
    for scope in scopes:
        changes += changes_of(judged, [nll_change(judged, after(judged, scope))])
    return tuple(rows), tuple(changes)


def _with_sigma(points: Points, sigma_px: FloatArray, usable: BoolArray) -> Points:
    """The points with another σ [M, 2], those alone where that is usable [M]."""
    if usable.all():
        return replace(points, sigma_px=sigma_px)
    both = np.full((2, *points.kept.shape, 2), np.nan)
    both[:, points.kept] = points.residual_px, np.where(usable[:, np.newaxis], sigma_px, np.nan)
    units = np.zeros(len(points.kept), dtype=np.int64)
    units[points.kept.any(axis=1)] = points.units_of_images
    return collect_points(*both, units=units)
