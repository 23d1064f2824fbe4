"""Calibration of σ: what `calibration` reports, and of it what two runs are compared by."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.scores import COVERAGE_LEVELS, Points, collect_points
from mahtdiag.calibration.sums import COUNT_COLUMNS, SCORE_COLUMNS, image_sums, mean_scores, numbers_of
from mahtdiag.diagnosis.metrics.measures import Columns, Paired, TwoRuns
from mahtdiag.diagnosis.metrics.metric import (
    Better,
    Compared,
    Group,
    IntervalKind,
    Key,
    Metric,
    Need,
    everything,
)
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import RankedImage, Ranking, largest_known, measured, of
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CALIBRATION, GROUPS = "calibration", "groups"
SIGMA = Need("it has no σ; evaluate with --uncertainty heatmap", "σ is not known in both runs")
TABLE = "Predicted uncertainty; of intervals and ellipses what they hold"
# Below this share of each other two scores count as equal.
ROUNDING = 1e-4

NONE, MEAN, SQUARES, GAP = IntervalKind.NONE, IntervalKind.MEAN, IntervalKind.SQUARES, IntervalKind.GAP
ALWAYS, ASKED, NEVER = Compared.ALWAYS, Compared.ASKED, Compared.NEVER
LOWER, HIGHER, NEITHER = Better.LOWER, Better.HIGHER, Better.NEITHER


@dataclass(frozen=True, slots=True)
class _OfSums:
    """A function of sums of two runs, of scores (0) or of counts by level (1).

    `gap`: it is a distance from a target.
    """

    sums: int
    number: Callable[[Floats], Floats]
    gap: bool = False

    def value(self, _: RunTable) -> None:
        """Told by the calibration report."""

    def paired(self, runs: TwoRuns) -> Paired | None:
        """Over keypoints with a label and a usable σ in both runs; None where there is none."""
        found = runs.once(_sums)
        if found is None:
            return None
        keypoints = runs.counted(found[0][0][:, 0])[0][:, 0]
        return Paired((found[self.sums],), self.number, self.number, keypoints, apart=self.gap)


def _of_scores(name: str) -> _OfSums:
    return _OfSums(0, lambda sums: np.asarray(getattr(numbers_of(sums, SCORE_COLUMNS), name)))


def _mean_score(name: str) -> _OfSums:
    return _OfSums(0, lambda sums: mean_scores(sums)[name])


def _of_counts(name: str) -> _OfSums:
    return _OfSums(1, lambda sums: np.asarray(getattr(numbers_of(sums, COUNT_COLUMNS), name)), gap=True)


def _of_level(name: str, level: int) -> _OfSums:
    return _OfSums(1, lambda sums: np.asarray(getattr(numbers_of(sums, COUNT_COLUMNS), name)[..., level]))


def calibration_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """All numbers of the section `calibration` but those of its groups."""
    whole = everything(skeleton)
    metric = partial(_metric, whole)
    return (
        *(metric(name, NEITHER, unit="count") for name in ("n_keypoints", "n_images", "missing")),
        *(metric(name, LOWER, unit="count") for name in ("invalid_sigma", "invalid_residual")),
        metric("mace", LOWER, most=1.0, interval=GAP, label="MACE", measure=_of_counts("mace"),
               compared=ALWAYS, proposed=10),
        metric("nll", LOWER, least=None, interval=SQUARES, label="NLL", measure=_mean_score("nll"),
               compared=ALWAYS),
        metric("crps_px", LOWER, unit="px", interval=MEAN, label="CRPS, px",
               measure=_mean_score("crps_px"), compared=ALWAYS),
        metric("sharpness_px", NEITHER, unit="px", interval=SQUARES, label="sharpness, px",
               measure=_of_scores("sharpness_px"), compared=ALWAYS),
        metric("sigma_scale", NEITHER, interval=SQUARES, label="best σ scale",
               measure=_of_scores("sigma_scale"), compared=ALWAYS, proposed=11),
        *(metric(name, NEITHER, interval=MEAN) for name in ("core_scale", "tail_scale")),
        *(metric(name, NEITHER, most=1.0) for name in ("mace_by_chance", "mace_by_chance_most")),
        *_coverage(whole, "coverage", "interval", ()),
        metric("radial.mace", LOWER, most=1.0, interval=GAP, label="MACE of ellipses",
               measure=_of_counts("radial_mace"), compared=ALWAYS),
        *_coverage(whole, "radial_coverage", "ellipse", ("radial",)),
        metric("radial.sigma_scale", NEITHER, interval=SQUARES, measure=_of_scores("radial_sigma_scale"),
               compared=ASKED),
        *(metric(name, LOWER, most=1.0, interval=GAP, measure=_of_counts(name), compared=ASKED)
          for name in ("rmsce", "miscalibration_area")),
        *(metric(name, LOWER, unit="px", interval=MEAN, measure=_mean_score(name), compared=ASKED)
          for name in ("check", "interval")),
        *(metric(name, NEITHER, least=None, interval=MEAN, measure=_of_scores(name), compared=ASKED)
          for name in ("bias_x", "bias_y")),
        metric("ence", LOWER, interval=SQUARES),
        metric("spearman", HIGHER, least=-1.0, most=1.0, interval=MEAN),
        metric("ause", LOWER, interval=MEAN),
        metric("expected_error.spearman", HIGHER, least=-1.0, most=1.0, interval=MEAN),
        metric("expected_error.ratio", NEITHER),
        metric("auc_large_error", HIGHER, most=1.0),
        *(metric(name, LOWER, most=1.0, unit="share") for name in ("at_min_share", "at_max_share")),
        *(metric(name, NEITHER, most=1.0, unit="share") for name in ("aleatoric_share", "epistemic_share")),
    )  # fmt: skip


def _metric(
    group: Group,
    name: str,
    better: Better,
    *,
    label: str = "",
    least: float | None = 0.0,
    most: float | None = None,
    unit: str = "",
    interval: IntervalKind = NONE,
    measure: _OfSums | None = None,
    compared: Compared = NEVER,
    proposed: int = 0,
) -> Metric:
    *record, number = name.split(".")
    return Metric(
        path=(CALIBRATION, *record, number),
        label=label or name,
        group=group,
        better=better,
        least=least,
        most=most,
        unit=unit,
        measure=measure,
        interval=interval,
        interval_path=(CALIBRATION, *record, "ci95", number),
        behind=behind_sigma(number, group),
        need=SIGMA,
        table=TABLE,
        compared=compared,
        proposed=proposed,
    )


def _coverage(group: Group, name: str, region: str, record: tuple[str, ...]) -> Iterator[Metric]:
    """What share of the errors lies inside the intervals, or ellipses, of each level."""
    for place, level in enumerate(COVERAGE_LEVELS):
        path = (CALIBRATION, *record, "coverage", Key(f"{level:g}"))
        yield Metric(
            path=(*path, "observed"),
            label=f"{100 * level:g} % {region}, %",
            group=group,
            better=NEITHER,
            most=1.0,
            unit="share",
            measure=_of_level(name, place),
            interval=IntervalKind.SHARE,
            interval_path=(*path, "ci95"),
            behind=behind_sigma("observed", group),
            need=SIGMA,
            table=TABLE,
            compared=ALWAYS,
        )


def _sums(runs: TwoRuns) -> tuple[Columns, Columns] | None:
    """Scores and counts by image of both runs, 0 for an image without a keypoint usable in both."""
    images = len(runs.a)
    scores = [np.zeros((images, len(SCORE_COLUMNS))) for _ in "ab"]
    # One image has few residuals, two of each keypoint.
    few = np.min_scalar_type(2 * runs.a.skeleton.keypoints)
    counts = [np.zeros((images, len(COUNT_COLUMNS)), dtype=few) for _ in "ab"]
    first = 0
    for tables in runs.parts():
        points = [_points(table) for table in tables]
        both = points[0].kept & points[1].kept
        rows = first + np.flatnonzero(both.any(axis=1))
        for side, table, each in zip((0, 1), tables, points, strict=True):
            sums = image_sums(each if np.array_equal(each.kept, both) else _points(table, both))
            scores[side][rows] = sums.take(SCORE_COLUMNS, axis=1)
            counts[side][rows] = sums.take(COUNT_COLUMNS, axis=1)
        first += len(tables[0])
    if not scores[0].any():
        return None
    return (scores[0], scores[1]), (counts[0], counts[1])


def _points(table: RunTable, only: Bools | None = None) -> Points:
    """The usable keypoints of a table, of those alone that are given `[N, K]`."""
    residual = table.pred_px - table.gt_px
    if only is not None:
        residual[~only] = np.nan
    return collect_points(residual, table.sigma_px, table.covariance_px2)


def behind_sigma(number: str, group: Group) -> Callable[[RunTable], Ranking] | None:
    """Ranks images by their largest |z|, z = error/σ per axis; by σ itself for its size and bounds.

    None for counts and for shares of σ², which no image stands for.
    """
    if number in ("n_keypoints", "n_images", "missing", "invalid_sigma", "invalid_residual",
                  "aleatoric_share", "epistemic_share"):  # fmt: skip
        return None
    if number in ("sharpness_px", "at_min_share", "at_max_share"):
        return partial(_by_size, group=group, sign=-1.0 if number == "at_min_share" else 1.0)
    return partial(_by_z, group=group)


def _by_size(table: RunTable, group: Group, sign: float) -> Ranking:
    sigma = group.of(table.sigma_px).reshape(len(table), -1)
    of_image = sign * largest_known(sign * sigma)
    return measured(f"σ{of(group.name)}", "px", of_image, table.image, rises=sign > 0)


def _by_z(table: RunTable, group: Group) -> Ranking:
    residual_px, sigma_px = (group.of(x) for x in (table.pred_px - table.gt_px, table.sigma_px))
    usable = np.isfinite(residual_px) & np.isfinite(sigma_px) & (sigma_px > 0)
    z = np.full(residual_px.shape, np.nan)
    np.divide(np.abs(residual_px), sigma_px, out=z, where=usable)
    by_axis = z.reshape(len(table), -1)
    of_image = largest_known(by_axis)

    def row(image: int) -> RankedImage:
        largest = np.flatnonzero(by_axis[image] > (1 - ROUNDING) * of_image[image])
        keypoint, axis = divmod(int(largest[0]), 2)
        name = table.skeleton.keypoint_names[group.keypoints[keypoint]]
        return RankedImage(table.image[image], float(of_image[image]), "σ", f" at {name} in {'xy'[axis]}")

    most, fewest = (f"{word} error in σ{of(group.name)}" for word in ("largest", "smallest"))
    return Ranking(most, fewest, table.image, of_image, row, rises=None)
