"""Heatmaps with two peaks: how many, whether the decoder falls between them, what another would gain.

And how many are too diffuse for a second peak to be sought.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.bootstrap import resampled_sums
from mahtdiag.diagnosis.metrics.metric import Estimate
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.two_peaks import (
    SeenPeaks,
    are_diffuse,
    groups_of,
    has_two_peaks,
    keys_of,
    other_methods,
    peaks_of,
)
from mahtdiag.diagnosis.worst_images import Ranking, counted
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.records import PeakPlaces
from mahtdiag.schema.skeleton import Skeleton
from mahtdiag.statistics.intervals import Interval, SumsByUnit, by_unit, mean_interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

FEWEST_IMAGES = 3
"""A sentence needs so many images in which the decoded place lies at neither of two peaks."""

_TAIL = 0.025
_SIGNS, _MOST_SIGNS = 4000, 1000


@dataclass(frozen=True, slots=True)
class DecodeChange:
    """Change of the mean radial error, px, had another method decoded: below 0 it would be better.

    Over all keypoints of a group, and over those with two peaks; None where there is none. `sure`: share of
    resampled sets in which it would be better over all keypoints, None for a single image. `corrected`: the
    interval over all keypoints whose level is corrected for the methods and vertebrae that are asked; it ends
    at 0 where signs drawn at random are too often as good (`chance_of_less`).
    """

    method: DecodeMethod
    everywhere: Estimate | None
    ambiguous: Estimate | None
    sure: float | None
    corrected: Interval | None


@dataclass(frozen=True, slots=True)
class AmbiguousGroup:
    """Heatmaps of one vertebra, or of all: how many have two peaks, in how many images.

    `between`: those of them whose decoded place is more than σ away from either peak. `disagree`: keypoints,
    ambiguous or not, that are decoded more than σ away from the highest cell. `diffuse`: heatmaps whose level
    away from the peak is so high that no second peak is sought, in `images_diffuse` images.
    """

    name: str
    keypoints: int
    two_peaks: int
    images: int
    between: int
    images_between: int
    disagree: int
    diffuse: int
    images_diffuse: int
    changes: tuple[DecodeChange, ...]


@dataclass(frozen=True, slots=True)
class KeypointAmbiguity:
    """Images in which one keypoint has two peaks, was placed between them, or has a diffuse heatmap."""

    name: str
    two_peaks: int
    between: int
    diffuse: int


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """Ambiguous and diffuse heatmaps of `images` images that `decode` has read.

    `sentences` say what means something.
    """

    images: int
    decode: str
    total: AmbiguousGroup
    by_vertebra: tuple[AmbiguousGroup, ...]
    by_region: tuple[AmbiguousGroup, ...]
    by_keypoint: tuple[KeypointAmbiguity, ...]
    ambiguous_images: tuple[str, ...]
    diffuse_images: tuple[str, ...]
    sentences: tuple[str, ...]

    def as_json(self) -> dict[str, Json]:
        """As `run.json` and `anatomy --format json` hold it; what is not known is null."""
        return {
            "decode": self.decode,
            "images": self.images,
            "all": _group_json(self.total),
            "by_vertebra": {group.name: _group_json(group) for group in self.by_vertebra},
            **(
                {"by_region": {group.name: _group_json(group) for group in self.by_region}}
                if self.by_region
                else {}
            ),
            "by_keypoint": {
                row.name: {"two_peaks": row.two_peaks, "between": row.between, "diffuse": row.diffuse}
                for row in self.by_keypoint
            },
            "ambiguous_images": list(self.ambiguous_images),
            "diffuse_images": list(self.diffuse_images),
            "sentences": list(self.sentences),
        }


def _group_json(group: AmbiguousGroup) -> dict[str, Json]:
    return {
        "keypoints": group.keypoints,
        "two_peaks": group.two_peaks,
        "images": group.images,
        "between": group.between,
        "images_between": group.images_between,
        "disagree": group.disagree,
        "diffuse": group.diffuse,
        "images_diffuse": group.images_diffuse,
        "decode_change_px": {
            str(change.method): {
                "everywhere": _estimate_json(change.everywhere),
                "ambiguous": _estimate_json(change.ambiguous),
                "sure": change.sure,
                "ci95_corrected": None if change.corrected is None else [*change.corrected],
            }
            for change in group.changes
        },
    }


def _estimate_json(estimate: Estimate | None) -> Json:
    if estimate is None:
        return None
    return {
        "value": estimate.value,
        "ci95": None if estimate.ci95 is None else [*estimate.ci95],
        "keypoints": estimate.count,
    }


def by_two_peaks(table: RunTable) -> Ranking:
    """Ranks images by how many of their heatmaps have two peaks."""
    count = has_two_peaks(table.peaks).sum(axis=1).astype(np.float64)
    return counted("heatmaps with two peaks", "heatmap", count, table.image)


def by_diffuse(table: RunTable) -> Ranking:
    """Ranks images by how many of their heatmaps are diffuse."""
    count = are_diffuse(table).sum(axis=1).astype(np.float64)
    return counted("diffuse heatmaps", "heatmap", count, table.image)


def ambiguity_of(table: RunTable) -> Ambiguity | None:
    """The ambiguous heatmaps of a run; None where its peaks or frames are not known."""
    return table.once(_of_table)


def _of_table(table: RunTable) -> Ambiguity | None:
    if table.conditions.frames is None or table.conditions.heatmap_sigma is None:
        return None
    decode = table.conditions.decode
    seen, sums = [], SumsByUnit(table.units)
    for part in table.parts():
        sigma_px = part.target_sigma_px()
        assert sigma_px is not None
        points = part.gt_px, part.pred_px
        found, changes = peaks_of(table.skeleton, *points, part.peaks, sigma_px, decode, are_diffuse(part))
        seen.append(found)
        sums.add(changes)
    return _ambiguity(table.image, table.skeleton, SeenPeaks.chain(seen), decode, sums.total)


def find_ambiguity(
    images: Sequence[str],
    skeleton: Skeleton,
    label_px: Floats,
    pred_px: Floats,
    peaks: PeakPlaces,
    sigma_px: Floats,
    decode: str,
    diffuse: Bools | None = None,
    units: Ints | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Ambiguity | None:
    """Ambiguous heatmaps of N images: labels, decoded places and peaks `[N, K, …]` in original pixels.

    Ambiguous: a second peak, more than 3 σ from the first, of at least half its height. Other ways to decode
    are judged by the change of the mean radial error over keypoints that have a label, with 95 % intervals
    over `units` `[N]`, each image by itself by default (see `mean_interval`). `diffuse` `[N, K]`: heatmaps in
    which no second peak was sought; none by default. None where no heatmap's peaks are known.
    """
    diffuse = np.zeros(peaks.second_share.shape, dtype=np.bool_) if diffuse is None else diffuse
    seen, changes = peaks_of(skeleton, label_px, pred_px, peaks, sigma_px, decode, diffuse)
    sums = by_unit(changes, np.arange(len(images)) if units is None else units)
    return _ambiguity(images, skeleton, seen, decode, sums, resamples=resamples, seed=seed)


def _ambiguity(
    images: Sequence[str],
    skeleton: Skeleton,
    seen: SeenPeaks,
    decode: str,
    sums: Floats,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Ambiguity | None:
    if not seen.read.any():
        return None
    read, two, between, disagree, diffuse = seen.read, seen.two, seen.between, seen.disagree, seen.diffuse
    groups, changes = groups_of(skeleton), other_methods(decode)
    asked = len(skeleton.vertebrae) * len(changes)
    means = _mean_changes(keys_of(skeleton, decode), sums, resamples, seed, asked)
    total, *parts = (
        AmbiguousGroup(
            name=name,
            keypoints=int(read[:, of].sum()),
            two_peaks=int(two[:, of].sum()),
            images=int(two[:, of].any(1).sum()),
            between=int(between[:, of].sum()),
            images_between=int(between[:, of].any(1).sum()),
            disagree=int(disagree[:, of].sum()),
            diffuse=int(diffuse[:, of].sum()),
            images_diffuse=int(diffuse[:, of].any(1).sum()),
            changes=tuple(
                DecodeChange(m, means[name, m, False][0], means[name, m, True][0], *means[name, m, False][1:])
                for m in changes
            ),
        )
        for name, of in groups.items()
    )
    by_vertebra = parts[: len(skeleton.vertebrae)]
    return Ambiguity(
        images=len(images),
        decode=decode,
        total=total,
        by_vertebra=tuple(by_vertebra),
        by_region=tuple(parts[len(skeleton.vertebrae) :]),
        by_keypoint=tuple(
            KeypointAmbiguity(name, *(int(which[:, k].sum()) for which in (two, between, diffuse)))
            for k, name in enumerate(skeleton.keypoint_names)
        ),
        ambiguous_images=tuple(images[int(row)] for row in np.flatnonzero(two.any(1))),
        diffuse_images=tuple(images[int(row)] for row in np.flatnonzero(diffuse.any(1))),
        sentences=_sentences(by_vertebra, decode),
    )


def _mean_changes(
    keys: Sequence[tuple[str, DecodeMethod, bool]], table: Floats, resamples: int, seed: int, asked: int
) -> dict[tuple[str, DecodeMethod, bool], tuple[Estimate | None, float | None, Interval | None]]:
    """Mean change of each group by each method, everywhere (False) and where there are two peaks (True).

    Each with the share of resampled sets in which it is below 0, and its corrected interval. `table`
    `[U, 2·keys]`: sums of the changes and how many are known, by unit. `asked`: of how many vertebrae and
    methods a sentence can be said.
    """
    if not keys:
        return {}
    drawn = resampled_sums(table, resamples, seed) if len(table) > 1 else None
    found: dict[tuple[str, DecodeMethod, bool], tuple[Estimate | None, float | None, Interval | None]] = {}
    for i, key in enumerate(keys):
        change, counts = table[:, 2 * i], table[:, 2 * i + 1]
        total, count, sure = change.sum(), counts.sum(), None
        if drawn is not None:
            means = np.full(resamples, np.nan)
            np.divide(drawn[:, 2 * i], drawn[:, 2 * i + 1], out=means, where=drawn[:, 2 * i + 1] > 0)
            sure = float((means < 0).mean())
        interval, corrected = (mean_interval(change, counts, tail=tail) for tail in (_TAIL, _TAIL / asked))
        if corrected is not None and corrected[1] < 0 and chance_of_less(change) > _TAIL / asked:
            corrected = corrected[0], 0.0
        estimate = Estimate(float(total / count), interval, int(count)) if count else None
        found[key] = estimate, sure, corrected
    return found


def chance_of_less(change: Floats) -> float:
    """How often a sum of changes of units `[U]` with random signs is as far below 0; one-sided.

    Where few units change at all and all to the better, their spread knows nothing of those that would not.
    0 above `_MOST_SIGNS` units that change. Source: Fisher, The Design of Experiments (1935), § 21.
    """
    change = change[change != 0]
    if change.size > _MOST_SIGNS:
        return 0.0
    signs = np.random.default_rng(0).integers(0, 2, (_SIGNS, change.size)) * 2.0 - 1.0
    # A sum that is the same but for rounding is as far.
    as_far = signs @ change <= change.sum() + 1e-9 * np.abs(change).sum()
    return float((1 + np.count_nonzero(as_far)) / (1 + _SIGNS))


def _sentences(by_vertebra: Sequence[AmbiguousGroup], decode: str) -> tuple[str, ...]:
    """One for each vertebra with ambiguous heatmaps that another way to decode would serve better.

    Said where the corrected interval of the change lies wholly below 0: with no difference in truth, of all
    vertebrae and methods together, in at most 2.5 % of sets.
    """
    sentences = []
    for group in by_vertebra:
        if group.images_between < FEWEST_IMAGES:
            continue
        better = [
            (change.everywhere.value, change.method, change.corrected)
            for change in group.changes
            if change.everywhere is not None and change.corrected is not None and change.corrected[1] < 0
        ]
        if better:
            sentences.append(_sentence(group, *min(better, key=lambda change: change[0]), decode))
    return tuple(sentences)


def _sentence(
    group: AmbiguousGroup, change_px: float, method: DecodeMethod, corrected: Interval, decode: str
) -> str:
    lands = f"{decode} lands between them"
    if group.images_between < group.images:
        lands = f"in {group.images_between} of them {lands}"
    return (
        f"in {group.images} images the {group.name} heatmaps have two peaks and {lands}; `--decode {method}` "
        f"would lower the mean error of {group.name} by {-change_px:.1f} px (95 % interval, corrected for "
        f"all vertebrae, {-corrected[1]:.1f} to {-corrected[0]:.1f})"
    )
