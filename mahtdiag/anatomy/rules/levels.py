"""A501: the levels follow each other in this spine's own rhythm."""

from collections.abc import Mapping
from math import inf

import numpy as np

from mahtdiag.anatomy.geometry import Floats, Geometry, median_of_rows
from mahtdiag.anatomy.rule import AASCE, Fires, LimitSpec, Measure, Places, Rule, amount, usual
from mahtdiag.anatomy.sketch import Sketch, Spine, bars, middle
from mahtdiag.schema.findings import Finding, RuleGroup

_FEWEST_GAPS = 3
_SMALLEST_HEIGHTS = 0.1
_SPACING = f"AP: {AASCE} LA: wider by a choice, for collapsed and fused levels; no lateral set was at hand."
_SPECIFIED = "Chosen with the most extreme clean AP values in view; kept for LA, where no set was at hand."

_CLOSE = LimitSpec("A501-min", "usual spacings", Fires.BELOW, 0.6, 0.5, 1.0, _SPACING, possible=(0.0, inf))
_FAR = LimitSpec("A501-max", "usual spacings", Fires.ABOVE, 1.4, 1.5, 1.0, _SPACING, possible=(0.0, inf))
_GAP = LimitSpec("A501-gap", "heights", Fires.ABOVE, 1.25, 1.25, 0.44, _SPECIFIED)


def _rhythm(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Measure, ...]:
    """Centre spacing of the bodies over what this spine's bodies and discs lead one to expect, and disc gap
    in heights (also above a last endplate).
    """
    inner = slice(0, len(geometry.skeleton.bodies) - 1)
    ratio = geometry.spacings[inner] / _expected_spacings(geometry, geometry.gaps[inner])
    discs = Places.discs(geometry.skeleton)
    return (
        Measure(_CLOSE.key, ratio, discs[inner]),
        Measure(_FAR.key, ratio, discs[inner]),
        Measure(_GAP.key, geometry.gaps / geometry.height, discs),
    )


def _expected_spacings(geometry: Geometry, gaps: Floats) -> Floats:
    """Half of each body's height, and the median of the image's gaps between bodies, `[B−1, n]`; NaN where
    fewer than three gaps are known. A body whose height is unknown has the median height.
    """
    heights = np.where(np.isnan(geometry.heights), geometry.height, geometry.heights)
    expected = (heights[:-1] + heights[1:]) / 2 + median_of_rows(gaps)
    enough = (np.isfinite(gaps).sum(axis=0) >= _FEWEST_GAPS) & (
        expected > _SMALLEST_HEIGHTS * geometry.height
    )
    return np.where(enough, expected, np.nan)


def _apart(finding: Finding, limit: LimitSpec) -> str:
    if limit is _GAP:
        return f"disc space {amount(finding.value)} heights, {usual(limit)}: a level may be missing"
    spacing = f"centres {amount(finding.value)} × this spine's usual spacing apart"
    return f"{spacing}: a level may be {'marked twice' if limit is _CLOSE else 'missing'}"


def _spacing_or_gap(spine: Spine, finding: Finding) -> Sketch:
    vertebra = spine.vertebra(finding)
    if finding.unit == _GAP.unit:
        ends = [middle(spine.endplate(2 * vertebra + side)) for side in (1, 2)]
    else:
        ends = [spine.centre(vertebra), spine.centre(vertebra + 1)]
    return bars(np.stack(ends)[None], middle(np.stack(ends)))


A501 = Rule(
    code="A501",
    group=RuleGroup.LEVELS,
    title="spacing off this spine's own pattern",
    meaning="Levels follow each other in a steady rhythm: one is missing, marked twice, or endplates of two "
    "vertebrae were paired.",
    formula="centre spacing / (mean height of the two bodies + median disc gap of the image; three or more "
    "gaps needed); disc gap / median height",
    limits=(_CLOSE, _FAR, _GAP),
    measure=_rhythm,
    sentence=_apart,
    sketch=_spacing_or_gap,
)

RULES = (A501,)
