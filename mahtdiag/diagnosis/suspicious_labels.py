"""Which labels of a run its network speaks against, the strongest evidence first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import label_widths_px
from mahtdiag.anatomy.label_evidence import LabelEvidence, core_scales, label_evidence, sizes
from mahtdiag.anatomy.rules.points import A603
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.two_peaks import has_two_peaks
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST_TWO_PEAKS = 0.25
"""Share of an image's keypoints with two peaks up to which its network counts as sure."""


@dataclass(frozen=True, slots=True)
class SuspiciousLabel:
    """One image to review. `keypoint` is the corner in question, None where all levels are.

    `evidence`: a natural logarithm, see `LabelEvidence`; `sigmas`: how far the corner is from the prediction;
    `shift`: +1 where the prediction is one level lower than the label.
    """

    image: str
    evidence: float
    keypoint: int | None
    sigmas: float
    shift: int


@dataclass(frozen=True, slots=True)
class SuspiciousLabels:
    """Those of a run, strongest evidence first. `trusted`: images on which the network is right.

    `reason`: why the network is not good enough to say anything; None where it is.
    """

    labels: tuple[SuspiciousLabel, ...]
    trusted: int
    reason: str | None


def suspicious_labels(table: RunTable) -> SuspiciousLabels:
    """What the predictions of a run say of its labels."""
    found = evidence_of(table)
    strength = found.strength
    rows = np.flatnonzero(strength > 0)
    order = rows[np.argsort(-strength[rows], kind="stable")]
    labels = tuple(
        SuspiciousLabel(
            table.image[row],
            float(strength[row]),
            None if found.levels[row] > 0 else int(found.keypoint[row]),
            float(found.sigmas[row]),
            int(found.shift[row]),
        )
        for row in order.tolist()
    )
    return SuspiciousLabels(labels, found.trusted, found.reason)


@np.errstate(all="ignore")
def evidence_of(table: RunTable) -> LabelEvidence:
    """The evidence of each image of a run; σ scales the errors, or the image's vertebra width without σ."""
    by_sigma = _has_sigma(table)
    size = table.by_parts(lambda part: sizes(part.pred_px - part.gt_px, _scale_px(part, by_sigma)))
    core = core_scales(size)
    moved = table.by_parts(
        lambda part: sizes(_moved(part.pred_px, part.gt_px, part.level_shift), _scale_px(part, by_sigma))
    )
    # A603 is of what is not annotated, which is in no wrong place.
    places = [rule.code != A603.code for rule in table.findings.rules]
    possible = np.asarray(~table.findings.fired()[:, places].any(axis=1))
    return label_evidence(
        size / core,
        moved / core,
        table.level_shift,
        possible,
        np.asarray(table.by_parts(_sure)),
        table.by_parts(_error_widths),
    )


def _has_sigma(table: RunTable) -> bool:
    """Whether most errors have a σ."""
    if not table.has(RunTable.sigma_px):
        return False
    usable = sum(int((np.isfinite(p.sigma_px) & (p.sigma_px > 0)).sum()) for p in table.parts())
    return 2 * usable > len(table) * table.skeleton.keypoints * 2


def _scale_px(table: RunTable, by_sigma: bool) -> Floats:
    """What errors are measured by, `[N, K, 2]`: σ, or the width of the vertebrae of each image."""
    if by_sigma:
        return table.sigma_px
    return np.broadcast_to(_width_px(table)[:, None, None], table.pred_px.shape)


def _error_widths(table: RunTable) -> Floats:
    """The median error of each image in vertebra widths, `[N]`; infinite where it is not known."""
    width_px = _width_px(table)
    with np.errstate(invalid="ignore"):
        error_px = np.linalg.norm(table.pred_px - table.gt_px, axis=-1)
    known = np.isfinite(error_px).any(axis=1) & np.isfinite(width_px)
    widths = np.full(len(error_px), np.inf)
    widths[known] = np.nanmedian(error_px[known], axis=1) / width_px[known]
    return widths


def _width_px(table: RunTable) -> Floats:
    """Median width of the vertebrae predicted in each image, `[N]`; NaN where unknown."""
    widths = label_widths_px(table.pred_px, table.skeleton)
    known = np.isfinite(widths).any(axis=1)
    found = np.full(len(widths), np.nan)
    found[known] = np.nanmedian(widths[known], axis=1)
    return found


def _moved(pred_px: Floats, gt_px: Floats, shift: NDArray[np.int64]) -> Floats:
    """Prediction − the label of the level that it lies on, `[N, K, 2]`; NaN where there is no shift."""
    found = np.full_like(pred_px, np.nan)
    for step in (1, -1):
        offset, rows, k = CORNERS_PER_VERTEBRA * step, np.flatnonzero(shift == step), pred_px.shape[1]
        here = np.arange(max(0, -offset), k - max(0, offset))
        found[np.ix_(rows, here)] = pred_px[np.ix_(rows, here)] - gt_px[np.ix_(rows, here + offset)]
    return found


def _sure(table: RunTable) -> Bools:
    """Whether few heatmaps of each image have two peaks, `[N]`; true where peaks are not known."""
    if not table.has(RunTable.second_share):
        return np.ones(len(table), dtype=np.bool_)
    return np.asarray(has_two_peaks(table.peaks).mean(axis=1) <= MOST_TWO_PEAKS)
