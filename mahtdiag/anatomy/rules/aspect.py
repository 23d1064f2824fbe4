"""A301–A302: bodies are neither needles nor planks, and neighbours resemble each other."""

from collections.abc import Mapping
from math import inf

import numpy as np

from mahtdiag.anatomy.geometry import SMALLEST, Floats, Geometry
from mahtdiag.anatomy.rule import AASCE, Fires, LimitSpec, Measure, Places, Rule, amount, usual
from mahtdiag.anatomy.sketch import Sketch, Spine, bars
from mahtdiag.schema.findings import Finding, RuleGroup

_LARGEST_RATIO = 1000.0
_SOURCE_BAND = (
    "The band of the anatomical loss of the networks under test. 99.8 % of clean real AP vertebrae lie in "
    "it; L5 seen obliquely reaches 5.5 (AASCE 2019)."
)
_SIZES = f"AP: {AASCE} LA: the AP limit is kept; no lateral set was at hand."


def _width_over_height(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Measure, ...]:
    """Width/height of each vertebra, between 1/1000 and 1000; unknown where it has neither."""
    width, height = geometry.widths, geometry.heights
    ratio = width / np.maximum(height, width / _LARGEST_RATIO)
    ratio = np.where(width + height > SMALLEST, np.maximum(ratio, 1 / _LARGEST_RATIO), np.nan)
    bodies = Places.bodies(geometry.skeleton)
    return (Measure("A301-min", ratio, bodies), Measure("A301-max", ratio, bodies))


def _outside_the_band(finding: Finding, limit: LimitSpec) -> str:
    ratio = f"width/height {amount(finding.value)}, {usual(limit)}"
    if limit.fires is Fires.BELOW:
        return f"{ratio}: the outline is too tall for one body"
    return f"{ratio}: too flat, an endplate on another level or marked twice"


def _width_and_height(spine: Spine, finding: Finding) -> Sketch:
    extents = spine.extents(spine.vertebra(finding))
    return bars(extents, extents[0, 1])


A301 = Rule(
    code="A301",
    group=RuleGroup.ASPECT_RATIO,
    title="width/height outside the band",
    meaning="A lumbar body is neither a needle nor a plank: an endplate is missing, doubled or on another "
    "level.",
    formula="mean length of the two endplates / mean length of the two sides",
    limits=(
        LimitSpec("A301-min", "width/height", Fires.BELOW, 0.5, 0.5, 1.8, _SOURCE_BAND, possible=(0.0, inf)),
        LimitSpec("A301-max", "width/height", Fires.ABOVE, 4.0, 4.0, 1.8, _SOURCE_BAND, possible=(0.0, inf)),
    ),
    measure=_width_over_height,
    sentence=_outside_the_band,
    sketch=_width_and_height,
)

_WIDTH = LimitSpec("A302-width", "of the mean width", Fires.ABOVE, 0.41, 0.41, 0.05, _SIZES, (0.0, 2.0))
_HEIGHT = LimitSpec("A302-height", "of the mean height", Fires.ABOVE, 0.95, 0.95, 0.08, _SIZES, (0.0, 2.0))


def _jumps(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Measure, ...]:
    """Change of width and of height from each body to the next, over their mean (0…2)."""
    pairs = Places.pairs(geometry.skeleton)[slice(0, len(geometry.skeleton.bodies) - 1)]
    return (
        Measure(_WIDTH.key, _relative_change(geometry.widths), pairs),
        Measure(_HEIGHT.key, _relative_change(geometry.heights), pairs),
    )


def _relative_change(sizes: Floats) -> Floats:
    total = sizes[1:] + sizes[:-1]
    return np.where(total > SMALLEST, 2 * np.abs(sizes[1:] - sizes[:-1]) / total, np.nan)


def _differ(finding: Finding, limit: LimitSpec) -> str:
    name = "widths" if limit is _WIDTH else "heights"
    jump = f"{name} differ by {100 * finding.value:.0f} % of their mean"
    return f"{jump}, usual {100 * limit.typical:.0f} %: an outline holds more, or less, than one body"


def _both_sizes(spine: Spine, finding: Finding) -> Sketch:
    vertebra = spine.vertebra(finding)
    which = 0 if finding.unit == _WIDTH.unit else 1
    sizes = np.stack([spine.extents(number)[which] for number in (vertebra, vertebra + 1)])
    return bars(sizes, sizes[:, 1].mean(axis=0))


A302 = Rule(
    code="A302",
    group=RuleGroup.ASPECT_RATIO,
    title="width or height jumps between neighbours",
    meaning="Neighbouring bodies resemble each other: one outline holds more, or less, than one body.",
    formula="|difference| / mean of the widths (or heights) of neighbouring vertebrae",
    limits=(_WIDTH, _HEIGHT),
    measure=_jumps,
    sentence=_differ,
    sketch=_both_sizes,
)

RULES = (A301, A302)
