"""What each heatmap says by itself: has it two peaks, where is it decoded, what would another way do?"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag
from mahtdiag.schema.records import PeakPlaces
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

AMBIGUOUS_SHARE = 0.5
"""A second peak of at least this share of the first makes a heatmap ambiguous."""


def has_two_peaks(peaks: PeakPlaces) -> Bools:
    """Whether a second peak reaches half of the first, `[...]` as `second_share`; no where it is unknown."""
    return peaks.second_share >= AMBIGUOUS_SHARE


def are_diffuse(table: RunTable) -> Bools:
    """Whether heatmaps are flagged diffuse, `[N, K]`; no in runs of versions that did not tell."""
    diffuse: Bools = (table.flags.astype(np.int64) & int(HeatmapFlag.DIFFUSE)) != 0
    return diffuse


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


@dataclass(frozen=True, slots=True)
class SeenPeaks:
    """Which heatmaps `[N, K]` were read, have two peaks, are decoded between them, disagree, are diffuse."""

    read: Bools
    two: Bools
    between: Bools
    disagree: Bools
    diffuse: Bools

    @staticmethod
    def chain(parts: "Sequence[SeenPeaks]") -> "SeenPeaks":
        """What was seen in consecutive images."""
        return SeenPeaks(
            *(np.concatenate([getattr(part, of.name) for part in parts]) for of in fields(SeenPeaks))
        )


def other_methods(decode: str) -> tuple[DecodeMethod, ...]:
    """The other ways to decode whose places are known."""
    return tuple(method for method in (DecodeMethod.LOCAL, DecodeMethod.ARGMAX) if method != decode)


def groups_of(skeleton: Skeleton) -> dict[str, Bools]:
    """All keypoints, those of each vertebra, and of each region where there are several."""
    vertebra_of = np.array(skeleton.vertebra_of)
    members = {name: vertebra_of == name for name in skeleton.vertebrae}
    for region in skeleton.regions_apart:
        members[str(region)] = np.isin(np.arange(skeleton.keypoints), skeleton.keypoints_in(region))
    return {"all": np.ones(skeleton.keypoints, dtype=np.bool_), **members}


def keys_of(skeleton: Skeleton, decode: str) -> list[tuple[str, DecodeMethod, bool]]:
    """Group, method, and whether only heatmaps with two peaks count."""
    methods = other_methods(decode)
    return [
        (name, method, only) for name in groups_of(skeleton) for method in methods for only in (False, True)
    ]


def peaks_of(
    skeleton: Skeleton,
    label_px: Floats,
    pred_px: Floats,
    peaks: PeakPlaces,
    sigma_px: Floats,
    decode: str,
    diffuse: Bools,
) -> tuple[SeenPeaks, Floats]:
    """What these images say, each by itself; and what other ways to decode would change in each.

    That is `[N, 2·keys]`: the sum of the changes and how many are known, by the keys of `keys_of`.
    """
    # A place that is none, in this product's sense, has no error either (A603).
    label_px, pred_px = known_points(label_px), known_points(pred_px)
    two, groups = has_two_peaks(peaks), groups_of(skeleton)
    error = np.linalg.norm(pred_px - label_px, axis=-1)
    places = {DecodeMethod.LOCAL: peaks.local, DecodeMethod.ARGMAX: peaks.argmax}
    changes = {
        method: np.linalg.norm(places[method] - label_px, axis=-1) - error for method in other_methods(decode)
    }
    columns = []
    for name, method, only in keys_of(skeleton, decode):
        known = np.isfinite(changes[method]) & groups[name] & (two if only else True)
        columns += [np.where(known, changes[method], 0.0).sum(1), known.sum(1).astype(np.float64)]
    seen = SeenPeaks(
        read=np.isfinite(peaks.second_share) | diffuse,
        two=two,
        between=lies_between(pred_px, peaks, sigma_px),
        disagree=sigmas_apart(pred_px, peaks.argmax, sigma_px) > 1.0,
        diffuse=diffuse,
    )
    return seen, np.stack(columns, axis=1) if columns else np.zeros((len(label_px), 0))
