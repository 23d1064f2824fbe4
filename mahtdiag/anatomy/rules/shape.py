"""A401–A405: each outline is a convex quadrangle with its corners where their names say."""

from collections.abc import Mapping
from math import inf

import numpy as np

from mahtdiag.anatomy.geometry import SMALLEST, Bools, Floats, Geometry, Vectors
from mahtdiag.anatomy.limit import (
    AASCE,
    BY_DEFINITION,
    CERVICAL_CHOICE,
    L5_BODY,
    LA_CHOICE,
    THORACIC_AP,
    Fires,
    LimitSpec,
    limits_of_keypoints,
)
from mahtdiag.anatomy.rule import (
    END_STRENGTH,
    SHORTEST,
    Places,
    Points,
    Quantity,
    Rule,
    Shape,
    Sign,
    Sketch,
    Spine,
    amount,
    arrow,
    crossing_point,
    first_keypoints,
    middle,
    peaks,
)
from mahtdiag.schema.records import Finding, RuleGroup
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, CORNERS_PER_VERTEBRA, LL, LR, UL, UR, Region

_AROUND = (UL, UR, LR, LL)
_FEWEST_OF_ENDS = 8
_SIDES = (
    f"AP: {AASCE} One image goes further: four radiographs of its patient disagree on where L2 is, so its "
    "annotation is in doubt."
)
_OFF_LINE = (
    f"{_SIDES} LA: a slipped vertebra steps over by up to its whole depth (Meyerding grade "
    f"IV), which moves this value by half of that, 0.63 heights. {L5_BODY}"
)
_OFF_ALONE = (
    f"{_SIDES} LA: a slip takes both corners of an endplate along and does not count here. "
    "The limit is a choice: two fifths of the depth of a body that is 1.25 times as deep as high "
    "(Cook and Baker, Int J Spine Surg 15:1072, 2021)."
)
_OFF_THORACIC = f"AP: {THORACIC_AP} {LA_CHOICE}"


def _standing_out(geometry: Geometry) -> Floats:
    """How far each corner stands out from the line between its neighbours, `[corner in file order, B, n]`.

    Positive for an outline drawn clockwise on screen, as UL, UR, LR, LL is.
    """
    corners = {corner: geometry.corner(corner) for corner in _AROUND}
    out = np.empty((4, *geometry.heights.shape))
    for place, corner in enumerate(_AROUND):
        before, after = corners[_AROUND[place - 1]], corners[_AROUND[(place + 1) % 4]]
        chord = after - before
        out[corner] = (corners[corner] - before).cross(chord) / np.maximum(chord.length(), SMALLEST)
    # Rounding must not decide on which side of a straight line a corner lies.
    out[np.abs(out) < SMALLEST] = 0.0
    return out


def _crosses(out: Floats) -> Bools:
    """Two corners on either side: only a self-intersecting quadrangle is like that."""
    crosses: Bools = ((out > 0).sum(axis=0) == 2) & ((out < 0).sum(axis=0) == 2)
    return crosses


