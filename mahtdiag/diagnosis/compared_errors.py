"""Radial errors, losses and kinds of mistakes of two runs, by the names that `run.json` has for them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType, classify_errors, whole_image_level_shift
from mahtdiag.diagnosis.compared_run import ComparedRun, Ratios
from mahtdiag.diagnosis.paired import PairedReading, Reading
from mahtdiag.diagnosis.summary import success
from mahtdiag.schema.views import View

Floats = NDArray[np.float64]

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


def add_errors(ratios: Ratios, a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> None:
    """Gather the means and success rates among `names`."""
    pairs = _pairs(a, b)
    for name in names:
        asked = _parsed(name, a.view)
        if asked is None or asked.statistic != MEAN:
            continue
        errors = [side[:, asked.keypoints] for side in pairs[asked.unit]]
        if asked.threshold is not None:
            errors = [success(side, asked.threshold) for side in errors]
        ratios.mean(name, *errors)


def quantile_reading(a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> PairedReading | None:
    """Quantiles of the errors of all keypoints among `names`; None if there are none."""
    pairs = _pairs(a, b)
    chosen, found = [], []
    for name in names:
        asked = _parsed(name, a.view)
        if asked is None or asked.statistic not in QUANTILES:
            continue
        level = QUANTILES[asked.statistic]
        errors = [side[:, asked.keypoints] for side in pairs[asked.unit]]
        if np.isfinite(errors[0]).any():
            chosen.append(name)
            found.append([_Quantile.of(side, level) for side in errors])
    if not chosen:
        return None
    sides = [_quantiles([pair[side] for pair in found]) for side in (0, 1)]
    return PairedReading(tuple(chosen), sides[0], sides[1])


def _pairs(a: ComparedRun, b: ComparedRun) -> dict[str, tuple[Floats, Floats]]:
    """Errors of both runs `[N, K]` by unit, NaN where either has none."""
    known = np.isfinite(a.error_px) & np.isfinite(b.error_px)
    in_px = [np.where(known, side.error_px, np.nan) for side in (a, b)]
    both = np.isfinite(a.spacing_mm) & np.isfinite(b.spacing_mm)
    spacing = [np.where(both, side.spacing_mm, np.nan)[:, None] for side in (a, b)]
    return {
        "px": (in_px[0], in_px[1]),
        "mm": (in_px[0] * spacing[0], in_px[1] * spacing[1]),
    }


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
    def of(errors: Floats, level: float) -> "_Quantile":
        known = np.isfinite(errors)
        ordered = np.sort(errors[known])
        estimate = float(np.quantile(ordered, level))
        below = (np.where(known, errors, np.inf) <= estimate).sum(axis=1)
        sums = np.stack([below, known.sum(axis=1)], axis=1).astype(np.float64)
        return _Quantile(ordered, level, float(sums[:, 0].sum() / sums[:, 1].sum()), sums)

    def numbers(self, sums: Floats) -> Floats:
        """Sums `[..., 2]` to quantiles `[...]`, NaN where a resample has no error at all."""
        share = np.full(sums.shape[:-1], np.nan)
        np.divide(sums[..., 0], sums[..., 1], out=share, where=sums[..., 1] > 0)
        place = np.clip(self.level - (share - self.share), 0.0, 1.0) * (self.ordered.size - 1)
        known = np.isfinite(place)
        below = np.where(known, place, 0.0).astype(np.int64)
        above = np.minimum(below + 1, self.ordered.size - 1)
        low, high = self.ordered[below], self.ordered[above]
        # The same interpolation as in the estimate, which `np.quantile` gives.
        return np.where(known, low + (high - low) * (place - below), np.nan)


def _quantiles(quantiles: list[_Quantile]) -> Reading:
    per_image = np.concatenate([quantile.per_image for quantile in quantiles], axis=1)

    def numbers(sums: Floats) -> Floats:
        return np.stack([q.numbers(sums[..., 2 * i : 2 * i + 2]) for i, q in enumerate(quantiles)], axis=-1)

    # The quantile of one image's errors is another number than that of all, so no image has a value.
    return Reading(per_image, numbers, np.full((len(per_image), len(quantiles)), np.nan))


def add_losses(ratios: Ratios, a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> None:
    """Gather the mean losses among `names`."""
    for name in names:
        part = name.removeprefix(LOSSES)
        if name.startswith(LOSSES) and part in a.losses and part in b.losses:
            ratios.mean(name, a.losses[part], b.losses[part])


def add_error_types(ratios: Ratios, a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> None:
    """Gather the shares and counts of kinds of mistakes, and the level shifts, among `names`."""
    chosen = [name for name in names if name.startswith(TYPES) or name in LEVEL_SHIFTS]
    if any(name.startswith(TYPES) for name in chosen):
        types = [classify_errors(side.pred_px, side.gt_px, side.view).types for side in (a, b)]
        known = (types[0] != ErrorType.UNKNOWN) & (types[1] != ErrorType.UNKNOWN)
    for name in chosen:
        if name in LEVEL_SHIFTS:
            shifted = [(whole_image_level_shift(x.pred_px, x.gt_px) != 0).astype(np.float64) for x in (a, b)]
            ratios.total(name, *shifted)
            continue
        title, _, number = name.removeprefix(TYPES).rpartition(".")
        kind = next((kind for kind in ErrorType if kind.title == title), None)
        if kind is None:
            continue
        of_kind = [np.where(known, (side == kind).astype(np.float64), np.nan) for side in types]
        if number == "keypoint_share":
            ratios.mean(name, *of_kind)
        elif number == "keypoints":
            ratios.total(name, *(np.nansum(side, axis=1) for side in of_kind))
