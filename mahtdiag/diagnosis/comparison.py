"""Is run B better than run A on the same images: number by number, and as a whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.gates import Margin
from mahtdiag.diagnosis.image_errors import MM, PX, ImageErrors, both_know_mm
from mahtdiag.diagnosis.metrics.calibration import CALIBRATION
from mahtdiag.diagnosis.metrics.errors import MISS_RATE
from mahtdiag.diagnosis.metrics.losses import LOSSES
from mahtdiag.diagnosis.metrics.measures import TwoRuns
from mahtdiag.diagnosis.metrics.metric import Better, Compared, GroupKind, Metric
from mahtdiag.diagnosis.metrics.registry import metric_of, metrics_of
from mahtdiag.diagnosis.paired import (
    SIGNIFICANCE,
    Difference,
    PairedNumber,
    holm,
    paired_differences,
    with_holm,
)
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import Skeleton
from mahtdiag.statistics.sign_flips import SEED, Interval

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PRIMARY = ("radial_error_px.mean", "anatomy.images_with_violations", "calibration.mace")
"""What decides where nothing else is asked for: is B worse, impossible, or wrong about its uncertainty?"""

PRIMARY_MM = ("radial_error_mm.mean", *PRIMARY[1:])
"""The same where both runs know millimetres."""

SPARSE = (GroupKind.RULE, GroupKind.ERROR_TYPE)
"""Rules that fired in neither run and mistakes that neither makes are left out."""


@dataclass(frozen=True, slots=True)
class ListedImages:
    """The images of a run: names, contents and labels by digest (None where unread), which were evaluated."""

    names: Sequence[str]
    sha256: Sequence[str | None]
    annotation_sha256: Sequence[str | None]
    evaluated: NDArray[np.bool_]

    @staticmethod
    def of(table: RunTable) -> "ListedImages":
        """The evaluated images in their order, whose rows are those of the table, then the failed ones."""
        failed = table.failures
        return ListedImages(
            (*table.image, *(failure.image for failure in failed)),
            (*table.image_sha256, *(failure.image_sha256 for failure in failed)),
            (*table.annotation_sha256, *(failure.annotation_sha256 for failure in failed)),
            np.arange(len(table) + len(failed)) < len(table),
        )


@dataclass(frozen=True, slots=True)
class Matching:
    """The images of runs A and B, in the order of A.

    `a`, `b` `[N]`: rows of the images that both runs have evaluated. Names of the others: `only_a` and
    `only_b` have no image of the same content in the other run; `changed` have another content there under
    the same name; `failed_a` and `failed_b` are in both, but failed in that run alone; `failed_both` in both.
    """

    a: Ints
    b: Ints
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    changed: tuple[str, ...]
    failed_a: tuple[str, ...]
    failed_b: tuple[str, ...]
    failed_both: tuple[str, ...]


def match_images(a: ListedImages, b: ListedImages) -> Matching:
    """Pair the images of two runs by content.

    Images of one content are paired in the order of their annotations' digests, then of their names. A failed
    image whose bytes were never read has no content to compare, and is left out.
    """
    rows_a, rows_b = _by_content(a), _by_content(b)
    keys = [key for key in rows_a if key in rows_b]
    pairs = np.array([[rows_a[key] for key in keys], [rows_b[key] for key in keys]], dtype=np.int64)
    pairs = pairs[:, np.argsort(pairs[0])]
    only_a = {a.names[row] for key, row in rows_a.items() if key not in rows_b}
    only_b = {b.names[row] for key, row in rows_b.items() if key not in rows_a}
    # An image that one run could not even read has changed as well.
    changed = (only_a & (only_b | _unread(b))) | (only_b & _unread(a))
    ok_a, ok_b = a.evaluated[pairs[0]], b.evaluated[pairs[1]]

    def named(chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(a.names[row] for row in pairs[0, chosen].tolist())

    return Matching(
        a=pairs[0, ok_a & ok_b],
        b=pairs[1, ok_a & ok_b],
        only_a=tuple(sorted(only_a - changed)),
        only_b=tuple(sorted(only_b - changed)),
        changed=tuple(sorted(changed)),
        failed_a=named(~ok_a & ok_b),
        failed_b=named(ok_a & ~ok_b),
        failed_both=named(~ok_a & ~ok_b),
    )


def _by_content(images: ListedImages) -> dict[str | tuple[str, int], int]:
    """Rows by content; of several images of one content all but the first by content and rank."""
    rows: dict[str | tuple[str, int], int] = {}
    again: dict[str, list[int]] = {}
    for row, sha256 in enumerate(images.sha256):
        if sha256 is not None and rows.setdefault(sha256, row) != row:
            again.setdefault(sha256, [rows[sha256]]).append(row)
    for sha256, same in again.items():
        same.sort(key=lambda row: (images.annotation_sha256[row] or "", images.names[row]))
        rows[sha256] = same[0]
        rows.update({(sha256, rank): row for rank, row in enumerate(same[1:], start=1)})
    return rows


def _unread(images: ListedImages) -> set[str]:
    return {name for name, sha256 in zip(images.names, images.sha256, strict=True) if sha256 is None}


class Verdict(StrEnum):
    """What a comparison shows of B."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no difference"
    TOO_FEW = "too few"


