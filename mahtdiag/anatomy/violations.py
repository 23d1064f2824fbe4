"""Is this spine possible? All rules over all images, from one array of keypoints."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.checks import CHECKS, ROUNDING, Bits, Measure, bits_of
from mahtdiag.anatomy.findings import KEYS, Findings
from mahtdiag.anatomy.geometry import Bools, Floats, measure_geometry
from mahtdiag.anatomy.limit_spec import Fires
from mahtdiag.anatomy.limits import Limits
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES, Rule
from mahtdiag.schema.skeleton import View

# Small enough for the working arrays to stay in the processor's cache, and for 16-bit image numbers.
_IMAGES_AT_ONCE = 1024


def check_anatomy(
    points_px: Floats,
    view: View,
    *,
    image_size_px: NDArray[np.float64] | None,
    limits: Limits | None = None,
    rules: Sequence[Rule] | None = None,
) -> Findings:
    """Every rule applied to every image.

    `points_px` is `[N, K, 2]` (x, y), y down, in any one unit per image; `image_size_px` `[N, 2]` (width,
    height) in the same unit, NaN or None where it is unknown (A601 is then not checked). A keypoint that is
    NaN, infinite or beyond ±10⁹ is missing: A603 names it and it enters no other rule. Neither scaling nor
    shifting an image's points (and its frame) changes a finding. Raises ValueError for arrays of another
    shape or limits of another view.
    """
    points_px = np.asarray(points_px, dtype=np.float64)
    limits = limits or Limits.of(view)
    _check_arguments(points_px, view, image_size_px, limits)
    rules = RULES if rules is None else tuple(rule for rule in RULES if rule in rules)
    parts = [Findings.none(view, 0, rules)]
    for first in range(0, points_px.shape[0], _IMAGES_AT_ONCE):
        some = slice(first, first + _IMAGES_AT_ONCE)
        sizes = None if image_size_px is None else np.asarray(image_size_px, dtype=np.float64)[some]
        parts.append(_check_some(points_px[some], view, sizes, limits, rules))
    return Findings.chain(parts)


def _check_arguments(points_px: Floats, view: View, image_size_px: Floats | None, limits: Limits) -> None:
    if points_px.ndim != 3 or points_px.shape[1:] != (view.keypoints, 2):
        raise ValueError(f"{view} keypoints are [N, {view.keypoints}, 2], got {list(points_px.shape)}")
    if image_size_px is not None and np.shape(image_size_px) != (points_px.shape[0], 2):
        raise ValueError(f"image sizes are [{points_px.shape[0]}, 2], got {list(np.shape(image_size_px))}")
    if limits.view is not view:
        raise ValueError(f"limits are for {limits.view}, the keypoints are {view}")


def _check_some(
    points_px: Floats, view: View, image_size_px: Floats | None, limits: Limits, rules: tuple[Rule, ...]
) -> Findings:
    """The findings of a few images, numbered from 0."""
    # Missing keypoints are NaN and degenerate outlines divide by zero: both end as NaN, which never fires.
    with np.errstate(all="ignore"):
        geometry = measure_geometry(points_px, view, image_size_px)
        measures = [measure for rule in rules for measure in CHECKS[rule.code](geometry, limits)]
        missing = bits_of(geometry.missing)
        found = [_fired(measure, missing, limits, rules) for measure in measures]
    return Findings.merge([Findings.none(view, points_px.shape[0], rules), *found])


def _beyond(values: Floats, fires: Fires, limit: float) -> Bools:
    """A value that is its limit but for rounding counts as the limit: a mirrored image is judged alike."""
    slack = ROUNDING * max(1.0, abs(limit))
    if fires is Fires.ABOVE:
        return values > limit + slack
    return values < limit - slack if fires is Fires.BELOW else values <= limit + slack


def _fired(measure: Measure, missing: Bits, limits: Limits, rules: tuple[Rule, ...]) -> Findings:
    """The values of one quantity that break its limit. `missing` `[n]`: keypoints only A603 may blame."""
    spec, limit = LIMIT_BY_KEY[measure.key], limits[measure.key]
    row, image = np.nonzero(_beyond(measure.values, spec.fires, limit))
    value = measure.values[row, image]
    blamed = np.broadcast_to(measure.blamed, measure.values.shape)[row, image]
    return Findings(
        view=limits.view,
        images=missing.size,
        rules=rules,
        key=np.full(row.size, KEYS.index(measure.key), dtype=np.int64),
        image=image.astype(np.int64),
        level=measure.levels[row],
        value=value,
        limit=np.full(row.size, limit),
        severity=1.0 + np.abs(value - limit) / spec.spread(limits.view),
        keypoints=blamed if measure.key == "A603" else blamed & ~missing[image],
    )
