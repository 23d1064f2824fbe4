"""Heatmaps with two peaks: how many, whether the decoder falls between them, what another would gain.

And how many are too diffuse for a second peak to be sought.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points
from mahtdiag.calibration.bootstrap import resampled_sums
from mahtdiag.diagnosis.metrics.metric import Estimate
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import Ranking, counted
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag
from mahtdiag.schema.records import PeakPlaces
from mahtdiag.schema.skeleton import Skeleton
from mahtdiag.statistics.intervals import Interval, by_unit, mean_interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

AMBIGUOUS_SHARE = 0.5
"""A second peak of at least this share of the first makes a heatmap ambiguous."""

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


def has_two_peaks(peaks: PeakPlaces) -> Bools:
    """Whether a second peak reaches half of the first, `[...]` as `second_share`; no where it is unknown."""
    return peaks.second_share >= AMBIGUOUS_SHARE


def by_two_peaks(table: RunTable) -> Ranking:
    """Ranks images by how many of their heatmaps have two peaks."""
    count = has_two_peaks(table.peaks).sum(axis=1).astype(np.float64)
    return counted("heatmaps with two peaks", "heatmap", count, table.image)


def are_diffuse(table: RunTable) -> Bools:
    """Whether heatmaps are flagged diffuse, `[N, K]`; no in runs of versions that did not tell."""
    diffuse: Bools = (table.flags.astype(np.int64) & int(HeatmapFlag.DIFFUSE)) != 0
    return diffuse


def by_diffuse(table: RunTable) -> Ranking:
    """Ranks images by how many of their heatmaps are diffuse."""
    count = are_diffuse(table).sum(axis=1).astype(np.float64)
    return counted("diffuse heatmaps", "heatmap", count, table.image)


def sigmas_apart(a_px: Floats, b_px: Floats, sigma_px: Floats) -> Floats:
    """Distance of places `[N, K, 2]` in units of σ; `sigma_px` `[N, 2]` (x, y), pixels of each image."""
    distance: Floats = np.linalg.norm((a_px - b_px) / sigma_px[:, None, :], axis=-1)
    return distance


def lies_between(places_px: Floats, peaks: PeakPlaces, sigma_px: Floats) -> Bools:
    """Whether a heatmap has two peaks and its decoded place `[N, K, 2]` is more than σ away from either.

    No where there are no two peaks or no place.
    """
    first = sigmas_apart(places_px, peaks.argmax, sigma_px)
    second = sigmas_apart(places_px, peaks.second, sigma_px)
    return has_two_peaks(peaks) & (first > 1.0) & (second > 1.0)


def ambiguity_of(table: RunTable) -> Ambiguity | None:
    """The ambiguous heatmaps of a run; None where its peaks or frames are not known."""
    return table.once(_of_table)


def _of_table(table: RunTable) -> Ambiguity | None:
    sigma_px = table.target_sigma_px()
    if sigma_px is None:
        return None
    decode = table.conditions.decode
    return find_ambiguity(
        table.image,
        table.skeleton,
        table.gt_px,
        table.pred_px,
        table.peaks,
        sigma_px,
        decode,
        are_diffuse(table),
        table.units,
    )


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
    read = np.isfinite(peaks.second_share) | diffuse
    if not read.any():
        return None
    # A place that is none, in this product's sense, has no error either (A603).
    label_px, pred_px = known_points(label_px), known_points(pred_px)
    two, between = has_two_peaks(peaks), lies_between(pred_px, peaks, sigma_px)
    disagree = sigmas_apart(pred_px, peaks.argmax, sigma_px) > 1.0
    error = np.linalg.norm(pred_px - label_px, axis=-1)
    changes = {
        method: np.linalg.norm(places - label_px, axis=-1) - error
        for method, places in ((DecodeMethod.LOCAL, peaks.local), (DecodeMethod.ARGMAX, peaks.argmax))
        if method != decode
    }
    vertebra_of = np.array(skeleton.vertebra_of)
    members = {name: vertebra_of == name for name in skeleton.vertebrae}
    groups = {"all": np.ones(skeleton.keypoints, dtype=np.bool_), **members}
    units = np.arange(len(images)) if units is None else units
    means = _mean_changes(groups, changes, two, units, resamples, seed)
    total, *by_vertebra = (
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
    return Ambiguity(
        images=len(images),
        decode=decode,
        total=total,
        by_vertebra=tuple(by_vertebra),
        by_keypoint=tuple(
            KeypointAmbiguity(name, *(int(which[:, k].sum()) for which in (two, between, diffuse)))
            for k, name in enumerate(skeleton.keypoint_names)
        ),
        ambiguous_images=tuple(images[int(row)] for row in np.flatnonzero(two.any(1))),
        diffuse_images=tuple(images[int(row)] for row in np.flatnonzero(diffuse.any(1))),
        sentences=_sentences(by_vertebra, decode),
    )


def _mean_changes(
    groups: Mapping[str, Bools],
    changes: Mapping[DecodeMethod, Floats],
    two: Bools,
    units: Ints,
    resamples: int,
    seed: int,
) -> dict[tuple[str, DecodeMethod, bool], tuple[Estimate | None, float | None, Interval | None]]:
    """Mean change of each group by each method, everywhere (False) and where there are two peaks (True).

    Each with the share of resampled sets in which it is below 0, and its corrected interval.
    """
    keys = [(name, method, only) for name in groups for method in changes for only in (False, True)]
    if not keys:
        return {}
    columns = []
    for name, method, only in keys:
        known = np.isfinite(changes[method]) & groups[name] & (two if only else True)
        columns += [np.where(known, changes[method], 0.0).sum(1), known.sum(1).astype(np.float64)]
    table = by_unit(np.stack(columns, axis=1), units)
    drawn = resampled_sums(table, resamples, seed) if len(table) > 1 else None
    # "All" is no vertebra: of it no sentence is said.
    asked = max(1, len(groups) - 1) * len(changes)
    found: dict[tuple[str, DecodeMethod, bool], tuple[Estimate | None, float | None, Interval | None]] = {}
    for i, key in enumerate(keys):
        sums, counts = table[:, 2 * i], table[:, 2 * i + 1]
        total, count, sure = sums.sum(), counts.sum(), None
        if drawn is not None:
            means = np.full(resamples, np.nan)
            np.divide(drawn[:, 2 * i], drawn[:, 2 * i + 1], out=means, where=drawn[:, 2 * i + 1] > 0)
            sure = float((means < 0).mean())
        interval, corrected = (mean_interval(sums, counts, tail=tail) for tail in (_TAIL, _TAIL / asked))
        if corrected is not None and corrected[1] < 0 and chance_of_less(sums) > _TAIL / asked:
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