def _depth_of_crossing(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Depth of the crossing in heights, 0 where the outline does not cross itself."""
    out = _standing_out(geometry)
    depth = np.minimum(out.max(axis=0), -out.min(axis=0)) / geometry.of_bodies(geometry.height)
    depth = np.where(np.isnan(depth) | _crosses(out), depth, 0.0)
    return (Quantity("A401", depth, Places.bodies(geometry.skeleton)),)


def _crossing(spine: Spine, finding: Finding) -> Sketch | None:
    corners = spine.corners(spine.vertebra(finding))
    if len(corners) < CORNERS_PER_VERTEBRA:
        return None
    around = corners[list(_AROUND)]
    for side in (0, 1):
        at = crossing_point(around[[side, side + 1]], around[[side + 2, (side + 3) % 4]])
        if np.isfinite(at).all():
            return Sketch(Sign.CROSSING, ((Shape.CROSS, at[None]),), at[None])
    return None


A401 = Rule(
    code="A401",
    group=RuleGroup.SHAPE,
    title="outline crosses itself",
    meaning="Two corners of one vertebra were exchanged.",
    formula="depth to which the crossed corners reach past each other / median height; 0 where nothing "
    "crosses",
    limits=(LimitSpec("A401", "heights", Fires.ABOVE, 0.0, 0.0, -0.5, BY_DEFINITION, possible=(0.0, inf)),),
    measure=_depth_of_crossing,
    sentence="outline crosses itself, {value} heights deep: two corners are exchanged",
    sketch=_crossing,
)


def _axes_of(geometry: Geometry, step: int) -> Vectors:
    """The local axis of every keypoint (step 1), or of every endplate (2), in file order."""
    vertebrae = geometry.skeleton.vertebra_index[::step]
    return Vectors(geometry.axes.x[vertebrae], geometry.axes.y[vertebrae])


def _extent_across(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Extent from left to right across the spine in widths, the larger of a vertebra's endplates.

    One exchanged endplate alone is a crossed outline (A401).
    """
    across = geometry.endplates.cross(_axes_of(geometry, CORNERS_PER_ENDPLATE))
    first = [keypoint // CORNERS_PER_ENDPLATE for keypoint in first_keypoints(geometry.skeleton)]
    reach = np.fmax.reduceat(across, first, axis=0) / geometry.width
    return (Quantity("A402", reach, Places.vertebrae(geometry.skeleton)),)


def _left_to_right(spine: Spine, finding: Finding) -> Sketch:
    corners = spine.corners(spine.vertebra(finding))
    return arrow(Sign.SIDEWAYS, middle(corners[0::2]), middle(corners[1::2]))


A402 = Rule(
    code="A402",
    group=RuleGroup.SHAPE,
    title="left and right mirrored",
    meaning="Left corners lie right of the right ones: exchanged names, or a mirrored image.",
    formula="extent of the endplates from left to right, across the local spine axis, the larger of the two, "
    "/ median width",
    limits=(LimitSpec("A402", "widths", Fires.BELOW, 0.0, 0.0, 1.0, BY_DEFINITION),),
    measure=_extent_across,
    sentence="left corners {below} widths right of the right ones: mirrored, or left and right exchanged",
    sketch=_left_to_right,
)


def _least_prominent(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """How far the least prominent corner stands out, in heights; crossed outlines are A401's.

    Unknown for four equal points, which are A602's.
    """
    out = _standing_out(geometry)
    clockwise = (out > 0).sum(axis=0) >= (out < 0).sum(axis=0)
    oriented = np.where(clockwise, out, -out)
    least = oriented.min(axis=0)
    has_size = geometry.widths + geometry.heights > SMALLEST
    values = np.where(has_size & ~_crosses(out), least / geometry.of_bodies(geometry.height), np.nan)
    dented = np.zeros_like(geometry.missing)
    skeleton = geometry.skeleton
    dented[skeleton.of_bodies] = np.swapaxes(oriented == least, 0, 1).reshape(skeleton.body_keypoints, -1)
    return (Quantity("A403", values, Places.bodies(geometry.skeleton), dented),)


def _dented(finding: Finding, limit: LimitSpec) -> str:
    if finding.value == 0:
        return "corner on the line between its neighbours: the outline has collapsed there"
    return f"corner bent inwards by {amount(-finding.value)} heights: the corner is off"


def _dent(spine: Spine, finding: Finding) -> Sketch | None:
    """The corner and the line between its two neighbours, beyond which it should lie."""
    corners = spine.corners(spine.vertebra(finding))
    if not finding.keypoints or len(corners) < CORNERS_PER_VERTEBRA:
        return None
    corner = int(spine.skeleton.corner_index[min(finding.keypoints)])
    chord = corners[[UR, LL] if corner in (UL, LR) else [UL, LR]]
    along = chord[1] - chord[0]
    share = float((corners[corner] - chord[0]) @ along / max(float(along @ along), SHORTEST))
    foot = chord[0] + share * along
    strokes = np.stack([chord, np.stack([corners[corner], foot])])
    shapes = ((Shape.DASHED, strokes), (Shape.SQUARE, foot[None]))
    return Sketch(Sign.EXPECTED, shapes, corners[corner][None])


A403 = Rule(
    code="A403",
    group=RuleGroup.SHAPE,
    title="outline not convex",
    meaning="A body's outline has no dent: a corner is off, or the outline has collapsed into a line.",
    formula="smallest distance by which a corner stands out from the line between its two neighbours "
    "/ median height; negative where a corner is bent inwards",
    limits=(LimitSpec("A403", "heights", Fires.AT_OR_BELOW, 0.0, 0.0, 0.8, BY_DEFINITION),),
    measure=_least_prominent,
    sentence=_dented,
    sketch=_dent,
    names_points=True,
)


def _off_line(geometry: Geometry) -> Floats:
    """Signed distance of each corner, across the spine, from the middle of the corners above and below it on
    its side, in heights `[K, n]`; NaN at the first and the last endplate, which lack a neighbour.
    """
    points, axes = geometry.points, _axes_of(geometry, 1)
    expected = points[slice(None, -4)].middle(points[slice(4, None)])
    inner = slice(2, -2)
    off = np.full_like(points.x, np.nan)
    off[inner] = (points[inner] - expected).cross(axes[inner]) / geometry.of_keypoints(geometry.height)[inner]
    return off


def _off_alone(geometry: Geometry) -> Floats:
    """How far each corner steps out of its side without its partner on the other side, in heights `[K, n]`.

    An inner corner: what its distance from the line of its side exceeds its partner's by. A corner of the
    first or last endplate: the side that ends in it, held against the opposite side and against the same
    side one vertebra (from an endplate by itself: one disc) further on; the smaller difference, 0 where the
    two differ in direction. Unknown with fewer than four endplates.
    """
    off = np.abs(_off_line(geometry))
    alone = np.maximum(off - _partners(off), 0.0)
    points, axes = geometry.points, _axes_of(geometry, 1)
    height, count = geometry.of_keypoints(geometry.height), points.x.shape[0]
    if count < _FEWEST_OF_ENDS:
        alone[[0, 1, -2, -1]] = np.nan
        return alone
    for end, after, then, last in ((0, 2, 4, 6), (count - 2, count - 4, count - 6, count - 8)):
        across = axes[_pair(end)]
        side = (points[_pair(end)] - points[_pair(after)]).cross(across)
        further = (points[_pair(then)] - points[_pair(last)]).cross(across)
        opposite, next_ = side - _partners(side), side - further
        both = np.minimum(np.abs(opposite), np.abs(next_)) / height[_pair(end)]
        alone[_pair(end)] = np.where(opposite * next_ < 0, 0.0, both)
    return alone


def _pair(left: int) -> slice:
    """Both corners of the endplate whose left corner this is."""
    return slice(left, left + 2)


def _partners(values: Floats) -> Floats:
    """Values `[K, n]` of the other corner of the same endplate."""
    return values.reshape(-1, 2, values.shape[1])[:, ::-1].reshape(values.shape)


def _largest(key: str, geometry: Geometry, distances: Floats, limits: Mapping[str, float]) -> Quantity:
    """The largest distance of each vertebra's corners, `[K, n]`, blamed on those beyond the limit."""
    skeleton = geometry.skeleton
    largest = np.fmax.reduceat(distances, first_keypoints(skeleton), axis=0)
    beyond = distances > limits_of_keypoints(limits, key, skeleton)
    return Quantity(key, largest, Places.vertebrae(skeleton), beyond)


def _expected_corners(spine: Spine, finding: Finding) -> Sketch | None:
    """Each corner joined to where the corners next to it lead one to expect it."""
    if not finding.keypoints:
        return None
    corners = list(finding.keypoints)
    expected = np.array([_expected_place(spine.points, k) for k in corners])
    joined = np.stack([spine.points[corners], expected], axis=1)
    shapes = ((Shape.DASHED, joined), (Shape.SQUARE, expected))
    return Sketch(Sign.EXPECTED, shapes, joined[0].mean(axis=0, keepdims=True))


def _expected_place(points: Points, keypoint: int) -> Points:
    """Where `_off_line` and `_off_alone` expect a corner.

    Inside: the middle of the corners above and below on its side. At the first and the last endplate: where
    the side would end if it ran like the opposite side, or like that of the next vertebra, whichever is
    closer.
    """
    if 2 <= keypoint < len(points) - 2:
        return np.asarray(points[[keypoint - 2, keypoint + 2]].mean(axis=0), dtype=np.float64)
    step = 2 if keypoint < 2 else -2
    opposite = points[keypoint ^ 1] - points[(keypoint ^ 1) + step]
    further = points[keypoint + 2 * step] - points[keypoint + 3 * step]
    places = points[keypoint + step] + np.stack([opposite, further])
    return np.asarray(places[int(np.hypot(*(places - points[keypoint]).T).argmin())], dtype=np.float64)


def _steps_out(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Distance of a corner, across the spine, from the middle of the corners above and below it on its side,
    in heights, the largest of a vertebra; a corner less far off than one of those two does not count. The
    first and the last endplate have no such neighbours.
    """
    off = np.abs(_off_line(geometry))
    # An end corner moves the expected place of the next one by half as much as itself.
    ends = np.where(np.isnan(off), END_STRENGTH * _off_alone(geometry), off)
    return (_largest("A404", geometry, peaks(off, 2, ends), limits),)


_LINE = LimitSpec("A404", "heights", Fires.ABOVE, 0.51, 0.7, 0.05, _OFF_LINE, possible=(0.0, inf))

A404 = Rule(
    code="A404",
    group=RuleGroup.SHAPE,
    title="corner off the line of its side",
    meaning="The two edges of the spine are smooth: a single corner that steps out of them is off.",
    formula="distance of a corner, across the local spine axis, from the middle of the corners above and "
    "below it on the same side / median height",
    limits=(
        _LINE,
        _LINE.within(Region.THORACIC, _OFF_THORACIC),
        _LINE.within(Region.CERVICAL, CERVICAL_CHOICE),
    ),
    measure=_steps_out,
    sentence="{value} heights off the line of its side, usual {usual}: the corner is off",
    sketch=_expected_corners,
    names_points=True,
)


def _steps_out_alone(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """How far a corner steps out of its side by itself, in heights, the largest of a vertebra; a corner that
    does so less than the one above or below it does not count.
    """
    alone = _off_alone(geometry)
    # A corner next to an end corner moves what that is held against by as much as itself.
    strengths = alone.copy()
    strengths[[0, 1, -2, -1]] *= END_STRENGTH
    return (_largest("A405", geometry, peaks(alone, 2, strengths), limits),)


_ALONE = LimitSpec("A405", "heights", Fires.ABOVE, 0.6, 0.5, 0.05, _OFF_ALONE)

A405 = Rule(
    code="A405",
    group=RuleGroup.SHAPE,
    title="corner out of step with the opposite one",
    meaning="A bend, a slip and a narrower body take both sides of the spine along: a corner that steps out "
    "by itself is off.",
    formula="distance of a corner from the line of its side (A404) minus that of the other corner of its "
    "endplate / median height; at the first and the last endplate: the smaller of the distances by which "
    "the side that ends in the corner leans against the opposite side, and against the same side of the "
    "next vertebra (from S1: of the next disc)",
    limits=(
        _ALONE,
        _ALONE.within(Region.THORACIC, _OFF_THORACIC, ap=0.62),
        _ALONE.within(Region.CERVICAL, CERVICAL_CHOICE),
    ),
    measure=_steps_out_alone,
    sentence="{value} heights out of step with the opposite corner, usual {usual}: the corner is off",
    sketch=_expected_corners,
    names_points=True,
)

RULES = (A401, A402, A403, A404, A405)