class Outcome(StrEnum):
    """What is shown of a number that decides, given how much worse it may be."""

    BETTER = "better"
    WITHIN = "within margin"
    OPEN = "not shown"
    WORSE = "worse"
    TOO_FEW = "too few"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """A number of both runs. `verdict` is None where neither more nor less of it is better."""

    metric: Metric
    difference: Difference
    verdict: Verdict | None

    @property
    def name(self) -> str:
        """Its name in `run.json`."""
        return self.metric.name

    @property
    def better(self) -> Better:
        """Which way it is better."""
        return self.metric.better


@dataclass(frozen=True, slots=True)
class JudgedMetric:
    """A number that decides: `margin` is how much worse it may be, in its unit, None where it is missing.

    `worsening` is how much worse B is, with its interval: b − a, or a − b where more is better. `p_worse` of
    a worsening no greater than the margin, `p_better` of none, each 1 where it is not seen; `p_holm`: the one
    that was seen, corrected for all numbers that decide. `detectable`: the smallest worsening that would have
    been shown to be beyond the margin in 80 of 100 such sets.
    """

    name: str
    margin: float | None
    worsening: float | None
    worsening_ci95: Interval | None
    outcome: Outcome
    difference: Difference | None = None
    p_worse: float = 1.0
    p_better: float = 1.0
    p_holm: float | None = None
    detectable: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A on N images that both have evaluated.

    `in_px`, `in_mm`: errors image by image; the latter None unless both runs know millimetres of all images.
    `lost`: images that A has evaluated and B has failed on. `judged` decide, and `lost` does. `patients`: how
    many the images are of, None where that is not known. `same`: the runs predict the same but for rounding.
    """

    metrics: tuple[ComparedMetric, ...]
    judged: tuple[JudgedMetric, ...]
    in_px: ImageErrors
    in_mm: ImageErrors | None = None
    lost: tuple[str, ...] = ()
    patients: int | None = None
    same: bool = False

    @property
    def images(self) -> int:
        """Number of images compared."""
        return len(self.in_px.a)

    @property
    def kind_of_units(self) -> str:
        """What is independent."""
        return "images" if self.patients is None else "patients"

    @property
    def errors(self) -> ImageErrors:
        """Errors image by image in the unit that leads: millimetres where both runs know them."""
        return self.in_mm or self.in_px

    @property
    def verdict(self) -> Verdict:
        """Worse if a number that decides is shown to be worse beyond its margin, or images were lost.

        Otherwise none where there are too few images to tell of a number that decides; otherwise better if
        one of them is shown to be better, unless B misses more keypoints than its margin allows: an error
        over what is predicted says nothing of the rest.
        """
        outcomes = {judged.outcome for judged in self.judged}
        if Outcome.WORSE in outcomes or self.lost:
            return Verdict.WORSE
        if Outcome.TOO_FEW in outcomes:
            return Verdict.TOO_FEW
        misses = (each for each in self.judged if each.name == MISS_RATE)
        if any((each.worsening or 0.0) > (each.margin or 0.0) for each in misses):
            return Verdict.SAME
        return Verdict.BETTER if Outcome.BETTER in outcomes else Verdict.SAME

    @property
    def non_inferior(self) -> bool:
        """Whether every number that decides is shown to be within its margin or better, and no image lost."""
        return not self.lost and all(
            judged.outcome in (Outcome.BETTER, Outcome.WITHIN) for judged in self.judged
        )


def compared_names(skeleton: Skeleton, *, in_mm: bool = False) -> tuple[str, ...]:
    """The numbers that are compared where nothing else is asked for, by their names in `run.json`.

    `in_mm`: also the mean errors of vertebrae and corners in millimetres, which both runs know.
    """
    chosen = (Compared.ALWAYS, Compared.IN_MM) if in_mm else (Compared.ALWAYS,)
    return tuple(metric.name for metric in metrics_of(skeleton).values() if metric.compared in chosen)


def compare_runs(
    a: RunTable, b: RunTable, names: Sequence[str], margins: Sequence[Margin], *, seed: int = SEED
) -> Comparison:
    """Compare the named numbers of two runs on the same N images in the same order.

    Left out: numbers that a run does not have, and violation codes and kinds of mistakes that occur in
    neither. A margin on a number that is left out is missing, and decides nothing but non-inferiority.
    """
    runs = TwoRuns(a, b)
    differences = paired_differences(_numbers(runs, names, margins), runs.units, seed=seed)
    order = {name: place for place, name in enumerate(names)}
    known = metrics_of(a.skeleton)
    ordered = sorted(differences, key=lambda each: order[each.name])
    by_name = {each.name: each for each in ordered}
    found = Comparison(
        metrics=tuple(ComparedMetric(known[each.name], each, None) for each in ordered),
        judged=tuple(_judged(margin, by_name.get(margin.metric)) for margin in margins),
        in_px=ImageErrors.of(a, b, PX),
        in_mm=ImageErrors.of(a, b, MM) if both_know_mm(a, b) else None,
        patients=a.patients if a.patients is not None else b.patients,
        same=runs.same,
    )
    return together([found])[0]


def together(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same with every p-value corrected for all pairs of runs, and the outcomes that follow.

    Explored numbers are one family, those that decide another; of these being worse and being better each.
    """
    explored = iter(with_holm([metric.difference for each in comparisons for metric in each.metrics]))
    metrics = [tuple(_compared(m.metric, next(explored)) for m in each.metrics) for each in comparisons]
    deciding = [judged for each in comparisons for judged in each.judged]
    tested = [judged for judged in deciding if judged.worsening_ci95 is not None]
    worse, better = (holm([getattr(j, name) for j in tested]) for name in ("p_worse", "p_better"))
    settled = iter(_settled(j, w, b, len(tested)) for j, w, b in zip(tested, worse, better, strict=True))
    judged = [
        tuple(j if j.worsening_ci95 is None else next(settled) for j in each.judged) for each in comparisons
    ]
    return tuple(
        replace(each, metrics=m, judged=j) for each, m, j in zip(comparisons, metrics, judged, strict=True)
    )


