"""From per-image records to the numbers of a whole run, with intervals that resample images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.bootstrap import percentile_interval, resampled_sums
from mahtdiag.schema.views import CORNERS, View

Floats = NDArray[np.float64]
Interval = tuple[float, float]

SDR_PX = (2.0, 4.0, 8.0, 16.0)
SDR_MM = (2.0, 2.5, 3.0, 4.0)
LOSS_NAMES = ("total", "heatmap", "coord", "anatomical", "order", "parallel", "ratio", "uncertainty")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean or a rate with its 95 % interval (None for a single image) and how many values it rests on."""

    value: float
    ci95: Interval | None
    count: int


@dataclass(frozen=True, slots=True)
class ErrorStatistics:
    """Distribution of radial errors over annotated keypoints; the interval belongs to the mean."""

    mean: float
    median: float
    std: float
    p90: float
    p95: float
    max: float
    ci95: Interval | None
    count: int


@dataclass(frozen=True, slots=True)
class GroupError:
    """Radial errors of one vertebra or one corner, in pixels, and where the largest was seen."""

    name: str
    mean: Estimate
    median: float
    p95: float
    max: float
    worst_image: str


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """All that a run says about radial errors and losses.

    Millimetres cover the images with a known spacing only and are None if there is none. Success detection
    rates are by threshold: the share of errors that do not exceed it. A group without any annotated keypoint
    is left out.
    """

    radial_error_px: ErrorStatistics
    radial_error_mm: ErrorStatistics | None
    sdr_px: dict[str, Estimate]
    sdr_mm: dict[str, Estimate] | None
    by_vertebra: tuple[GroupError, ...]
    by_corner: tuple[GroupError, ...]
    losses: dict[str, Estimate]
    missing: int


class _Means:
    """Means of per-image values and their intervals, all from the same resampled images."""

    def __init__(self, images: int, resamples: int, seed: int) -> None:
        self._images, self._resamples, self._seed = images, resamples, seed
        self._names: list[str] = []
        self._columns: list[Floats] = []

    def add(self, name: str, values: Floats) -> None:
        """Values `[N, ...]`, NaN where there is none."""
        flat = values.reshape(self._images, -1)
        known = np.isfinite(flat)
        self._names.append(name)
        self._columns += [np.where(known, flat, 0.0).sum(1), known.sum(1).astype(np.float64)]

    def estimates(self) -> dict[str, Estimate]:
        """Mean of each, resampled together; a name without a single value is left out."""
        table = np.stack(self._columns, axis=1)
        sums = table.sum(0)
        resampled = resampled_sums(table, self._resamples, self._seed) if self._images > 1 else None
        found = {}
        for i, name in enumerate(self._names):
            count = sums[2 * i + 1]
            if count == 0:
                continue
            interval = None
            # An interval needs at least two images to resample, of those that have such a value.
            if resampled is not None and np.count_nonzero(table[:, 2 * i + 1]) > 1:
                drawn = resampled[:, 2 * i + 1]
                means = np.full(len(drawn), np.nan)
                np.divide(resampled[:, 2 * i], drawn, out=means, where=drawn > 0)
                interval = percentile_interval(means)
            found[name] = Estimate(float(sums[2 * i] / count), interval, int(count))
        return found


def success(error: Floats, threshold: float) -> Floats:
    """1 where an error is at most the threshold, 0 where it is above, NaN where it is unknown."""
    return np.where(np.isfinite(error), (error <= threshold).astype(np.float64), np.nan)


def summarise(
    view: View,
    images: Sequence[str],
    error_px: Floats,
    error_mm: Floats,
    losses: Mapping[str, Floats],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> ErrorSummary:
    """Summary of N evaluated images: errors `[N, K]`, losses by name `[N]`; NaN where there is no value.

    Raises ValueError when no keypoint at all is annotated: there is nothing to say then.
    """
    if not np.isfinite(error_px).any():
        raise ValueError("no annotated keypoint among the evaluated images")
    means = _Means(len(images), resamples, seed)
    means.add("px", error_px)
    means.add("mm", error_mm)
    for threshold in SDR_PX:
        means.add(f"px <= {threshold:g}", success(error_px, threshold))
    for threshold in SDR_MM:
        means.add(f"mm <= {threshold:g}", success(error_mm, threshold))
    for name, members in (*_members(view.vertebra_of).items(), *_members(view.corner_of).items()):
        means.add(name, error_px[:, members])
    for name in LOSS_NAMES:
        means.add(f"loss {name}", losses[name])
    found = means.estimates()
    has_mm = "mm" in found
    return ErrorSummary(
        radial_error_px=_statistics(error_px, found["px"]),
        radial_error_mm=_statistics(error_mm, found["mm"]) if has_mm else None,
        sdr_px={f"{t:g}": found[f"px <= {t:g}"] for t in SDR_PX},
        sdr_mm={f"{t:g}": found[f"mm <= {t:g}"] for t in SDR_MM} if has_mm else None,
        by_vertebra=_groups(view.vertebrae, _members(view.vertebra_of), found, error_px, images),
        by_corner=_groups(CORNERS, _members(view.corner_of), found, error_px, images),
        losses={name: found[f"loss {name}"] for name in LOSS_NAMES if f"loss {name}" in found},
        missing=int((~np.isfinite(error_px)).sum()),
    )


def _members(names: Sequence[str]) -> dict[str, list[int]]:
    """Keypoint indices by name, in the order of first appearance."""
    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(name, []).append(index)
    return members


def _statistics(error: Floats, mean: Estimate) -> ErrorStatistics:
    known = error[np.isfinite(error)]
    median, p90, p95 = np.quantile(known, [0.5, 0.9, 0.95]).tolist()
    return ErrorStatistics(
        mean.value, median, float(known.std()), p90, p95, float(known.max()), mean.ci95, known.size
    )


def _groups(
    names: Sequence[str],
    members: Mapping[str, list[int]],
    found: Mapping[str, Estimate],
    error_px: Floats,
    images: Sequence[str],
) -> tuple[GroupError, ...]:
    groups = []
    for name in names:
        if name not in found:
            continue
        errors = error_px[:, members[name]]
        known = errors[np.isfinite(errors)]
        worst = int(np.where(np.isfinite(errors), errors, -1.0).max(1).argmax())
        median, p95 = np.quantile(known, [0.5, 0.95]).tolist()
        groups.append(GroupError(name, found[name], median, p95, float(known.max()), images[worst]))
    return tuple(groups)
