"""Radial errors, losses and kinds of mistakes of two runs, by the names that `run.json` has for them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType, classify_errors, whole_image_level_shift
from mahtdiag.diagnosis.compared_run import ComparedRun, Ratios, image_blocks
from mahtdiag.diagnosis.paired import PairedReading, Reading, never_alone
from mahtdiag.diagnosis.summary import LOSS_NAMES
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

MEAN = "mean"
QUANTILES = {"median": 0.5, "p90": 0.9, "p95": 0.95}
LOSSES, TYPES = "losses.", "error_types.by_type."
LEVEL_SHIFTS = ("error_types.level_shifts", "anatomy.level_shifts")
_NAME = re.compile(r"(?:(vertebrae|corners)\.(\w+)\.)?(?:radial_error_(px|mm)\.(\w+)|sdr_(px|mm)\.([\d.]+))")
_GROUP = re.compile(r"by_(vertebra|corner)\.(\w+)")


@dataclass(frozen=True, slots=True)
class _ErrorName:
    """What a name such as `vertebrae.L5.radial_error_px.median` asks for."""

    keypoints: tuple[int, ...]
    unit: str
    statistic: str = MEAN
    threshold: float | None = None


def _parsed(name: str, view: View) -> _ErrorName | None:
    """None for a name of another kind, a group that the view lacks, or a statistic of single keypoints."""
    found = _GROUP.fullmatch(name)
    if found is not None:
        members = _members(view, found[1], found[2])
        return _ErrorName(members, "px") if members else None
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    members = _members(view, found[1], found[2])
    if not members or found[4] not in (None, MEAN, *QUANTILES):
        return None
    if found[5] is None:
        return _ErrorName(members, found[3], found[4])
    return _ErrorName(members, found[5], threshold=float(found[6]))


def _members(view: View, kind: str | None, name: str) -> tuple[int, ...]:
    if kind is None:
        return tuple(range(view.keypoints))
    group_of = view.vertebra_of if kind.startswith("vertebra") else view.corner_of
    return tuple(k for k, group in enumerate(group_of) if group == name)


def has_error(name: str, view: View) -> bool:
    """Whether a name is that of a mean, quantile or success rate of radial errors of the view."""
    return _parsed(name, view) is not None


def has_loss(name: str, _: View) -> bool:
    """Whether a name is that of a mean loss."""
    return name.startswith(LOSSES) and name.removeprefix(LOSSES) in LOSS_NAMES


def has_error_type(name: str, _: View) -> bool:
    """Whether a name is that of a share or count of a kind of mistake, or of level shifts."""
    return name in LEVEL_SHIFTS or _kind(name) is not None


def _kind(name: str) -> tuple[ErrorType, str] | None:
    """`jitter` and `keypoint_share` of `error_types.by_type.jitter.keypoint_share`."""
    title, _, number = name.removeprefix(TYPES).rpartition(".")
    kind = next((kind for kind in ErrorType if kind.title == title and kind is not ErrorType.UNKNOWN), None)
    known = name.startswith(TYPES) and kind is not None and number in ("keypoint_share", "keypoints")
    return (kind, number) if known and kind is not None else None


class ErrorPairs:
    """Errors of both runs `[N, K]` in both units, at the keypoints whose error is known in both."""

    def __init__(self, a: ComparedRun, b: ComparedRun) -> None:
        self._view = a.view
        known = np.isfinite(a.error_px) & np.isfinite(b.error_px)
        with_mm = known & (np.isfinite(a.spacing_mm) & np.isfinite(b.spacing_mm))[:, None]
        self._known = {"px": known, "mm": with_mm}
        self._errors = {
            "px": (a.error_px, b.error_px),
            "mm": (a.error_px * a.spacing_mm[:, None], b.error_px * b.spacing_mm[:, None]),
        }

    def add_means(self, ratios: Ratios, names: Iterable[str]) -> None:
        """Gather the means and success rates among `names`."""
        for name in names:
            asked = _parsed(name, self._view)
            if asked is None or asked.statistic != MEAN:
                continue
            known, errors = self._of(asked)
            if asked.threshold is None:
                sums = [np.where(known, side, 0.0).sum(axis=1) for side in errors]
                ratios.quotient(name, sums[0], sums[1], known.sum(axis=1))
            else:
                # A NaN is below no threshold.
                hits = [((side <= asked.threshold) & known).sum(axis=1) for side in errors]
                ratios.quotient(name, hits[0], hits[1], known.sum(axis=1))

    def quantiles(self, names: Iterable[str]) -> PairedReading | None:
        """Quantiles of the errors of all keypoints among `names`; None if there are none."""
        chosen: list[str] = []
        found: list[tuple[_Quantile, _Quantile]] = []
        ordered: dict[tuple[object, ...], tuple[Floats, Floats]] = {}
        for name in names:
            asked = _parsed(name, self._view)
            if asked is None or asked.statistic not in QUANTILES:
                continue
            known, (a, b) = self._of(asked)
            if not known.any():
                continue
            key = asked.unit, asked.keypoints
            if key not in ordered:
                ordered[key] = np.sort(a[known]), np.sort(b[known])
            level = QUANTILES[asked.statistic]
            sorted_a, sorted_b = ordered[key]
            chosen.append(name)
            found.append((_Quantile.of(sorted_a, level, a, known), _Quantile.of(sorted_b, level, b, known)))
        if not chosen:
            return None
        sides = [_quantiles([pair[side] for pair in found]) for side in (0, 1)]
        return PairedReading(tuple(chosen), sides[0], sides[1])

    def _of(self, asked: _ErrorName) -> tuple[Bools, tuple[Floats, Floats]]:
        """Which errors count, and the errors, of the keypoints asked for."""
        known, (a, b) = self._known[asked.unit], self._errors[asked.unit]
        if len(asked.keypoints) == known.shape[1]:
            return known, (a, b)
        return known[:, asked.keypoints], (a[:, asked.keypoints], b[:, asked.keypoints])


@dataclass(frozen=True, slots=True)
class _Quantile:
    """A quantile as a function of the share of errors below its estimate.

    If a resample holds the share F* of its errors at or below the estimate, and the sample F, then its own
    quantile at level p lies where the sample has its quantile at p − (F* − F): two sums per image instead
    of a sort per resample. Source: Bahadur, Annals of Mathematical Statistics 37 (1966); Woodruff, Journal
    of the American Statistical Association 47 (1952).
    """

    ordered: Floats
    level: float
    share: float
    per_image: Floats

    @staticmethod
    def of(ordered: Floats, level: float, errors: Floats, known: Bools) -> "_Quantile":
        below = ((errors <= _at(ordered, np.array(level))) & known).sum(axis=1)
        sums = np.stack([below, known.sum(axis=1)], axis=1).astype(np.float64)
        return _Quantile(ordered, level, float(sums[:, 0].sum() / sums[:, 1].sum()), sums)

    def numbers(self, sums: Floats) -> Floats:
        """Sums `[..., 2]` to quantiles `[...]`, NaN where a resample has no error at all."""
        share = np.full(sums.shape[:-1], np.nan)
        np.divide(sums[..., 0], sums[..., 1], out=share, where=sums[..., 1] > 0)
        return _at(self.ordered, np.clip(self.level - (share - self.share), 0.0, 1.0))


def _at(ordered: Floats, level: Floats) -> Floats:
    """Quantiles of ascending values, as `np.quantile` interpolates them; NaN at a NaN."""
    place = level * (ordered.size - 1)
    below = np.where(np.isfinite(place), place, 0.0).astype(np.int64)
    above = np.minimum(below + 1, ordered.size - 1)
    return np.asarray(ordered[below] + (ordered[above] - ordered[below]) * (place - below))


def _quantiles(quantiles: list[_Quantile]) -> Reading:
    per_image = np.concatenate([quantile.per_image for quantile in quantiles], axis=1)

    def numbers(sums: Floats) -> Floats:
        return np.stack([q.numbers(sums[..., 2 * i : 2 * i + 2]) for i, q in enumerate(quantiles)], axis=-1)

    # The quantile of one image's errors is another number than that of all.
    return Reading(per_image, numbers, never_alone)


def add_losses(ratios: Ratios, a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> None:
    """Gather the mean losses among `names`."""
    for name in names:
        part = name.removeprefix(LOSSES)
        if has_loss(name, a.view) and part in a.losses and part in b.losses:
            ratios.mean(name, a.losses[part], b.losses[part])


def add_error_types(ratios: Ratios, a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> None:
    """Gather the shares and counts of kinds of mistakes, and the level shifts, among `names`."""
    names = list(names)
    for name in names:
        if name in LEVEL_SHIFTS:
            shifted = [_level_shifts(side) != 0 for side in (a, b)]
            ratios.total(name, shifted[0], shifted[1])
    kinds = {name: asked for name in names if (asked := _kind(name)) is not None}
    if not kinds:
        return
    types = [_error_types(side) for side in (a, b)]
    known = (types[0] != ErrorType.UNKNOWN) & (types[1] != ErrorType.UNKNOWN)
    for name, (kind, number) in kinds.items():
        of_kind = [((side == kind) & known).sum(axis=1) for side in types]
        if number == "keypoint_share":
            ratios.quotient(name, of_kind[0], of_kind[1], known.sum(axis=1))
        else:
            ratios.total(name, of_kind[0], of_kind[1])


def _level_shifts(run: ComparedRun) -> Ints:
    blocks = image_blocks(run.images)
    return np.concatenate([whole_image_level_shift(run.pred_px[some], run.gt_px[some]) for some in blocks])


def _error_types(run: ComparedRun) -> Ints:
    """Error type of every keypoint `[N, K]`."""
    blocks = image_blocks(run.images)
    parts = [classify_errors(run.pred_px[some], run.gt_px[some]).types for some in blocks]
    return np.concatenate(parts)
