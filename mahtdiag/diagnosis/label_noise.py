"""How far two labellings of the same images lie apart: the error below which nothing is said of a network.

Differences between two readers hold the errors of both. A network cannot be shown to be closer to the truth
than the labels are; success rates at a threshold below the readers' own distance measure the labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mahtdiag.diagnosis.measured import measure_agreement
from mahtdiag.diagnosis.metrics.errors import THRESHOLDS
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.spacing import spacing_xy_mm
from mahtdiag.schema.skeleton import Skeleton
from mahtdiag.statistics.spread import FEWEST_UNITS, Bounded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two readers on some keypoints, in `px` or `mm`.

    `pairs`: keypoints that both have labelled. `mean`, `median`: of the radial distance; `bias` (x, y): mean
    of second − first reader; `sd` (x, y): standard deviation of the differences; `sem` (x, y): of one reader
    alone, if both are equally good, `sd` / √2.
    """

    name: str
    unit: str
    pairs: int
    mean: Bounded
    median: float
    bias: tuple[float, float]
    sd: tuple[float, float]
    sem: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Repeatability:
    """One measurement of one level taken from both labellings: second − first reader.

    `bias` with the 95 % `limits` of agreement.
    `sem`: standard error of measurement of one reader, SD of the differences / √2; `mdc`: minimal detectable
    change, 1.96 √2 SEM: two readers' measurements of the same spine differ by less in 95 of 100 images.
    """

    name: str
    level: str
    unit: str
    n: int
    bias: float
    limits: tuple[float, float]
    sem: Bounded
    mdc: Bounded


@dataclass(frozen=True, slots=True)
class CopiedPairs:
    """Pairs of copies that are no images labelled twice.

    `same_labels`: their labels were copied with the image; `too_few`: too few keypoints in both to tell.
    """

    same_labels: int
    too_few: int


@dataclass(frozen=True, slots=True)
class LabelNoise:
    """All that two labellings of the same images tell of each other.

    `subject`: the second set; empty where both labellings are those of copies, and `copies` says which of
    them were left out; `images` in both, of `units` patients (or images where patients are unknown);
    `unmatched`: images of the first without a second labelling. `whole`: all keypoints, in px and, where the
    spacing is known, mm; `keypoints`: each one, px.
    """

    subject: str
    images: int
    units: int
    unmatched: int
    whole: tuple[Disagreement, ...]
    keypoints: tuple[Disagreement, ...]
    measurements: tuple[Repeatability, ...]
    copies: CopiedPairs | None = None

    def floor(self, unit: str) -> float | None:
        """Mean distance between the readers in `px` or `mm`; None where it is not known."""
        return next((each.mean.value for each in self.whole if each.unit == unit), None)

    def below(self) -> Iterator[tuple[str, float]]:
        """Thresholds of success rates, with their unit, that lie below the readers' own distance."""
        for unit, thresholds in THRESHOLDS.items():
            floor = self.floor(unit)
            yield from ((unit, at) for at in thresholds if floor is not None and at < floor)


def noise_of_run(table: RunTable) -> LabelNoise | None:
    """What the second labelling of a run's images says of the first; None where it has none."""
    return table.once(_of_run)


def _of_run(table: RunTable) -> LabelNoise | None:
    if not table.has(RunTable.gt2_px):
        return None
    rows = np.flatnonzero(np.isfinite(table.gt2_px).any(axis=(1, 2)))
    if not rows.size:
        return None
    return label_noise(
        table.conditions.labels2 or "",
        table.gt_px[rows],
        table.gt2_px[rows],
        table.skeleton,
        np.unique(table.units[rows], return_inverse=True)[1],
        spacing_xy_mm(table)[rows],
        unmatched=len(table) - len(rows),
    )


