"""A601–A603: each keypoint is a place of its own in the image."""

from collections.abc import Mapping
from math import inf

import numpy as np

from mahtdiag.anatomy.geometry import Floats, Geometry
from mahtdiag.anatomy.limit import BY_DEFINITION, READERS, Fires, LimitSpec
from mahtdiag.anatomy.rule import Places, Quantity, Rule, Shape, Sign, Sketch, Spine, first_keypoints
from mahtdiag.schema.records import Finding, RuleGroup
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, LL


def _beyond_the_edge(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """How far the farthest keypoint of each vertebra lies beyond the edge, in heights."""
    if geometry.outside is None:
        return ()
    beyond = geometry.outside / geometry.of_keypoints(geometry.height)
    farthest = np.fmax.reduceat(beyond, first_keypoints(geometry.skeleton), axis=0)
    return (Quantity("A601", farthest, Places.vertebrae(geometry.skeleton), beyond > limits["A601"]),)


def _left_at(spine: Spine, finding: Finding) -> Sketch:
    outside = spine.points[list(finding.keypoints)]
    return Sketch(Sign.BORDER, ((Shape.BORDER, outside),), np.empty((0, 2)))


A601 = Rule(
    code="A601",
    group=RuleGroup.POINTS,
    title="keypoint outside the image",
    meaning="There is nothing to mark beyond the image: the coordinates belong to another image, size or "
    "unit.",
    formula="distance beyond the outer edge of the image's pixels / median height",
    limits=(LimitSpec("A601", "heights", Fires.ABOVE, 0.05, 0.05, -0.5, READERS, possible=(0.0, inf)),),
    measure=_beyond_the_edge,
    sentence="{value} heights outside the image: another image, size or unit",
    sketch=_left_at,
    names_points=True,
)


def _to_the_nearest(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Distance from a vertebra's keypoints to the nearest other keypoint of the image, in heights."""
    distance = _nearest(geometry) / geometry.of_keypoints(geometry.height)
    closest = np.fmin.reduceat(distance, first_keypoints(geometry.skeleton), axis=0)
    return (Quantity("A602", closest, Places.vertebrae(geometry.skeleton), distance < limits["A602"]),)


def _nearest(geometry: Geometry) -> Floats:
    """Distance from each keypoint to the nearest other, but for one facing it across a disc, `[K, n]`."""
    x, y = geometry.points.x, geometry.points.y
    squared = np.full_like(x, np.inf)
    for step in range(1, x.shape[0]):
        dx, dy = x[step:] - x[:-step], y[step:] - y[:-step]
        apart = dx * dx + dy * dy
        if step == CORNERS_PER_ENDPLATE:
            apart[geometry.skeleton.corner_index[:-step] >= LL] = np.nan
        np.fmin(squared[step:], apart, out=squared[step:])
        np.fmin(squared[:-step], apart, out=squared[:-step])
    return np.sqrt(np.where(np.isinf(squared), np.nan, squared))


def _coinciding(spine: Spine, finding: Finding) -> Sketch:
    places = spine.points[list(finding.keypoints)]
    return Sketch(Sign.COINCIDING, ((Shape.RING, places),), places)


A602 = Rule(
    code="A602",
    group=RuleGroup.POINTS,
    title="keypoints coincide",
    meaning="Each keypoint has a place of its own: one was marked twice or copied.",
    formula="distance to the nearest other keypoint / median height; corners that face each other across a "
    "disc are left to A102 and A202, they touch in narrow discs",
    limits=(LimitSpec("A602", "heights", Fires.BELOW, 0.05, 0.05, 0.95, READERS, possible=(0.0, inf)),),
    measure=_to_the_nearest,
    sentence="{value} heights from another keypoint, usual {usual}: marked twice or copied",
    sketch=_coinciding,
    names_points=True,
)


def _missing(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Number of missing keypoints of each vertebra."""
    missing = geometry.missing
    count = np.add.reduceat(missing.astype(np.float64), first_keypoints(geometry.skeleton), axis=0)
    return (Quantity("A603", count, Places.vertebrae(geometry.skeleton), missing),)


def _nothing(spine: Spine, finding: Finding) -> Sketch:
    return Sketch(None, (), np.empty((0, 2)))


A603 = Rule(
    code="A603",
    group=RuleGroup.POINTS,
    title="keypoint not a finite number",
    meaning="The keypoint is not annotated, not predicted, or the network's output is broken there.",
    formula="number of keypoints of a vertebra with a missing or infinite coordinate, or one beyond ±10⁹ "
    "pixels",
    limits=(LimitSpec("A603", "keypoints", Fires.ABOVE, 0.0, 0.0, -4.0, BY_DEFINITION, possible=(0.0, 4.0)),),
    measure=_missing,
    sentence="no place: not annotated, not finite or beyond ±10⁹ px",
    sketch=_nothing,
    names_points=True,
)

RULES = (A601, A602, A603)
