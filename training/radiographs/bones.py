"""Outlines that both views share: vertebral bodies with their rims, endplates, spurs and second contours."""

import numpy as np

from training.radiographs.drawing import Layer, Points, arc
from training.radiographs.spine import Vertebra

RIM = 0.045
"""Width of a cortical rim, in body heights."""


def body_edges(vertebra: Vertebra) -> tuple[Points, Points, Points, Points]:
    """Upper endplate, right wall, lower endplate, left wall: clockwise, each pointing at its two corners."""
    upper_left, upper_right, lower_left, lower_right = vertebra.corners
    down = 0.5 * ((lower_left - upper_left) + (lower_right - upper_right))
    right = 0.5 * ((upper_right - upper_left) + (lower_right - lower_left))
    right = right * (vertebra.height / vertebra.width)
    return (
        _blunted(arc(upper_left, upper_right, vertebra.concavity * down)),
        _blunted(arc(upper_right, lower_right, -vertebra.waist * right)),
        _blunted(arc(lower_right, lower_left, -vertebra.concavity * down)),
        _blunted(arc(lower_left, upper_left, vertebra.waist * right)),
    )


def _blunted(edge: Points) -> Points:
    """The edge without its outermost bits: real corners are rounded, the landmark is where the edges meet."""
    ends = edge[[0, -1]] + 0.28 * (edge[[1, -2]] - edge[[0, -1]])
    return np.concatenate([ends[:1], edge[1:-1], ends[1:]])


def body_outline(vertebra: Vertebra) -> Points:
    """Closed outline of the body."""
    return np.concatenate(body_edges(vertebra))


def paint_body(
    vertebra: Vertebra, fills: Layer, rims: Layer, density: float, plate_depth: float, rim: float = 1.0
) -> None:
    """Paint one body: its bulk on `fills`, its cortical lines on `rims`.

    `plate_depth` is how far, in body heights, the far rim of an endplate shows beside the near one, because
    the rays are not parallel to the endplate; `rim` scales the brightness of the cortical lines.
    """
    outline = body_outline(vertebra)
    upper, right, lower, left = body_edges(vertebra)
    width = RIM * vertebra.height
    fills.fill(outline, density)
    if vertebra.ghost_weight > 0.0:
        _paint_ghost(vertebra, outline, rims, width)
    down = (vertebra.corners[2:] - vertebra.corners[:2]).mean(axis=0)
    for plate, inward in ((upper, down), (lower, -down)):
        far = arc(plate[0], plate[-1], (plate_depth + vertebra.concavity) * inward)
        rims.stroke(far, width, 0.40 * rim)
        near = arc(plate[0], plate[-1], (vertebra.concavity - 0.5 * plate_depth) * inward)
        rims.stroke(near, 1.2 * width, 0.55 * rim)
    for wall in (left, right):
        rims.stroke(wall, width, 0.64 * rim)
    for plate in (upper, lower):
        rims.stroke(plate, 1.35 * width, 0.90 * rim)
    _paint_spurs(vertebra, fills, rims, density)


def _paint_ghost(vertebra: Vertebra, outline: Points, rims: Layer, width: float) -> None:
    rims.stroke(outline + vertebra.ghost, 1.2 * width, 0.75 * vertebra.ghost_weight, closed=True)


def _paint_spurs(vertebra: Vertebra, fills: Layer, rims: Layer, density: float) -> None:
    """Beaks that leave the corner sideways and bend towards the disc."""
    for index, size in enumerate(vertebra.osteophytes):
        if size == 0.0:
            continue
        corner, lower, right = vertebra.corners[index], index >= 2, index % 2 == 1
        outward = vertebra.corners[index] - vertebra.corners[index ^ 1]
        outward = outward / np.linalg.norm(outward) * vertebra.height
        along = vertebra.corners[index ^ 2] - corner
        tip = corner + size * (outward - 0.45 * along)
        root = corner + 0.30 * along - 0.04 * outward
        inner = corner - 0.12 * outward
        beak = np.stack([inner, tip, corner + 0.55 * size * outward + 0.10 * along, root])
        fills.fill(beak, 0.95 * density)
        rims.stroke(beak[:3], RIM * vertebra.height, 0.55 + 0.1 * (lower == right))
