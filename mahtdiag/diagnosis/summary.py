"""From per-image records to the numbers of a whole run, with intervals that resample images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.bootstrap import percentile_interval, resampled_sums
from mahtdiag.schema.skeleton import CORNERS, View

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
class RadialErrors:
    """Radial errors of some keypoints.

    Millimetres cover the images with a known spacing only and are None if there is none. Success detection
    rates are by threshold: the share of errors that do not exceed it.
    """

    radial_error_px: ErrorStatistics
    radial_error_mm: ErrorStatistics | None
    sdr_px: dict[str, Estimate]
    sdr_mm: dict[str, Estimate] | None


@dataclass(frozen=True, slots=True)
class GroupError(RadialErrors):
    """Radial errors of one vertebra or one corner, and where the largest was seen."""

    name: str
    worst_image: str

    @property
    def mean(self) -> Estimate:
        """Mean error in pixels."""
        errors = self.radial_error_px
        return Estimate(errors.mean, errors.ci95, errors.count)

    @property
    def median(self) -> float:
        """Median error in pixels."""
        return self.radial_error_px.median

    @property
    def p95(self) -> float:
        """95th percentile of the errors in pixels."""
        return self.radial_error_px.p95

    @property
    def max(self) -> float:
        """Largest error in pixels."""
        return self.radial_error_px.max


@dataclass(frozen=True, slots=True)
class ErrorSummary(RadialErrors):
    """All that a run says about radial errors and losses; a group without annotated keypoints is left out."""

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
    errors = _Errors(error_px, error_mm)
    errors.add_to(means, "")
    vertebrae, corners = (_members(names) for names in (view.vertebra_of, view.corner_of))
    for name, members in (*vertebrae.items(), *corners.items()):
        errors.of(members).add_to(means, name)
    for name in LOSS_NAMES:
        means.add(f"loss {name}", losses[name])
    found = means.estimates()
    overall = errors.summary("", found)
    return ErrorSummary(
        radial_error_px=overall.radial_error_px,
        radial_error_mm=overall.radial_error_mm,
        sdr_px=overall.sdr_px,
        sdr_mm=overall.sdr_mm,
        by_vertebra=_groups(view.vertebrae, vertebrae, found, errors, images),
        by_corner=_groups(CORNERS, corners, found, errors, images),
        losses={name: found[f"loss {name}"] for name in LOSS_NAMES if f"loss {name}" in found},
        missing=int((~np.isfinite(error_px)).sum()),
    )


@dataclass(frozen=True, slots=True)
class _Errors:
    """Errors `[N, K]` of some keypoints in both units, NaN where there is no value."""

    px: Floats
    mm: Floats

    def of(self, members: list[int]) -> "_Errors":
        """Of these keypoints alone."""
        return _Errors(self.px[:, members], self.mm[:, members])

    def add_to(self, means: _Means, group: str) -> None:
        """Have the means and rates of a group estimated; there are none in an unknown unit."""
        for unit, errors, thresholds in (("px", self.px, SDR_PX), ("mm", self.mm, SDR_MM)):
            if np.isfinite(errors).any():
                means.add(f"{group} {unit}", errors)
                for threshold in thresholds:
                    means.add(f"{group} {unit} <= {threshold:g}", success(errors, threshold))

    def summary(self, group: str, found: Mapping[str, Estimate]) -> RadialErrors:
        """What was found of a group."""
        has_mm = f"{group} mm" in found
        return RadialErrors(
            radial_error_px=_statistics(self.px, found[f"{group} px"]),
            radial_error_mm=_statistics(self.mm, found[f"{group} mm"]) if has_mm else None,
            sdr_px={f"{t:g}": found[f"{group} px <= {t:g}"] for t in SDR_PX},
            sdr_mm={f"{t:g}": found[f"{group} mm <= {t:g}"] for t in SDR_MM} if has_mm else None,
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
    errors: _Errors,
    images: Sequence[str],
) -> tuple[GroupError, ...]:
    groups = []
    for name in names:
        if f"{name} px" not in found:
            continue
        own = errors.of(members[name])
        worst = int(np.where(np.isfinite(own.px), own.px, -1.0).max(1).argmax())
        summary = own.summary(name, found)
        groups.append(
            GroupError(
                summary.radial_error_px,
                summary.radial_error_mm,
                summary.sdr_px,
                summary.sdr_mm,
                name,
                images[worst],
            )
        )
    return tuple(groups)
