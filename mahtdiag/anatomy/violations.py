"""Is this spine possible? All rules over all images, from one array of keypoints."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.checks import CHECKS, ROUNDING, Measure
from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.geometry import Bools, Floats, measure_geometry
from mahtdiag.anatomy.limit_spec import Fires
from mahtdiag.anatomy.limits import Limits
from mahtdiag.anatomy.rules import RULES, Rule
from mahtdiag.schema.skeleton import Skeleton

# Small enough for the working arrays to stay in the processor's cache, and for 16-bit image numbers.
_IMAGES_AT_ONCE = 1024


def check_anatomy(
    points_px: Floats,
    skeleton: Skeleton,
    *,
    image_size_px: NDArray[np.float64] | None,
    limits: Limits | None = None,
    rules: Sequence[Rule] | None = None,
) -> Findings:
    """The rules (None: all of them) applied to every image.

    `points_px` is `[N, K, 2]` (x, y), y down, in any one unit per image; `image_size_px` `[N, 2]` (width,
    height) in the same unit, NaN or None where it is unknown (A601 is then not checked). A keypoint that is
    NaN, infinite or beyond ±10⁹ is missing: A603 names it and it enters no other rule. Neither scaling nor
    shifting an image's points (and its frame) changes a finding. Raises ValueError for arrays of another
    shape or limits of another projection.
    """
    points_px = np.asarray(points_px, dtype=np.float64)
    limits = limits or Limits.of(skeleton.view)
    _check_arguments(points_px, skeleton, image_size_px, limits)
    rules = RULES if rules is None else tuple(rules)
    parts = [Findings.none(skeleton, 0, rules)]
    for first in range(0, points_px.shape[0], _IMAGES_AT_ONCE):
        some = slice(first, first + _IMAGES_AT_ONCE)
        sizes = None if image_size_px is None else np.asarray(image_size_px, dtype=np.float64)[some]
        parts.append(_check_some(points_px[some], skeleton, sizes, limits, rules))
    return Findings.chain(parts)


def _check_arguments(
    points_px: Floats, skeleton: Skeleton, image_size_px: Floats | None, limits: Limits
) -> None:
    if points_px.ndim != 3 or points_px.shape[1:] != (skeleton.keypoints, 2):
        wanted = f"{skeleton} keypoints are [N, {skeleton.keypoints}, 2]"
        raise ValueError(f"{wanted}, got {list(points_px.shape)}")
    if image_size_px is not None and np.shape(image_size_px) != (points_px.shape[0], 2):
        raise ValueError(f"image sizes are [{points_px.shape[0]}, 2], got {list(np.shape(image_size_px))}")
    if limits.view is not skeleton.view:
        raise ValueError(f"limits are for {limits.view}, the keypoints are {skeleton.view}")


def _check_some(
    points_px: Floats,
    skeleton: Skeleton,
    image_size_px: Floats | None,
    limits: Limits,
    rules: tuple[Rule, ...],
) -> Findings:
    """The findings of a few images, numbered from 0."""
    nothing = Findings.none(skeleton, points_px.shape[0], rules)
    key_of = {limit.key: n for n, limit in enumerate(nothing.broken)}
    # Missing keypoints are NaN and degenerate outlines divide by zero: both end as NaN, which never fires.
    with np.errstate(all="ignore"):
        geometry = measure_geometry(points_px, skeleton, image_size_px)
        measures = [measure for rule in rules for measure in CHECKS[rule.code](geometry, limits)]
        present = ~geometry.missing
        found = [_fired(measure, key_of[measure.key], present, limits, nothing) for measure in measures]
    return Findings.merge([nothing, *found])


def _beyond(values: Floats, fires: Fires, limit: float) -> Bools:
    """A value that is its limit but for rounding counts as the limit: a mirrored image is judged alike."""
    slack = ROUNDING * max(1.0, abs(limit))
    if fires is Fires.ABOVE:
        return values > limit + slack
    return values < limit - slack if fires is Fires.BELOW else values <= limit + slack


def _fired(measure: Measure, key: int, present: Bools, limits: Limits, nothing: Findings) -> Findings:
    """The values of one quantity that break its limit. `present` `[K, n]`: keypoints that are annotated."""
    spec = nothing.broken[key]
    limit = limits.of_spec(spec)
    row, image = np.nonzero(_beyond(measure.values, spec.fires, limit))
    value = measure.values[row, image]
    blamable = present if measure.points is None else measure.points
    return replace(
        nothing,
        key=np.full(row.size, key, dtype=np.int64),
        image=image.astype(np.int64),
        level=measure.places.levels[row],
        value=value,
        limit=np.full(row.size, limit),
        severity=1.0 + np.abs(value - limit) / spec.spread(limits.view),
        blame=measure.places.members[row] & blamable.T[image],
    )