def disagreement(name: str, difference: Floats, units: Ints, unit: str) -> Disagreement:
    """Two readers on keypoints `[N, k, 2]`, second − first, NaN where either has none; codes `[N]`."""
    radial = np.hypot(difference[..., 0], difference[..., 1])
    known = np.isfinite(radial)
    if not known.any():
        nan = float("nan")
        return Disagreement(name, unit, 0, Bounded(nan, nan, nan), nan, (nan, nan), (nan, nan), (nan, nan))
    both = difference[known]
    bias = both.mean(axis=0)
    sd = both.std(axis=0, ddof=1) if len(both) > 1 else np.full(2, np.nan)
    one = sd / np.sqrt(2)
    return Disagreement(
        name=name,
        unit=unit,
        pairs=int(known.sum()),
        mean=mean_over_units(radial, units),
        median=float(np.median(radial[known])),
        bias=(float(bias[0]), float(bias[1])),
        sd=(float(sd[0]), float(sd[1])),
        sem=(float(one[0]), float(one[1])),
    )


def mean_over_units(values: Floats, units: Ints) -> Bounded:
    """The mean of all positive values `[N, …]` with an interval over units, codes `[N]`; NaN enters nothing.

    A ratio of sums over units, whose variance is linearised; Student's t on the logarithm, with one degree of
    freedom less than there are units. No interval below 10 units, or where all values are 0.
    """
    sums, counts = _by_unit(values, units)
    total, count = sums.sum(), counts.sum()
    if not count:
        return Bounded(float("nan"), float("nan"), float("nan"))
    return _on_log_scale(float(total / count), (sums - counts * (total / count)) / count)


def _by_unit(values: Floats, units: Ints) -> tuple[Floats, Floats]:
    """Sum and count of the known values of every unit that has any."""
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat)
    sums: Floats = np.bincount(units, np.where(known, flat, 0.0).sum(axis=1)).astype(np.float64)
    counts: Floats = np.bincount(units, known.sum(axis=1)).astype(np.float64)
    return sums[counts > 0], counts[counts > 0]


def _on_log_scale(mean: float, influence: Floats) -> Bounded:
    count = len(influence)
    if count < FEWEST_UNITS or mean <= 0:
        return Bounded(mean, float("nan"), float("nan"))
    error = np.sqrt(count / (count - 1) * (influence**2).sum()) / mean
    reach = float(np.exp(stdtrit(count - 1, 0.975) * error))
    return Bounded(mean, mean / reach, mean * reach)


def label_noise(
    subject: str,
    first_px: Floats,
    second_px: Floats,
    skeleton: Skeleton,
    units: Ints,
    spacing_mm: Floats,
    unmatched: int = 0,
) -> LabelNoise:
    """Labellings `[N, K, 2]` of the same images; `spacing_mm` `[N, 2]`, NaN where unknown; codes `[N]`."""
    difference = second_px - first_px
    whole = [disagreement("all", difference, units, "px")]
    in_mm = difference * spacing_mm[:, None, :]
    if np.isfinite(in_mm).any():
        whole.append(disagreement("all", in_mm, units, "mm"))
    keypoints = (
        disagreement(name, difference[:, [k]], units, "px") for k, name in enumerate(skeleton.keypoint_names)
    )
    return LabelNoise(
        subject=subject,
        images=len(difference),
        units=len(np.unique(units)),
        unmatched=unmatched,
        whole=tuple(whole),
        keypoints=tuple(keypoints),
        measurements=_measurements(first_px, second_px, skeleton, units),
    )


def _measurements(
    first_px: Floats, second_px: Floats, skeleton: Skeleton, units: Ints
) -> tuple[Repeatability, ...]:
    return tuple(
        Repeatability(
            name=pair.name,
            level=pair.level,
            unit=pair.unit,
            n=pair.difference.n,
            bias=pair.difference.bias,
            limits=(pair.difference.lower, pair.difference.upper),
            sem=pair.sem,
            mdc=pair.mdc,
        )
        for pair in measure_agreement(second_px, first_px, skeleton, units).pairs
    )
