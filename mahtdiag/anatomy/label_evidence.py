"""How much a label disagrees with a prediction that there is reason to trust: one corner, or all levels.

A network that is right on most images is a second reader of each. Where its prediction is possible, sure and
right elsewhere in the image, a corner far beyond its usual errors, or a whole spine named one level off,
speaks against the label as well as against the network. What comes out is evidence for a review, no proof.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FEWEST_TRUSTED = 20
"""Images of which the network is right, below which nothing is said of a label."""
LEAST_TRUSTED_SHARE = 0.8
"""The share of all images that these must be."""
MOST_SHIFTED_SHARE = 0.1
"""Where more images than these are one level off, it is the network that counts otherwise."""
NEAR_WIDTHS = 0.15
"""Median error of an image, in vertebra widths, up to which the network is right there."""
CHANCE = 0.05
"""How seldom the largest error of an image whose label is right reaches what is called suspicious."""

_RAYLEIGH_MEDIAN = float(np.sqrt(2.0 * np.log(2.0)))
_LEAST_KEYPOINTS = 8
_DEGREES = 5.0
_TYPICAL = 2.0


@dataclass(frozen=True, slots=True)
class LabelEvidence:
    """Evidence against the labels of N images, natural logarithms, 0 where there is none.

    `corner` `[N]`: −ln of the chance of so large a largest error, were the label right; `keypoint` `[N]`: its
    place, −1 without; `sigmas` `[N]`: that error in σ whose core fits. `levels` `[N]`: log likelihood ratio
    of labels named one level off to labels as they are; `shift` `[N]`: +1 where the prediction is one level
    lower. `trusted`: on how many images the network is right; `reason`: why nothing is said, None where
    something could be.
    """

    corner: Floats
    keypoint: Ints
    sigmas: Floats
    levels: Floats
    shift: Ints
    trusted: int
    reason: str | None = None

    @property
    def strength(self) -> Floats:
        """The stronger of both kinds `[N]`."""
        return np.maximum(self.corner, self.levels)


def sizes(residual_px: Floats, scale_px: Floats) -> Floats:
    """Errors `[N, K, 2]` in units of σ, or of what stands in its place, to `[N, K]`; NaN where unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.asarray(np.linalg.norm(residual_px / scale_px, axis=-1), dtype=np.float64)
    return np.where(np.isfinite(size), size, np.nan)


def core_scales(size: Floats) -> Floats:
    """What to divide the sizes `[N, K]` of each keypoint by, so that half are below a Rayleigh law's median.

    σ need not be calibrated then, and outliers among labels do not move it. NaN for a keypoint without any.
    """
    core = np.full(size.shape[1], np.nan)
    known = np.isfinite(size).any(axis=0)
    core[known] = np.nanmedian(size[:, known], axis=0) / _RAYLEIGH_MEDIAN
    return np.where(core > 0, core, np.nan)


def label_evidence(
    errors: Floats, moved: Floats, shift: Ints, possible: Bools, sure: Bools, error_widths: Floats
) -> LabelEvidence:
    """Evidence of each image, from standardised errors `[N, K]`, NaN where unknown.

    `moved` `[N, K]`: errors against the label of the level that `shift` `[N]` says, NaN elsewhere; `possible`
    `[N]`: the prediction breaks no rule; `sure` `[N]`: its heatmaps have one peak; `error_widths` `[N]`: the
    median error in vertebra widths.

    The largest error of an image, over the size of its errors as a whole, has a tail of its own in each set:
    its logarithm is taken to be exponential above the median of the trusted images, with the mean that their
    upper half tells robustly (Hill 1975, by the median of the excess), and the chance of an image follows.
    """
    known = np.isfinite(errors)
    enough = known.sum(axis=1) >= _LEAST_KEYPOINTS
    right = possible & sure & enough & (shift == 0) & (error_widths <= NEAR_WIDTHS)
    count, images = int(right.sum()), len(errors)
    nothing = LabelEvidence(
        np.zeros(images), np.full(images, -1), np.zeros(images), np.zeros(images), shift * 0, count
    )
    shifted = float(np.mean(shift != 0)) if images else 0.0
    if count < FEWEST_TRUSTED or count < LEAST_TRUSTED_SHARE * images or shifted > MOST_SHIFTED_SHARE:
        return _unsaid(nothing, count, images, shifted)
    own = np.where(enough, np.nanmedian(np.where(enough[:, None], errors, 0.0), axis=1), np.nan)
    size = np.maximum(1.0, own / _RAYLEIGH_MEDIAN)
    largest = np.where(known, errors, -np.inf).max(axis=1, initial=-np.inf)
    chance = _chance(np.log(np.maximum(largest, 1e-12) / size), right)
    trusted = right & (size <= _TYPICAL)
    corner = np.where(trusted & (chance <= CHANCE), -np.log(chance), 0.0)
    levels = np.where(possible & sure & (shift != 0), _ratio(errors, moved), 0.0)
    found = corner > 0
    return LabelEvidence(
        corner=corner,
        keypoint=np.where(found, np.where(known, errors, -np.inf).argmax(axis=1), -1),
        sigmas=np.where(found, largest, 0.0),
        levels=np.maximum(levels, 0.0),
        shift=np.where(levels > 0, shift, 0),
        trusted=count,
    )


def _unsaid(nothing: LabelEvidence, count: int, images: int, shifted: float) -> LabelEvidence:
    if count < LEAST_TRUSTED_SHARE * images:
        reason = f"the network is right on {count} of {images} images, too few to judge labels by it"
    elif count < FEWEST_TRUSTED:
        reason = f"{count} images to learn its errors from, at least {FEWEST_TRUSTED}"
    else:
        reason = f"{100 * shifted:.0f} % of images are one level off: it is the network that counts otherwise"
    return LabelEvidence(
        nothing.corner, nothing.keypoint, nothing.sigmas, nothing.levels, nothing.shift, count, reason
    )


def _chance(value: Floats, right: Bools) -> Floats:
    """The chance of at least such a value, were the label right; at most ½ is told apart."""
    middle, upper = np.quantile(value[right], [0.5, 0.75])
    mean = max(float(upper - middle) / np.log(2.0), 1e-12)
    # What few images say of the tail is uncertain: a shorter one than it is would raise false alarms.
    mean *= 1.0 + 1.0 / np.sqrt(right.sum())
    return np.asarray(0.5 * np.exp(-np.maximum(value - middle, 0.0) / mean), dtype=np.float64)


def _ratio(errors: Floats, moved: Floats) -> Floats:
    """Log likelihood ratio of the errors against the moved label, under Student's law in two dimensions."""
    both = np.isfinite(errors) & np.isfinite(moved)
    terms = np.log1p(errors**2 / _DEGREES) - np.log1p(moved**2 / _DEGREES)
    return np.asarray((_DEGREES + 2.0) / 2.0 * np.where(both, terms, 0.0).sum(axis=1), dtype=np.float64)
