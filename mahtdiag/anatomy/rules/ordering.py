"""A101–A103, A501: vertebrae and endplates follow one another down the spine, in order and in rhythm."""

from collections.abc import Mapping
from math import inf

import numpy as np

from mahtdiag.anatomy.geometry import SMALLEST, Floats, Geometry, Vectors, around, endplates_above
from mahtdiag.anatomy.limit import (
    AASCE,
    BY_DEFINITION,
    CERVICAL_CHOICE,
    LA_CHOICE,
    READERS,
    THORACIC_AP,
    Fires,
    LimitSpec,
)
from mahtdiag.anatomy.rule import (
    Places,
    Quantity,
    Rule,
    Shape,
    Sign,
    Sketch,
    Spine,
    amount,
    arrow,
    bars,
    crossing_point,
    middle,
    peaks,
    usual,
)
from mahtdiag.schema.records import Finding, RuleGroup
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, LL, LR, UL, UR, Region


def _descent(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """How far each centre lies below the one above, in heights."""
    y = geometry.centres.y
    drop = (y[1:] - y[:-1]) / geometry.of_pairs(geometry.height)
    return (Quantity("A101", drop, Places.pairs(geometry.skeleton)),)


def _out_of_order(finding: Finding, limit: LimitSpec) -> str:
    upper, _, lower = finding.vertebra.partition("/")
    if finding.value == 0:
        place = f"the centre of {lower} lies level with that of {upper}"
    else:
        place = f"the centre of {lower} lies {amount(-finding.value)} heights above that of {upper}"
    return f"{place}, usual {amount(limit.typical)} below: vertebrae out of order"


def _centre_to_centre(spine: Spine, finding: Finding) -> Sketch:
    vertebra = spine.vertebra(finding)
    return arrow(Sign.DOWN, spine.centre(vertebra), spine.centre(vertebra + 1))


A101 = Rule(
    code="A101",
    group=RuleGroup.ORDERING,
    title="centre not below the one above",
    meaning="Vertebrae are listed from above; one listed out of turn is another level.",
    formula="(y of the lower centre − y of the upper centre) / median height; S1's centre is the middle of "
    "its endplate",
    limits=(LimitSpec("A101", "heights", Fires.AT_OR_BELOW, 0.0, 0.0, 1.4, BY_DEFINITION),),
    measure=_descent,
    sentence=_out_of_order,
    sketch=_centre_to_centre,
)


def _gap(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Gap between neighbouring endplates, in heights, negative where they overlap."""
    gaps = geometry.gaps / geometry.of_pairs(geometry.height)
    return (Quantity("A102", gaps, Places.discs(geometry.skeleton)),)


def _shared_area(spine: Spine, finding: Finding) -> Sketch:
    """The area in which the lower endplate lies beyond the next upper one."""
    vertebra = spine.vertebra(finding)
    lower, upper = spine.endplate(spine.lower(vertebra)), spine.endplate(spine.upper(vertebra + 1))
    down = spine.centre(vertebra + 1) - spine.centre(vertebra)
    down = down if down[1] >= 0 else -down
    beyond = (upper - lower) @ down < 0
    area = np.concatenate([lower, upper[::-1]])
    at = crossing_point(lower, upper)
    if beyond.any() and not beyond.all() and np.isfinite(at).all():
        side = int(beyond.argmax())
        area = np.stack([at, lower[side], upper[side]])
    return Sketch(Sign.OVERLAP, ((Shape.AREA, area),), middle(area)[None])


A102 = Rule(
    code="A102",
    group=RuleGroup.ORDERING,
    title="neighbouring endplates overlap",
    meaning="Two bodies cannot share a place: an endplate was put on its neighbour's level, or on the wrong "
    "side of the disc.",
    formula="gap from the middle of the lower endplate to the middle of the next upper endplate, along the "
    "line that joins the two centres, / median height; negative where they overlap",
    limits=(LimitSpec("A102", "heights", Fires.BELOW, -0.12, -0.12, 0.44, READERS),),
    measure=_gap,
    sentence="endplates overlap by {below} heights, usual gap {usual}: an endplate on the wrong side of the "
    "disc",
    sketch=_shared_area,
)


def _extent_down(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Extent from the upper to the lower endplate along the spine, in heights; the larger side counts.

    One crossed side alone is a crossed outline (A401), not an exchange.
    """
    axes = Vectors(geometry.of_bodies(geometry.axes.x), geometry.of_bodies(geometry.axes.y))
    left = (geometry.corner(LL) - geometry.corner(UL)).dot(axes)
    right = (geometry.corner(LR) - geometry.corner(UR)).dot(axes)
    down = np.fmax(left, right) / geometry.of_bodies(geometry.height)
    return (Quantity("A103", down, Places.bodies(geometry.skeleton)),)


def _upper_to_lower(spine: Spine, finding: Finding) -> Sketch:
    number = spine.upper(spine.vertebra(finding))
    return arrow(Sign.DOWN, middle(spine.endplate(number)), middle(spine.endplate(number + 1)))


A103 = Rule(
    code="A103",
    group=RuleGroup.ORDERING,
    title="upper and lower endplate exchanged",
    meaning="The corners of the lower endplate were given as those of the upper one, and the reverse.",
    formula="extent from the upper to the lower endplate along the local spine axis, the larger of the left "
    "and the right side, / median height",
    limits=(LimitSpec("A103", "heights", Fires.BELOW, 0.0, 0.0, 1.0, BY_DEFINITION),),
    measure=_extent_down,
    sentence="upper endplate {below} heights below the lower one: the two are exchanged",
    sketch=_upper_to_lower,
)


_FEWEST_GAPS = 3
_SMALLEST_HEIGHTS = 0.1
_SPACING = f"AP: {AASCE} LA: wider by a choice, for collapsed and fused levels; no lateral set was at hand."
_SHARES = (
    f"AP: {THORACIC_AP} LA: wider by a choice; no lateral set was at hand. Lumbar discs differ too much for "
    "a limit of their own."
)
_SPECIFIED = "Chosen with the most extreme clean AP values in view; kept for LA, where no set was at hand."

_CLOSE = LimitSpec("A501-min", "usual spacings", Fires.BELOW, 0.6, 0.5, 1.0, _SPACING, possible=(0.0, inf))
_FAR = LimitSpec("A501-max", "usual spacings", Fires.ABOVE, 1.4, 1.5, 1.0, _SPACING, possible=(0.0, inf))
_GAP = LimitSpec("A501-gap", "heights", Fires.ABOVE, 1.25, 1.25, 0.44, _SPECIFIED)
_SHARE = LimitSpec(
    *("A501-share-thoracic", "of body and disc", Fires.ABOVE, 0.3, 0.4, 0.03, _SHARES, (-1.0, 1.0)),
    region=Region.THORACIC,
)

_SPACING_THORACIC = f"AP: {THORACIC_AP} {LA_CHOICE}"
_WIDE_SPACING_THORACIC = f"AP: {THORACIC_AP} LA: a choice, the AP limit is kept; no lateral set was at hand."
_REGIONAL = (
    _CLOSE.within(Region.THORACIC, _SPACING_THORACIC),
    _FAR.within(Region.THORACIC, _WIDE_SPACING_THORACIC, ap=1.7, la=1.7),
    _GAP.within(Region.THORACIC, _WIDE_SPACING_THORACIC, ap=1.6, la=1.6),
    *(limit.within(Region.CERVICAL, CERVICAL_CHOICE) for limit in (_CLOSE, _FAR, _GAP)),
)


def _rhythm(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Centre spacing of the bodies over what this spine's bodies and discs lead one to expect, and disc gap
    in heights (also above a last endplate).
    """
    if Region.THORACIC in geometry.skeleton.regions:
        return (*_of_pairs(geometry), _share(geometry))
    return _of_pairs(geometry)


def _of_pairs(geometry: Geometry) -> tuple[Quantity, ...]:
    inner = geometry.between_bodies
    ratio = geometry.spacings[inner] / _expected_spacings(geometry, geometry.gaps[inner])
    discs = Places.discs(geometry.skeleton)
    return (
        Quantity(_CLOSE.key, ratio, discs[inner]),
        Quantity(_FAR.key, ratio, discs[inner]),
        Quantity(_GAP.key, geometry.gaps / geometry.of_pairs(geometry.height), discs),
    )


def _expected_spacings(geometry: Geometry, gaps: Floats) -> Floats:
    """Half of each body's height, and the median of the image's gaps between bodies, `[B−1, n]`; NaN where
    fewer than three gaps are known. A body whose height is unknown has the median height.
    """
    usual_heights = geometry.of_bodies(geometry.height)
    heights = np.where(np.isnan(geometry.heights), usual_heights, geometry.heights)
    expected = (heights[:-1] + heights[1:]) / 2 + around(gaps)
    enough = (np.isfinite(gaps).sum(axis=0) >= _FEWEST_GAPS) & (
        expected > _SMALLEST_HEIGHTS * (usual_heights[:-1] + usual_heights[1:]) / 2
    )
    return np.where(enough, expected, np.nan)


def _share(geometry: Geometry) -> Quantity:
    """What a body takes of body and disc together, less than those around it, for each endplate that another
    body faces, where that peaks.
    """
    gaps, heights = geometry.gaps[geometry.between_bodies], geometry.heights
    less = np.empty((2 * len(gaps), gaps.shape[1]))
    for side, own in enumerate((heights[:-1], heights[1:])):
        both = own + gaps
        share = np.where(both > SMALLEST, own / both, np.nan)
        less[side::2] = around(share) - share
    first = 1 + endplates_above(geometry.skeleton)
    endplates = Places.endplates(geometry.skeleton)[first : first + len(less)]
    return Quantity(_SHARE.base, peaks(less, 1), endplates)


def _apart(finding: Finding, limit: LimitSpec) -> str:
    if limit.base == _SHARE.base:
        share = f"the body takes {finding.value:.2f} less of body and disc together than those around"
        return f"{share}: an endplate is off"
    if limit.base == _GAP.key:
        return f"disc space {amount(finding.value)} heights, {usual(limit)}: a level may be missing"
    spacing = f"centres {amount(finding.value)} × this spine's usual spacing apart"
    return f"{spacing}: a level may be {'marked twice' if limit.base == _CLOSE.key else 'missing'}"


def _spacing_or_gap(spine: Spine, finding: Finding) -> Sketch:
    vertebra = spine.vertebra(finding)
    if finding.unit == _SHARE.unit:
        return _height_and_gap(spine, min(finding.keypoints, default=0) // CORNERS_PER_ENDPLATE)
    if finding.unit == _GAP.unit:
        ends = [middle(spine.endplate(spine.lower(vertebra) + side)) for side in (0, 1)]
    else:
        ends = [spine.centre(vertebra), spine.centre(vertebra + 1)]
    return bars(np.stack(ends)[None], middle(np.stack(ends)))


def _height_and_gap(spine: Spine, number: int) -> Sketch:
    """From an endplate to the one above it and to the one below."""
    ends = np.stack([middle(spine.endplate(max(number + step, 0))) for step in (-1, 0, 1)])
    return bars(np.stack([ends[:2], ends[1:]]), ends[1])


A501 = Rule(
    code="A501",
    group=RuleGroup.LEVELS,
    title="spacing off this spine's own pattern",
    meaning="Levels follow each other in a steady rhythm: one is missing, marked twice, or endplates of two "
    "vertebrae were paired.",
    formula="centre spacing / (mean height of the two bodies + median disc gap of the image, or of the five "
    "gaps around; three or more gaps needed); disc gap / median height; in the thoracic spine the part that "
    "a body takes of body and disc together, over or under it, less than the median of the five around",
    limits=(_CLOSE, _FAR, _GAP, *_REGIONAL, _SHARE),
    measure=_rhythm,
    sentence=_apart,
    sketch=_spacing_or_gap,
)

RULES = (A101, A102, A103, A501)
