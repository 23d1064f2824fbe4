"""The natural variation of clean real AP radiographs, L1–L5, and which spines leave it.

The figures are the 99.9th percentiles of 2,290 vertebrae in 458 images (AASCE 2019). At the lower end only
the 1st percentiles are at hand, below which 8 % of clean spines lie: they are no bound. What no clean image
breaks is one: vertebrae in order, endplates in order, no crossed and no mirrored outline.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.anatomy.geometry import Geometry, measure_geometry
from mahtdiag.anatomy.rules import select_rules
from mahtdiag.schema.skeleton import AP

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LARGEST: Mapping[str, float] = {
    "endplate angle, °": 21.0,
    "width/height": 5.42,
    "centre spacing/mean height": 2.30,
    "disc gap/mean height": 1.26,
    "neighbour width change": 0.38,
    "neighbour height change": 0.78,
    "disc wedge, °": 22.8,
}
NEVER_BROKEN = ("A101", "A103", "A401", "A402", "A603")


def quantities(points_px: Floats) -> dict[str, Floats]:
    """The seven quantities of L1–L5, `[rows, N]` each, of keypoints `[N, K, 2]`; NaN where one is missing."""
    with np.errstate(all="ignore"):
        return _quantities(measure_geometry(points_px[:, : AP.body_keypoints], AP, None))


def _quantities(geometry: Geometry) -> dict[str, Floats]:
    mean_height = geometry.heights.mean(axis=0)
    tilt_changes_deg = np.abs(geometry.tilt_changes_deg)
    values = (
        tilt_changes_deg[0::2],
        geometry.widths / geometry.heights,
        geometry.spacings / mean_height,
        geometry.gaps / mean_height,
        _change(geometry.widths),
        _change(geometry.heights),
        tilt_changes_deg[1::2],
    )
    return dict(zip(LARGEST, values, strict=True))


def _change(sizes: Floats) -> Floats:
    """Difference of neighbours over their mean."""
    return 2 * np.abs(sizes[1:] - sizes[:-1]) / (sizes[1:] + sizes[:-1])


def beyond_natural(points_px: Floats) -> Bools:
    """Images `[N]` in which L1–L5 leave the natural variation, or break what no clean image breaks."""
    large = [(values > LARGEST[name]).any(axis=0) for name, values in quantities(points_px).items()]
    never = check_anatomy(
        points_px[:, : AP.body_keypoints], AP, image_size_px=None, rules=select_rules(NEVER_BROKEN)
    )
    broken: Bools = never.image_severity() > 0
    beyond: Bools = np.logical_or.reduce([*large, broken])
    return beyond