def _numbers(runs: TwoRuns, names: Sequence[str], margins: Sequence[Margin]) -> Iterator[PairedNumber]:
    """The named numbers that both runs have, as functions of sums over their images."""
    judged = {margin.metric for margin in margins}
    metrics = metrics_of(runs.a.skeleton)
    for name in names:
        metric = metrics.get(name)
        paired = None if metric is None else metric.paired(runs)
        if metric is None or paired is None:
            continue
        sparse = metric.sparse or metric.group.kind in SPARSE
        if name in judged or not (sparse and paired.is_nothing):
            counts = metric.unit in ("share", "count") and metric.section != CALIBRATION
            # A σ scale has no unit.
            of_places = metric.unit != "" and metric.section not in (CALIBRATION, LOSSES)
            yield PairedNumber(name, paired, counts, runs.same or (of_places and runs.same_places))


def better_of(name: str) -> Better:
    """Which way a number is better."""
    metric = metric_of(name)
    return Better.NEITHER if metric is None else metric.better


def _compared(metric: Metric, difference: Difference) -> ComparedMetric:
    """Explored numbers differ if p, corrected for all of them, is small."""
    if metric.better is Better.NEITHER:
        return ComparedMetric(metric, difference, None)
    if difference.p_holm is None and not difference.same:
        return ComparedMetric(metric, difference, Verdict.TOO_FEW)
    if difference.p_holm is None or difference.p_holm >= SIGNIFICANCE:
        return ComparedMetric(metric, difference, Verdict.SAME)
    worsening, _ = _worsening(difference, metric.better)
    return ComparedMetric(metric, difference, Verdict.WORSE if worsening > 0.0 else Verdict.BETTER)


def _judged(margin: Margin, difference: Difference | None) -> JudgedMetric:
    """What is known of a number that decides, before the others are."""
    better = better_of(margin.metric)
    if difference is None or better is Better.NEITHER:
        return JudgedMetric(margin.metric, None, None, None, Outcome.MISSING)
    allowed = margin.amount * abs(difference.a) if margin.relative else margin.amount
    worsening, interval = _worsening(difference, better)
    outcome = Outcome.WITHIN if difference.same else Outcome.TOO_FEW
    known = JudgedMetric(margin.metric, allowed, worsening, interval, outcome, difference)
    if difference.test is None:
        return known
    sign = 1.0 if better is Better.LOWER else -1.0
    return replace(
        known,
        p_worse=(difference.p_beyond(sign * allowed) or 0.0) if worsening > allowed else 1.0,
        p_better=(difference.p_value or 0.0) if worsening < 0.0 else 1.0,
    )


def _settled(judged: JudgedMetric, p_worse: float, p_better: float, family: int) -> JudgedMetric:
    """What is shown of a number that decides, from corrected p-values, of `family` that were tested."""
    difference, allowed = judged.difference, judged.margin or 0.0
    if p_worse < SIGNIFICANCE:
        outcome = Outcome.WORSE
    elif p_better < SIGNIFICANCE:
        outcome = Outcome.BETTER
    else:
        upper = judged.worsening_ci95[1] if judged.worsening_ci95 else np.inf
        is_within = upper <= allowed or (difference is not None and difference.same)
        outcome = Outcome.WITHIN if is_within else Outcome.OPEN
    least = None if difference is None else difference.detectable(SIGNIFICANCE / family)
    return replace(
        judged,
        outcome=outcome,
        p_holm=min(p_worse, p_better),
        detectable=None if least is None else allowed + least,
    )


def _worsening(difference: Difference, better: Better) -> tuple[float, Interval | None]:
    """How much worse B is, and the interval of that."""
    low, high = difference.ci95 or (None, None)
    if low is None or high is None:
        return (difference.difference if better is Better.LOWER else 0.0 - difference.difference), None
    if better is Better.LOWER:
        return difference.difference, (low, high)
    # Not −0.0, which a table would show.
    return 0.0 - difference.difference, (0.0 - high, 0.0 - low)
