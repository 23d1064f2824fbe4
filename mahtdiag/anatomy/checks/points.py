"""A601–A603: each keypoint is a place of its own in the image."""

import numpy as np

from mahtdiag.anatomy.checks.measure import Measure, Places
from mahtdiag.anatomy.geometry import Floats, Geometry
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR


def _starts(keypoints: int) -> list[int]:
    return list(range(0, keypoints, CORNERS_PER_VERTEBRA))


def inside_image(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A601: how far the farthest keypoint of each vertebra lies beyond the edge, in heights."""
    if geometry.outside is None:
        return ()
    beyond = geometry.outside / geometry.height
    farthest = np.fmax.reduceat(beyond, _starts(beyond.shape[0]), axis=0)
    return (Measure("A601", farthest, Places.vertebrae(geometry.skeleton), beyond > limits["A601"]),)


def _nearest(geometry: Geometry) -> Floats:
    """Distance from each keypoint to the nearest other, but for one facing it across a disc, `[K, n]`."""
    x, y = geometry.points.x, geometry.points.y
    squared = np.full_like(x, np.inf)
    for step in range(1, x.shape[0]):
        dx, dy = x[step:] - x[:-step], y[step:] - y[:-step]
        apart = dx * dx + dy * dy
        if step == 2:
            apart[LL::CORNERS_PER_VERTEBRA] = np.nan
            apart[LR::CORNERS_PER_VERTEBRA] = np.nan
        np.fmin(squared[step:], apart, out=squared[step:])
        np.fmin(squared[:-step], apart, out=squared[:-step])
    return np.sqrt(np.where(np.isinf(squared), np.nan, squared))


def points_apart(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A602: distance from a vertebra's keypoints to the nearest other keypoint of the image, in heights."""
    distance = _nearest(geometry) / geometry.height
    closest = np.fmin.reduceat(distance, _starts(distance.shape[0]), axis=0)
    return (Measure("A602", closest, Places.vertebrae(geometry.skeleton), distance < limits["A602"]),)


def points_finite(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A603: number of missing keypoints of each vertebra."""
    missing = geometry.missing
    count = np.add.reduceat(missing.astype(np.float64), _starts(missing.shape[0]), axis=0)
    return (Measure("A603", count, Places.vertebrae(geometry.skeleton), missing),)
